"""Lines that wait to be written many at a time, as far as there is room for them."""

from abc import ABC, abstractmethod
from collections import deque

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Backlog(ABC):
    """Takes lines, and has them written when there are enough or a moment has passed.

    What cannot be written yet stays, up to a number of bytes. Then the oldest lines go, and
    are counted.

    Attributes:
        dropped: lines lost so far.
    """

    def __init__(
        self, clock: IReactorTime, *, capacity: int, batch: int, seconds: float
    ) -> None:
        """Nothing waits.

        Args:
            clock: for the timer.
            capacity: bytes of lines kept while they cannot be written.
            batch: bytes that are written without waiting for the timer.
            seconds: longest time a line waits.
        """
        self.dropped = 0
        self._clock = clock
        self._capacity = capacity
        self._batch = batch
        self._seconds = seconds
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._unreported = 0
        self._stalled = False
        self._timer: IDelayedCall | None = None

    def write(self, line: bytes) -> None:
        """Take one line, newline included."""
        self._lines.append(line)
        self._size += len(line)
        if self._size > self._capacity:
            self._drop_oldest()
        if self._size >= self._batch and not self._stalled:
            self._drain()
        if self._timer is None and self._waiting():
            self._timer = self._clock.callLater(self._seconds, self._tick)

    @abstractmethod
    def _drain(self) -> None:
        """Write as much as can be written now; ``_stalled`` says whether that was not all."""

    def _waiting(self) -> bool:
        return bool(self._lines)

    def _tick(self) -> None:
        self._timer = None
        self._drain()
        if self._waiting():
            self._timer = self._clock.callLater(self._seconds, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_oldest(self) -> None:
        while self._size > self._capacity:
            self._size -= len(self._lines.popleft())
            self.dropped += 1
            self._unreported += 1

    def _take(self, limit: int, taken: int = 0) -> list[bytes]:
        """Take out the next lines: as many as fit; one, if nothing was taken before.

        Args:
            limit: bytes.
            taken: how many of these are used already.
        """
        pieces = []
        while self._lines and (not taken or taken + len(self._lines[0]) <= limit):
            line = self._lines.popleft()
            self._size -= len(line)
            taken += len(line)
            pieces.append(line)
        return pieces
