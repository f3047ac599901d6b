"""One slow clock for all deadlines.

A timer for each deadline of each request would cost more than the request's own bookkeeping,
so nobody sets one. Whoever has deadlines is *watched*: once a tick it is asked to look at
the time and at what has moved since the last tick, and to act if something took too long.
A deadline is therefore kept to within a tick; nothing is done per chunk.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger()


class Watched(Protocol):
    """Has deadlines."""

    def look(self, now: float) -> None:
        """Act if a deadline has passed.

        Args:
            now: clock seconds.
        """


class Stall(Struct):
    """Tells for how long a figure has not moved."""

    _figure: object = None
    _since: float = 0.0

    def seconds(self, figure: object, now: float) -> float:
        """For how long ``figure`` has been what it is, in ticks."""
        if figure != self._figure:
            self._figure = figure
            self._since = now
        return now - self._since


class Watch:
    """Asks everyone watched to look, once a tick."""

    def __init__(
        self, clock: IReactorTime, seconds: Callable[[], float], tick: float
    ) -> None:
        """A watch that stands still until started.

        Args:
            clock: counts the seconds from tick to tick.
            seconds: the clock that deadlines are measured by; it must not jump.
            tick: seconds between looks.
        """
        self._clock = clock
        self._seconds = seconds
        self._tick = tick
        self._watched: set[Watched] = set()
        self._call: IDelayedCall | None = None

    def add(self, watched: Watched) -> None:
        """Ask this one too from now on."""
        self._watched.add(watched)

    def remove(self, watched: Watched) -> None:
        """Ask it no more; harmless if it was not asked."""
        self._watched.discard(watched)

    def start(self) -> None:
        """Begin to tick."""
        self._call = self._clock.callLater(self._tick, self._look)

    def stop(self) -> None:
        """Tick no more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _look(self) -> None:
        self._call = self._clock.callLater(self._tick, self._look)
        now = self._seconds()
        for watched in list(self._watched):
            try:
                watched.look(now)
            except Exception:  # a bug, which must not stop the deadlines of the others
                _log.failure(
                    "{watched} could not look at its deadlines", watched=watched
                )

    def __repr__(self) -> str:
        return f"<Watch {len(self._watched)} watched every {self._tick}s>"
