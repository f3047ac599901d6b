"""A real Squid for one demonstration: temporary files, one allowed host and port."""

import os
import pwd
import re
import shutil
import socket
from pathlib import Path
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProcessTransport, IReactorProcess
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from apiproxy.demo.patience import until
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.transport import transport_of

_ATTEMPTS = 3
_START_SECONDS = 15.0
_USERS = ("proxy", "squid", "nobody")
_ASKED = re.compile(r"^(CONNECT \S+) HTTP/", re.MULTILINE)

_CONFIGURATION = """\
http_port 127.0.0.1:{port}
visible_hostname apiproxy-demo
pid_filename none
coredump_dir {folder}
cache_log {folder}/cache.log
debug_options ALL,1 11,2
logformat demo %Ss/%>Hs %rm %ru %<st bytes
access_log stdio:{folder}/access.log demo
hosts_file {folder}/hosts
dns_nameservers 127.0.0.1
cache deny all
cache_mem 0 MB
memory_cache_shared off
netdb_filename none
pinger_enable off
max_filedescriptors 1024
shutdown_lifetime 0 seconds
{user}
acl provider dstdomain -n {host}
acl its_port port {host_port}
acl CONNECT method CONNECT
http_access allow CONNECT provider its_port
http_access deny all
"""


class SquidBroken(Exception):
    """Squid did not start; the text says why."""


def find_squid() -> str | None:
    """The program, or None."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which("squid", path=path)


class Squid:
    """The proxy.

    Attributes:
        name: what to call it.
        what: what it is, in a few words.
        url: for ``HTTPS_PROXY``; empty before ``start``.
    """

    name = "squid"

    def __init__(
        self, reactor: Reactor, program: str, folder: Path, authority: str
    ) -> None:
        """A Squid that does not run yet.

        Args:
            reactor: provides sockets, time and processes.
            program: path of Squid.
            folder: for its files.
            authority: the ``host:port`` that may be asked for; the host is 127.0.0.1.
        """
        self.what = f"{program}, a real Squid"
        self.url = ""
        self._reactor = reactor
        self._program = program
        self._folder = folder
        self._host, _, self._host_port = authority.rpartition(":")
        self._running = _Running()

    async def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            SquidBroken: it does not.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            port = _free_port()  # and taken by another in a moment, if we are unlucky
            self._write_files(port)
            self._spawn()
            if await self._listens(port):
                self.url = f"http://127.0.0.1:{port}"
                return
            await self.stop()
            if attempt == _ATTEMPTS:
                raise SquidBroken(self._words())

    async def stop(self) -> None:
        """End it, and wait until it has ended."""
        for signal in ("TERM", "KILL"):
            if self._running.process is not None:
                self._running.process.signalProcess(signal)
            if await until(self._reactor, lambda: self._running.process is None):
                return

    def heard(self) -> list[str]:
        """The CONNECT requests that its log has, as they come."""
        return _ASKED.findall(self._read("cache.log"))

    def logged(self) -> list[str]:
        """The tunnels in its access log, which are those that have ended."""
        lines = self._read("access.log").splitlines()
        return [line for line in lines if " CONNECT " in line]

    def _read(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def _words(self) -> str:
        lines = self._running.output.decode(errors="replace") + self._read("cache.log")
        said = [
            line for line in lines.splitlines() if "FATAL" in line or "ERROR" in line
        ]
        return said[-1] if said else "it does not listen"

    def _write_files(self, port: int) -> None:
        user = ""
        if os.getuid() == 0:
            person = _unprivileged()
            user = f"cache_effective_user {person.pw_name}"
            os.chown(self._folder, person.pw_uid, person.pw_gid)
        text = _CONFIGURATION.format(
            port=port,
            folder=self._folder,
            user=user,
            host=self._host,
            host_port=self._host_port,
        )
        (self._folder / "squid.conf").write_text(text)
        (self._folder / "hosts").write_text(f"127.0.0.1 {self._host}\n")

    def _spawn(self) -> None:
        self._running = _Running()
        conf = str(self._folder / "squid.conf")
        cast(IReactorProcess, self._reactor).spawnProcess(
            self._running, self._program, [self._program, "-N", "-f", conf], env={}
        )

    async def _listens(self, port: int) -> bool:
        """Whether somebody takes connections there, before Squid gives up."""
        probe = TCP4ClientEndpoint(self._reactor, "127.0.0.1", port, timeout=5)
        end = self._reactor.seconds() + _START_SECONDS
        while self._running.process is not None and self._reactor.seconds() < end:
            try:
                look = cast(_Look, await probe.connect(Factory.forProtocol(_Look)))
            except ConnectError:
                await deferLater(self._reactor, 0.02)
            else:
                transport_of(look).loseConnection()
                await look.lost
                return True
        return False


class _Running(ProcessProtocol):
    """Squid as a process."""

    def __init__(self) -> None:
        self.output = b""
        self.process: IProcessTransport | None = None

    def connectionMade(self) -> None:
        self.process = self.transport

    def outReceived(self, data: bytes) -> None:
        self.output += data

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self.process = None


class _Look(Protocol):
    """A connection made to see whether somebody listens."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost.callback(None)


def _unprivileged() -> pwd.struct_passwd:
    """Whom Squid becomes when root starts it."""
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SquidBroken("there is no user for it to be")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
