"""Things told some milliseconds later and many at a time.

What became of an exchange, or what a response has used, is of no interest to the exchange:
metrics and log lines can wait until there is more of the same to do. Done one after the other
in one go they cost half of what they cost in between, because the code and the data are still
in the processor's cache. So they are only noted, and told when a few dozen are there or a
moment has passed. Everything that reads what is counted calls ``flush`` first, and so does a
process that stops; only one that is killed can lose what it noted in its last moment.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_MOST = 32
_SECONDS = 0.02

T = TypeVar("T")


class Batch(Generic[T]):
    """Notes things, and tells them later."""

    def __init__(
        self,
        clock: IReactorTime,
        tell: Callable[[T], None],
        first: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing has been noted yet.

        Args:
            clock: counts the moment.
            tell: is told each of them; it must not raise.
            first: called before the first of those that are told together.
        """
        self._first = first
        self._clock = clock
        self._tell = tell
        self._noted: list[T] = []
        self._timer: IDelayedCall | None = None

    def add(self, thing: T) -> None:
        """Note one."""
        if len(self._noted) >= _MOST:
            # Those before: whoever notes this one may not be done with it.
            self._tell_all()
        self._noted.append(thing)
        if self._timer is None:
            self._timer = self._clock.callLater(_SECONDS, self._moment_passed)

    def _moment_passed(self) -> None:
        self._timer = None
        self._tell_all()

    def _tell_all(self) -> None:
        self._first()
        noted, self._noted = self._noted, []
        tell = self._tell
        for thing in noted:
            tell(thing)

    def flush(self) -> None:
        """Tell what has been noted, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell_all()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._noted)} to be told>"
