"""A secret that a program gives, and gives anew before it ends.

The program prints one JSON object: ``{"value": "…", "expires_at": 1767225600}``, the end in
POSIX seconds or as a time of RFC 3339, or none. It is started without a shell, with nothing to
read, and never waited for: as long as it runs, the secret there is goes on being used, and
that overlap is also how one secret takes the place of another.

A secret is asked for anew when four fifths of its time are over, or every hour if it has no
end, at a moment that chance moves a little, so that many of us do not ask at once. A program
that fails is started again, less and less often. What it prints beside the answer is thrown
away unseen, because a key may stand in it.
"""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol as Shape

import msgspec
from attrs import frozen
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import (
    IDelayedCall,
    IProcessTransport,
    IReactorProcess,
    IReactorTime,
)
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from apiproxy.core.values import Secret

MAX_OUTPUT = 64 * 1024
"""Bytes that a program may print."""

RUN_SECONDS = 30.0
"""How long it may run."""

_HOUR = 3600.0
_SOONEST = 5.0
_FIRST_RETRY, _LAST_RETRY = 1.0, 60.0
_SENDABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class Unusable(Exception):
    """A program did not give a secret; the text says why, and holds nothing it printed."""


class Said(msgspec.Struct):
    """What a program prints.

    Attributes:
        value: the secret.
        expires_at: POSIX seconds, or a time as RFC 3339 has it; None for no end.
    """

    value: str
    expires_at: float | str | None = None


@frozen
class Fetched:
    """A secret and its end.

    Attributes:
        secret: the secret.
        expires: POSIX seconds; None for never.
    """

    secret: Secret
    expires: float | None


def read_answer(output: bytes) -> Fetched:
    """The secret in what a program printed.

    Raises:
        Unusable: there is none.
    """
    try:
        said = msgspec.json.decode(output, type=Said)
        expires = _moment(said.expires_at)
    except (ValueError, msgspec.MsgspecError):
        raise Unusable('it must print {"value": …, "expires_at": …}') from None
    value = said.value.strip()
    if _SENDABLE.fullmatch(value) is None:
        raise Unusable("its value cannot stand in a header")
    return Fetched(Secret(value.encode("latin-1")), expires)


def _moment(said: float | str | None) -> float | None:
    if not isinstance(said, str):
        return said
    if _TIME.fullmatch(said) is None:
        raise ValueError("not a time")
    return datetime.fromisoformat(said.upper()).timestamp()


class ICommandReactor(IReactorProcess, IReactorTime):
    """What starts programs, and keeps time."""


class Listener(Shape):
    """Is told what becomes of a source."""

    def fetched(self, source: "CommandSource") -> None:
        """There is a new secret."""

    def failed(self, source: "CommandSource", reason: str) -> None:
        """The program gave none; the reason is public."""


class CommandSource:
    """Gives the secret that a program has given last, as long as it is good.

    Attributes:
        origin: the setting that names the program.
        command: the program and its arguments.
    """

    awaited = True

    def __init__(self, origin: str, command: Sequence[str]) -> None:
        """A source that has asked nobody yet; see ``start``.

        Args:
            origin: the setting that names the program.
            command: the program and its arguments.
        """
        self.origin = origin
        self.command = tuple(command)
        self._now: Callable[[], float] = time.time
        self._fetched: Fetched | None = None
        self._delay = _FIRST_RETRY
        self._timer: IDelayedCall | None = None
        self._run: _Run | None = None
        self._reactor: ICommandReactor | None = None
        self._listener: Listener | None = None
        self._chance: Callable[[], float] = float

    def current(self) -> Secret | None:
        """The secret, or None as long as there is none or when it has ended."""
        fetched = self._fetched
        if fetched is None:
            return None
        if fetched.expires is not None and fetched.expires <= self._now():
            return None
        return fetched.secret

    def start(
        self,
        reactor: ICommandReactor,
        listener: Listener,
        *,
        now: Callable[[], float],
        chance: Callable[[], float],
        earlier: "CommandSource | None" = None,
    ) -> None:
        """Begin to ask.

        Args:
            reactor: starts the program.
            listener: told what becomes of it.
            now: POSIX seconds.
            chance: a number from 0 up to 1.
            earlier: a source that asked the same program, whose secret goes on being used.
        """
        self._reactor, self._listener = reactor, listener
        self._now, self._chance = now, chance
        if earlier is not None and earlier.command == self.command:
            self._fetched = earlier._fetched
        self._ask()

    def stop(self) -> None:
        """Ask no more; what is there stays."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._reactor = None
        if self._run is not None:
            self._run.kill()

    def _ask(self) -> None:
        self._timer = None
        if self._reactor is not None:
            self._run = _Run(self._reactor, self._ended)
            self._run.start(self.command)

    def _ended(self, output: bytes, reason: str) -> None:
        """The program has ended; with a reason if it was not as it should be."""
        self._run = None
        if self._reactor is None or self._listener is None:
            return
        try:
            fetched = None if reason else read_answer(output)
        except Unusable as error:
            fetched, reason = None, str(error)
        if fetched is None:
            self._listener.failed(self, reason)
            self._again(self._delay)
            self._delay = min(self._delay * 2, _LAST_RETRY)
            return
        self._fetched = fetched
        self._delay = _FIRST_RETRY
        self._listener.fetched(self)
        self._again(self._lasting())

    def _lasting(self) -> float:
        """For how many seconds nobody need ask again."""
        assert self._fetched is not None
        expires = self._fetched.expires
        left = _HOUR if expires is None else min(expires - self._now(), 24 * _HOUR)
        return max(left * 0.8, _SOONEST)

    def _again(self, seconds: float) -> None:
        assert self._reactor is not None
        moved = seconds * (1 - 0.1 * self._chance())
        self._timer = self._reactor.callLater(moved, self._ask)

    def __repr__(self) -> str:
        state = "empty" if self.current() is None else "filled"
        return f"<CommandSource {self.origin} {state}>"


class _Run(ProcessProtocol):
    """One run of a program: its output and its time are bounded."""

    def __init__(
        self, reactor: ICommandReactor, ended: Callable[[bytes, str], None]
    ) -> None:
        self._reactor = reactor
        self._told: Callable[[bytes, str], None] | None = ended
        self._output = b""
        self._timer: IDelayedCall | None = None
        self._process: IProcessTransport | None = None

    def start(self, command: Sequence[str]) -> None:
        """Run it. That it cannot be run is told like any other end."""
        self._timer = self._reactor.callLater(
            RUN_SECONDS, self._give_up, "it is too slow"
        )
        try:
            self._process = self._reactor.spawnProcess(
                self, command[0], list(command), env=None
            )
            self._process.closeStdin()
        except OSError as error:
            self._end(f"it cannot be started: {error.strerror}")

    def outReceived(self, data: bytes) -> None:
        """It printed something."""
        self._output += data
        if len(self._output) > MAX_OUTPUT:
            self._output = b""
            self._give_up("it prints too much")

    def errReceived(self, data: bytes) -> None:
        """It complained; a key may stand in it."""

    def processEnded(self, reason: Failure) -> None:
        """It is over."""
        code = getattr(reason.value, "exitCode", None)
        self._end("" if code == 0 else f"it ended with {code}")

    def kill(self) -> None:
        """End it, and tell nobody."""
        self._told = None
        self._give_up("")

    def _give_up(self, reason: str) -> None:
        if self._process is not None:
            with suppress(ProcessExitedAlready):
                self._process.signalProcess("KILL")
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        told, self._told = self._told, None
        output, self._output = self._output, b""
        if told is not None:
            told(output, reason)
