"""A real Squid on loopback, with an allow-list and names that lead to 127.0.0.1.

It gets a temporary directory, a random port and a ``hosts_file``, so that
``api.openai.com:PORT`` is the provider of the test. It ends when it is told to, and only it.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.kit.line import Bell, IReactor
from tests.kit.ports import free_port
from tests.kit.tls import HOSTS

SQUID = Path("/usr/sbin/squid")
CHECKER = Path("/usr/lib/squid/basic_ncsa_auth")
_LISTENING = "Accepting HTTP Socket connections"  # in cache.log, once per start
USER = "proxy"
"""Whom Squid becomes when it is started by root."""


def squid_missing() -> str | None:
    """Why tests with a real Squid cannot run here; None if they can."""
    if not os.access(SQUID, os.X_OK):
        return f"there is no Squid at {SQUID}; apt-get install squid"
    return None


class SquidBroken(Exception):
    """Squid did not start; its log says why."""


@frozen
class LogLine:
    """One line of Squid's access log.

    Attributes:
        status: what Squid answered, 200 for a tunnel.
        method: ``CONNECT``, as a rule.
        authority: what was asked for.
        outcome: in Squid's words, such as ``TCP_TUNNEL`` or ``TCP_DENIED``.
        bytes_up: from the agent, as Squid counts them.
        bytes_down: to the agent, as Squid counts them.
    """

    status: int
    method: str
    authority: str
    outcome: str
    bytes_up: int
    bytes_down: int


class Squid:
    """A real Squid. Every port of ``ports`` on every name of ``allow`` may be reached.

    Attributes:
        port: where it listens on 127.0.0.1; 0 before ``start``.
        folder: its temporary directory; configuration and logs are in it.
        running: whether the process is there.
    """

    def __init__(
        self,
        reactor: IReactor,
        ports: Sequence[int],
        *,
        allow: Sequence[str] = HOSTS,
        hosts: Mapping[str, str] | None = None,
        user: tuple[str, str] | None = None,
        read_timeout: int | None = None,
        extra: str = "",
    ) -> None:
        """Make it; it listens after ``start``.

        Args:
            reactor: the real one.
            ports: those that CONNECT may name: the provider's.
            allow: host names and addresses that CONNECT may name.
            hosts: addresses of names that are not to be 127.0.0.1; names that are
                neither here nor in ``allow`` cannot be resolved.
            user: name and password that it asks for.
            read_timeout: seconds after which an idle tunnel is closed.
            extra: more lines of configuration, put before the rules.
        """
        self.reactor = reactor
        self.port = 0
        self.folder = Path()
        self.running = False
        self._ports = ports
        self._allow = allow
        self._hosts = {
            **{name: "127.0.0.1" for name in allow if not _is_address(name)},
            **(hosts or {}),
        }
        self._user = user
        self._read_timeout = read_timeout
        self._extra = extra
        # Squids of one service name share memory, and would get in each other's way.
        self._service = f"kit{secrets.token_hex(8)}"
        self._process: IProcessTransport | None = None
        self._bell = Bell()
        self._output = bytearray()

    @property
    def url(self) -> str:
        """For ``HTTPS_PROXY``, with name and password if it asks for them."""
        person = ""
        if self._user is not None:
            person = ":".join(quote(each, safe="") for each in self._user) + "@"
        return f"http://{person}127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            SquidBroken: it ended instead.
        """
        # A port that is free now may be taken in a moment, but hardly three times.
        for attempt in (1, 2, 3):
            try:
                self._prepare()
                await self._run()
            except BaseException as error:
                await self.stop()
                if attempt == 3 or not isinstance(error, SquidBroken):
                    raise
            else:
                return

    async def stop(self) -> None:
        """End it, and remove what it has written."""
        # SIGTERM would be polite, and take a second at least: Squid adds one by itself.
        await self._end("KILL")
        for segment in Path("/dev/shm").glob(f"{self._service}-*"):
            segment.unlink(missing_ok=True)
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    async def kill(self) -> None:
        """End it without a chance to say good-bye; all tunnels break."""
        await self._end("KILL")

    async def restart(self) -> None:
        """Start it again, on the same port and with the same log."""
        await self._end("KILL")
        (self.folder / "squid.pid").unlink(missing_ok=True)
        await self._run()

    def log(self) -> list[LogLine]:
        """The access log so far. A tunnel is written there when it has ended."""
        lines = []
        for line in (self.folder / "access.log").read_text().splitlines():
            status, method, authority, outcome, up, down = line.split(" ")
            # Our own look whether it listens is there too, as a request of no method.
            if method not in ("-", "NONE"):
                lines.append(
                    LogLine(int(status), method, authority, outcome, int(up), int(down))
                )
        return lines

    async def logged(self, count: int = 1) -> list[LogLine]:
        """Wait until the access log has so many lines."""
        while len(self.log()) < count:
            await deferLater(self.reactor, 0.01)
        return self.log()

    def _prepare(self) -> None:
        # Not below trial's working directory, which the user "proxy" may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="apiproxy-squid-", dir="/tmp"))
        self.port = free_port()
        names = "".join(f"{at} {name}\n" for name, at in self._hosts.items())
        (self.folder / "hosts").write_text(names)
        (self.folder / "access.log").touch()
        if self._user is not None:
            name, password = self._user
            digest = hashlib.md5(password.encode()).hexdigest()
            (self.folder / "people").write_text(f"{name}:{digest}\n")
        (self.folder / "squid.conf").write_text(self._configuration())
        if os.getuid() == 0:
            person = pwd.getpwnam(USER)
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, person.pw_uid, person.pw_gid)

    def _configuration(self) -> str:
        folder = self.folder
        lines = [
            f"http_port 127.0.0.1:{self.port}",
            "visible_hostname squid.test",
            f"pid_filename {folder}/squid.pid",
            f"coredump_dir {folder}",
            f"cache_log {folder}/cache.log",
            "logformat kit %>Hs %rm %ru %Ss %>st %<st",
            f"access_log stdio:{folder}/access.log kit",
            f"hosts_file {folder}/hosts",
            # Nobody answers there, so that a name that is not in the file has no address.
            "dns_nameservers 127.0.0.1",
            "dns_timeout 1 second",
            "connect_timeout 5 seconds",
            "shutdown_lifetime 0 seconds",
            "pinger_enable off",
            "cache deny all",
            "cache_mem 0 MB",
            "memory_cache_shared off",
            "netdb_filename none",
            "max_filedescriptors 4096",
            "via off",
            "forwarded_for delete",
        ]
        if os.getuid() == 0:
            lines.append(f"cache_effective_user {USER}")
        if self._read_timeout is not None:
            lines.append(f"read_timeout {self._read_timeout} seconds")
        lines += self._extra.splitlines()
        if self._user is not None:
            lines += [
                f"auth_param basic program {CHECKER} {folder}/people",
                "auth_param basic realm kit",
                "auth_param basic children 1 startup=1",
                "acl known proxy_auth REQUIRED",
                "http_access deny !known",
            ]
        lines += [
            "acl ports port " + " ".join(str(port) for port in self._ports),
            # -n: an address is compared as it is written, not by its name.
            "acl names dstdomain -n " + " ".join(self._allow),
            "acl CONNECT method CONNECT",
            "http_access allow CONNECT ports names",
            "http_access deny all",
            "",
        ]
        return "\n".join(lines)

    async def _run(self) -> None:
        self._output.clear()
        before = self._log().count(_LISTENING)
        conf = str(self.folder / "squid.conf")
        self.running = True
        self._process = self.reactor.spawnProcess(
            _Process(self),
            str(SQUID),
            [str(SQUID), "-N", "-n", self._service, "-f", conf],
            env={},
        )
        # Its own word first, so that the port is its and nobody else's; then a connection,
        # because it says so when it has bound the port and listens a moment later.
        while self._log().count(_LISTENING) <= before or not await self._answers():
            if not self.running:
                raise SquidBroken(self._output.decode(errors="replace") + self._log())
            await deferLater(self.reactor, 0.01)

    async def _answers(self) -> bool:
        probe = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port)
        look = _Look()
        try:
            await probe.connect(Factory.forProtocol(lambda: look))
        except ConnectError:
            return False
        assert look.transport is not None
        look.transport.loseConnection()
        await look.lost
        return True

    async def _end(self, signal: str) -> None:
        if self.running:
            assert self._process is not None
            self._process.signalProcess(signal)
        while self.running:
            await self._bell.heard()

    def _log(self) -> str:
        log = self.folder / "cache.log"
        return log.read_text(errors="replace") if log.exists() else ""


class _Look(Protocol):
    """A connection made to see whether somebody listens."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class _Process(ProcessProtocol):
    def __init__(self, squid: Squid) -> None:
        self._squid = squid

    def outReceived(self, data: bytes) -> None:
        self._squid._output += data

    def errReceived(self, data: bytes) -> None:
        self._squid._output += data

    def processEnded(self, reason: Failure) -> None:
        self._squid.running = False
        self._squid._bell.ring()


def _is_address(name: str) -> bool:
    return name.replace(".", "").isdigit()
