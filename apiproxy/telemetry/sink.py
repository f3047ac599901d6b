"""Standard output, written without ever waiting for whoever reads it.

A blocking write stalls the reactor, and with it every stream: a terminal that somebody
stopped with Ctrl-S, a ``docker logs`` pipe that nobody drains, and the proxy stands still.
The usual cure, ``O_NONBLOCK``, is not ours to apply. The flag belongs to the open file
*description*, which we share with our parent and with everything else it started: setting it
makes a shell or a supervisor fail with ``EAGAIN`` on its own output. So:

* Lines wait in memory and are written in batches, when 32 KiB are there or 50 ms have gone
  by; one system call for many lines is also what makes a log line cheap.
* A regular file never makes us wait (in the sense of ``poll``, which is all there is); it
  gets a whole batch in one write.
* Anything else is asked first: ``poll`` with no waiting says whether it takes bytes, and
  then it gets no more than ``PIPE_BUF``, because that is how much a pipe which polls as
  writable is bound to take, and because such a write is atomic: lines of two processes on
  one pipe do not run into each other. Then it is asked again.
* That leaves a gap: another writer on the same pipe, or a terminal with room for a few
  bytes only. Where the system lets us, we therefore open a description of our own on the
  same pipe or terminal, through ``/proc/self/fd``. *That* one is ours to make non-blocking.
* What cannot be written stays, up to 1 MiB. Then the oldest lines go, they are counted, and
  ``log_lines_dropped`` stands in their place as soon as the reader reads again. Old lines
  and not new ones, since what an operator wants to see is how it ended.
* A reader that has left (``EPIPE``) and a full disk are treated like one that is slow: it
  may come back, and until then nothing but lines is lost.

At shutdown ``flush`` may wait, for a bounded time, since no stream is left to stall.
"""

import os
import select
import stat
from collections.abc import Callable
from time import monotonic

from twisted.internet.interfaces import IReactorTime

from apiproxy.telemetry.backlog import Backlog
from apiproxy.telemetry.lines import LineLog

_SLICE = select.PIPE_BUF
_FILE_SLICE = 64 * 1024


class StdoutSink(Backlog):
    """Takes lines and writes them in batches."""

    def __init__(
        self,
        fd: int,
        clock: IReactorTime,
        *,
        now: Callable[[], float],
        capacity: int = 1024 * 1024,
        batch: int = 32 * 1024,
        seconds: float = 0.05,
    ) -> None:
        """Make a sink.

        Args:
            fd: file descriptor to write to; it stays open.
            clock: for the timer.
            now: POSIX seconds, for the timestamp of ``log_lines_dropped``.
            capacity: bytes of lines kept while nobody reads.
            batch: bytes that are written without waiting for the timer.
            seconds: longest time a line waits.
        """
        super().__init__(clock, capacity=capacity, batch=batch, seconds=seconds)
        self._rest = b""  # its first bytes may be out, so it is never dropped
        self._broken = False
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._own = None if self._regular else _own_description(fd)
        self._fd = fd if self._own is None else self._own
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)
        self._notices = LineLog(self._put_first, level="info", now=now)

    def flush(self, seconds: float = 1.0) -> bool:
        """Write what is left, and wait for the reader if need be.

        Args:
            seconds: how long at most.

        Returns:
            Whether all is written.
        """
        self._stop_timer()
        deadline = monotonic() + seconds
        self._drain()
        while self._waiting() and not self._broken:
            left = deadline - monotonic()
            if left <= 0:
                break
            self._poll.poll(left * 1000)
            self._drain()
        return not self._waiting()

    def close(self) -> None:
        """Flush, and close what is ours. The descriptor that was given stays open."""
        self.flush()
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def __repr__(self) -> str:
        state = "broken" if self._broken else "stalled" if self._stalled else "open"
        return f"<StdoutSink {state}, {self._size} B wait, {self.dropped} dropped>"

    def _waiting(self) -> bool:
        return bool(self._lines or self._rest)

    def _drain(self) -> None:
        """Write as much as can be written now."""
        self._stalled = False
        while self._waiting():
            if not self._regular and not self._poll.poll(0):
                self._stalled = True
                return
            piece = self._next_piece()
            try:
                written = os.write(self._fd, piece if self._regular else piece[:_SLICE])
            except OSError as error:
                self._rest = piece
                self._stalled = True
                self._broken = not isinstance(error, BlockingIOError)
                return
            self._rest = piece[written:]
            self._broken = False

    def _next_piece(self) -> bytes:
        """Take out what to write next: whole lines, as far as the first is not too long."""
        if self._unreported:
            self._report()
        limit = _FILE_SLICE if self._regular else _SLICE
        return b"".join([self._rest, *self._take(limit, len(self._rest))])

    def _report(self) -> None:
        count, self._unreported = self._unreported, 0
        self._notices.log("warning", "log_lines_dropped", count=count)

    def _put_first(self, line: bytes) -> None:
        self._lines.appendleft(line)
        self._size += len(line)


def _own_description(fd: int) -> int | None:
    """A non-blocking descriptor for the same pipe or terminal; None where that fails."""
    if not stat.S_ISFIFO(os.fstat(fd).st_mode) and not os.isatty(fd):
        return None
    try:
        return os.open(
            f"/proc/self/fd/{fd}",
            os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
        )
    except OSError:
        return None
