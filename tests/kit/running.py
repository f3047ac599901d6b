"""Other programs while a test runs: apiproxy as its users start it, and its clients.

Both are children of the test's process, and neither outlives the test.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.kit.line import Bell, IReactor

ROOT = Path(__file__).parents[2]
"""Where the package and its tests can be imported from."""


def plain_environment() -> dict[str, str]:
    """What a program needs to run at all: no key, no proxy, nothing of this machine's."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}


class ProgramFailed(Exception):
    """A program ended with something other than 0, or too early."""


class Program(ProcessProtocol):
    """A program that runs beside the test.

    Attributes:
        out: what it has written to its standard output.
        err: what it has written to its standard error.
        code: its exit code, negative for a signal; None while it runs.
    """

    def __init__(
        self,
        reactor: IReactor,
        arguments: Sequence[str],
        environ: Mapping[str, str] | None = None,
        folder: Path = ROOT,
    ) -> None:
        """Make it; it runs after ``start``.

        Args:
            reactor: the real one.
            arguments: the program, by its path, and what it is given.
            environ: its environment, beside ``plain_environment()``.
            folder: its working directory.
        """
        self.out = bytearray()
        self.err = bytearray()
        self.code: int | None = None
        self._reactor = reactor
        self._arguments = list(arguments)
        self._environ = plain_environment() | dict(environ or {})
        self._folder = folder
        self._process: IProcessTransport | None = None
        self._bell = Bell()

    async def start(self) -> None:
        """Run it, with nothing to read."""
        self._process = self._reactor.spawnProcess(
            self,
            self._arguments[0],
            self._arguments,
            env=self._environ,
            path=str(self._folder),
        )
        self._process.closeStdin()

    async def stop(self) -> None:
        """End it if it still runs."""
        self.signal("KILL")
        await self.ended()

    def signal(self, name: str) -> None:
        """Send it a signal, if it still runs."""
        if self._process is not None and self.code is None:
            try:
                self._process.signalProcess(name)
            except ProcessExitedAlready:
                return

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        while self.code is None and self._process is not None:
            await self._bell.heard()
        return self.code or 0

    async def changed(self) -> None:
        """Wait until it has written something, or ended.

        Raises:
            ProgramFailed: it had ended before.
        """
        if self.code is not None:
            raise ProgramFailed(self.words())
        await self._bell.heard()

    def words(self) -> str:
        """All that it has said, for a failure's message."""
        out, err = self.out.decode(errors="replace"), self.err.decode(errors="replace")
        return f"{self._arguments} ended with {self.code}\n{out}\n{err}"

    # What the process calls.

    def outReceived(self, data: bytes) -> None:
        """Standard output."""
        self.out += data
        self._bell.ring()

    def errReceived(self, data: bytes) -> None:
        """Standard error."""
        self.err += data
        self._bell.ring()

    def processEnded(self, reason: Failure) -> None:
        """It is over, and its output all here."""
        how: Any = reason.value  # ProcessDone or ProcessTerminated
        self.code = -how.signal if how.exitCode is None else how.exitCode
        self._bell.ring()


class Service(Program):
    """``twistd -n apiproxy``, each provider on some free port unless told otherwise."""

    def __init__(self, reactor: IReactor, environ: Mapping[str, str]) -> None:
        """Make it; it serves after ``start``.

        Args:
            reactor: the real one.
            environ: its settings.
        """
        names = ("OPENAI", "ANTHROPIC", "COPILOT", "GEMINI", "OPENCODE", "VERTEX")
        ports = {f"APIPROXY_{name}_PORT": "0" for name in names}
        twistd = str(Path(sys.executable).with_name("twistd"))
        arguments = [sys.executable, twistd, "-n", "--pidfile=", "apiproxy"]
        super().__init__(reactor, arguments, ports | dict(environ))

    async def start(self) -> None:
        """Run it, and wait until it serves.

        Raises:
            ProgramFailed: it ended instead.
        """
        await super().start()
        while not any(
            line["event"] == "startup" and line["level"] == "info"
            for line in self.lines
        ):
            await self.changed()

    async def stop(self) -> None:
        """End it as its users do."""
        self.signal("TERM")
        await self.ended()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in bytes(self.out).split(b"\n")[:-1]]

    def port(self, name: str) -> int:
        """Where a provider listens on 127.0.0.1."""
        (address,) = (
            line["address"]
            for line in self.lines
            if line["event"] == "listening" and line["provider"] == name
        )
        return int(address.rpartition(":")[2])


@frozen
class Ran:
    """How a program ended.

    Attributes:
        code: its exit code.
        out: its standard output.
        err: its standard error.
    """

    code: int
    out: str
    err: str


async def ran(program: Program) -> Ran:
    """Run a program to its end."""
    await program.start()
    try:
        code = await program.ended()
    finally:
        await program.stop()
    return Ran(code, program.out.decode(), program.err.decode(errors="replace"))


async def told(
    reactor: IReactor,
    module: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
) -> Any:
    """What a module of the tests, run as a program, prints: one value as JSON.

    Raises:
        ProgramFailed: it did not end with 0.
    """
    program = Program(reactor, [sys.executable, "-m", module, *arguments], environ)
    end = await ran(program)
    if end.code:
        raise ProgramFailed(program.words())
    return json.loads(end.out)
