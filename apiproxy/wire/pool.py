"""The warm lines to one provider: newest first out, as it is the least likely to be dead."""

import typing
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from apiproxy.core.exchange import Complain
from apiproxy.core.familiar import Familiar
from apiproxy.core.headers import answer_kind
from apiproxy.wire.room import Room
from apiproxy.wire.transport import quiet
from apiproxy.wire.upstream import UpstreamLine

_MAX_REPLAY = 32 * 1024 * 1024
"""Bytes of requests that may be kept for a second try, by all exchanges together."""


class Pool:
    """The lines to one provider.

    Attributes:
        dialled: dials begun so far.
        replay: room for requests on used lines, which are kept for a second try.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        *,
        seconds: Callable[[], float],
        complain: Complain,
        connected: Callable[[], None] = lambda: None,
        max_idle: int,
        idle_seconds: float,
    ) -> None:
        """A pool with nothing in it.

        Args:
            endpoint: opens a verified connection to the provider.
            seconds: the clock.
            complain: told of bugs.
            connected: told of each line that was opened.
            max_idle: how many idle lines are kept.
            idle_seconds: how long a line is kept idle; less than providers keep theirs.
        """
        self._endpoint = endpoint
        self._seconds = seconds
        self._complain = complain
        self._connected = connected
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._idle: list[UpstreamLine] = []
        self._lines: set[UpstreamLine] = set()
        self._factory = quiet(self._build)
        self._closed = False
        self._familiar = Familiar(answer_kind)
        self.dialled = 0
        self.replay = Room(_MAX_REPLAY)

    def take(self) -> UpstreamLine | None:
        """The line that was given back last, or None; its ``used`` is true."""
        return self._idle.pop() if self._idle else None

    def dial(self) -> Deferred[UpstreamLine]:
        """Open a fresh line.

        Errors:
            whatever the endpoint fails with (``wire.failures`` translates it).
        """
        self.dialled += 1
        return typing.cast(
            Deferred[UpstreamLine], self._endpoint.connect(self._factory)
        )

    def _build(self, addr: object) -> UpstreamLine:
        line = UpstreamLine(
            self._give_back, self._forget, self._complain, self._familiar
        )
        self._lines.add(line)
        self._connected()
        return line

    def _give_back(self, line: UpstreamLine) -> None:
        if self._closed or len(self._idle) >= self._max_idle:
            line.abort()
            return
        line.resume()
        line.idle_since = self._seconds()
        self._idle.append(line)

    def _forget(self, line: UpstreamLine) -> None:
        self._lines.discard(line)
        if line in self._idle:
            self._idle.remove(line)

    def look(self, now: float) -> None:
        """Close the lines that have been idle for too long (see ``wire.watch``)."""
        while self._idle and now - self._idle[0].idle_since > self._idle_seconds:
            self._idle.pop(0).abort()

    def close(self) -> None:
        """Close the idle lines, and keep none any more."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    @property
    def idle(self) -> int:
        """Lines ready to be used again."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Lines carrying an exchange."""
        return len(self._lines) - len(self._idle)

    def __repr__(self) -> str:
        return f"<Pool {self.idle} idle, {self.busy} busy>"
