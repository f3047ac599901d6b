"""What stands around every proxy: certificates, the TLS providers, Squid, the agents."""

import contextlib
import datetime
import json
import os
import pwd
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apiproxy.demo.authority import issue
from bench import speech, templates
from bench.machine import Cores
from bench.processes import (
    Running,
    Stage,
    Unavailable,
    free_ports,
    wait_listening,
)

HOST = "localhost"
_ROOT = Path(__file__).parent.parent
_SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))

_CONNECT = re.compile(r"^\d+ CONNECT ", re.MULTILINE)


def find(program: str) -> str | None:
    """A program on PATH or in sbin."""
    return shutil.which(program, path=_SBIN)


class Agents:
    """A process of agents (``bench.client``)."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Have it do something.

        Raises:
            Unavailable: it could not.
        """
        self.begin(do, **order)
        return self.wait()

    def begin(self, do: str, **order: Any) -> None:
        """Have it do something, and do not wait; ``wait`` must follow.

        Raises:
            Unavailable: it has ended.
        """
        to, _ = self.running.pipes
        try:
            to.write(json.dumps({"do": do, **order}) + "\n")
            to.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def wait(self) -> dict[str, Any]:
        """What came of ``begin``.

        Raises:
            Unavailable: it could not.
        """
        line = self.running.pipes[1].readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise Unavailable(str(answer["failed"]))
        return answer

    def _ended(self) -> Unavailable:
        return Unavailable(f"the client ended: {self.running.last_words()}")


class Rig:
    """The surroundings, running.

    Attributes:
        stage: that everything runs on.
        cores: who runs where.
        descriptors: how many files a process may have open.
        authority: path of the PEM file that the providers' certificate hangs from.
        plain: port of the provider for plain requests.
        live: port of the provider for streams and WebSockets.
        tunnels: port where that provider opens CONNECT tunnels to itself.
        squid: port of Squid.
        plain_by: what the plain provider is.
    """

    def __init__(self, stage: Stage, cores: Cores, descriptors: int) -> None:
        self.stage = stage
        self.cores = cores
        self.descriptors = descriptors
        folder = stage.folder
        issued = issue(HOST, datetime.datetime.now(datetime.UTC))
        self.authority, self._identity = (
            folder / "authority.pem",
            folder / "identity.pem",
        )
        self.authority.write_bytes(issued.authority)
        self._identity.write_bytes(issued.identity)
        self.live, self.tunnels, self.squid = free_ports(3)
        ports = (str(self.live), str(self.tunnels))
        live = self._python("live", *ports, str(self._identity))
        wait_listening(live, self.live, 10)
        self.plain, self.plain_by = self._start_plain()
        self._start_squid(descriptors)

    def _python(self, module: str, *arguments: str, pipes: bool = False) -> Running:
        command = [sys.executable, "-m", f"bench.{module}", *arguments]
        return self.stage.start(
            module, command, core=self.cores.rest, pipes=pipes, cwd=_ROOT
        )

    def _start_plain(self) -> tuple[int, str]:
        program = find("nginx")
        if program is None:
            return self.live, "bench.live, because nginx is not installed"
        (port,) = free_ports(1)
        folder = self.stage.folder
        conf = folder / "provider.conf"
        conf.write_text(
            templates.PROVIDER.format(
                folder=folder,
                port=port,
                identity=self._identity,
                body=speech.answer_body().decode(),
                user="user root;" if os.getuid() == 0 else "",
            )
        )
        command = [program, "-c", str(conf), "-p", str(folder)]
        running = self.stage.start("provider", command, core=self.cores.rest)
        wait_listening(running, port, 10)
        return port, "nginx"

    def _start_squid(self, descriptors: int) -> None:
        program = find("squid")
        if program is None:
            raise Unavailable(
                "Squid is not installed, and apiproxy is measured behind it"
            )
        folder = self.stage.folder
        user = ""
        for name in ("squid-access.log", "squid-cache.log"):
            (folder / name).touch()
        if os.getuid() == 0:
            person = pwd.getpwnam("proxy")
            user = f"cache_effective_user {person.pw_name}"
            for name in ("squid-access.log", "squid-cache.log"):
                os.chown(folder / name, person.pw_uid, person.pw_gid)
        (folder / "squid-hosts").write_text(f"127.0.0.1 {HOST}\n")
        conf = folder / "squid.conf"
        conf.write_text(
            templates.SQUID.format(
                folder=folder,
                port=self.squid,
                user=user,
                descriptors=min(descriptors, 65536),
            )
        )
        service = f"bench{os.getpid()}"
        command = [program, "-N", "-n", service, "-f", str(conf)]
        running = self.stage.start("squid", command, core=self.cores.rest)
        wait_listening(running, self.squid, 20)

    def connects(self) -> int:
        """How many tunnels Squid has logged; each is logged when it ends."""
        return len(
            _CONNECT.findall((self.stage.folder / "squid-access.log").read_text())
        )

    def connects_after(self, before: int, settle: float = 1.5) -> int:
        """How many more than before, once no more are added."""
        count, since = self.connects(), time.monotonic()
        while time.monotonic() - since < settle:
            time.sleep(0.1)
            if (now := self.connects()) != count:
                count, since = now, time.monotonic()
        return count - before

    @contextlib.contextmanager
    def agents(self, port: int, tls: bool = False) -> Iterator[Agents]:
        """A process of agents that talk to a port of 127.0.0.1."""
        extra = [str(self.authority)] if tls else []
        running = self._python("client", str(port), *extra, pipes=True)
        try:
            yield Agents(running)
        finally:
            self.stage.stop(running)
