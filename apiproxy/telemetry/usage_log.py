"""The usage log: a line in a file for each response, for whoever adds up what agents used.

A line is on the disk within a second or so, and the reactor never waits for that: lines wait
in memory, a batch at a time goes to a thread, and the thread writes it and waits for the disk.
While the disk is full, or slow, lines stay and are tried again, up to a few megabytes; then
the oldest go. That is counted (``apiproxy_usage_lines_dropped_total``) and logged, and no
request hears of it. What a process loses that is killed are the lines of its last moment.
"""

import errno
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from msgspec import UNSET, structs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from apiproxy.core.metered import Metered
from apiproxy.core.values import Secret
from apiproxy.telemetry.backlog import Backlog
from apiproxy.telemetry.journal import Journal
from apiproxy.telemetry.lines import LineLog, Stamp
from apiproxy.telemetry.usage_lines import schema_of, usage_line

FILE_NAME = "token-usage.jsonl"

_CAPACITY = 4 * 1024 * 1024
_BATCH = 256 * 1024
_SECONDS = 0.25
_PAUSE_SECONDS = 5.0
_CLOSE_SECONDS = 3.0


class UsageLog(Backlog):
    """Writes a line for each response.

    Attributes:
        written: lines on the disk.
        lost: lines that could not be made.
    """

    def __init__(
        self,
        journal: Journal,
        run: Callable[[Callable[[], Any]], Deferred[Any]],
        clock: IReactorTime,
        log: LineLog,
        *,
        version: str,
        now: Callable[[], float],
        capacity: int = _CAPACITY,
    ) -> None:
        """A log into which nothing is written yet.

        Args:
            journal: the file; nobody else may use it.
            run: has something done in a thread, one after the other (``Background.run``).
            clock: for timers.
            log: told of what goes wrong.
            version: of apiproxy, for ``_schema``.
            now: POSIX seconds, for timestamps.
            capacity: bytes of lines kept while the disk takes none.
        """
        super().__init__(clock, capacity=capacity, batch=_BATCH, seconds=_SECONDS)
        self.written = 0
        self._journal = journal
        self._run = run
        self._log = log
        self._schema = schema_of(version)
        self._cleaning = LineLog(self.write, level="info", now=now)
        self._moment = Stamp(float)
        self._under_way: list[bytes] = []
        self._retry_at = 0.0
        self._told: set[str] = set()
        self._flushing: list[tuple[int, Deferred[None]]] = []

    @property
    def lost(self) -> int:
        """Lines that could not be made."""
        return self._cleaning.lost

    def redact(self, secrets: Iterable[Secret | bytes]) -> None:
        """Look for these values in every line; see ``LineLog.redact``."""
        self._cleaning.redact(secrets)

    def open(self) -> None:
        """Make the file, so that it is there before the first response is."""
        _ = self._run(self._journal.open).addErrback(self._failed)

    def metered(self, metered: Metered) -> None:
        """Write the line of a response that is over."""
        try:
            line = usage_line(
                metered,
                self._cleaning.shorten,
                schema=self._schema,
                at=self._cleaning.stamp(),
                started=self._moment(-metered.started),
            )
            self._cleaning.put("info", line)
        except Exception:  # A line must not break what it reports on.
            if metered.billing is None:
                self._cleaning.lost += 1
            else:  # The one part that is not of our making.
                self.metered(structs.replace(metered, billing=None))

    def reopen(self) -> None:
        """Close the file, so that the next line goes to the one that has its name then."""
        _ = self._run(self._journal.close).addErrback(self._failed)

    def flush(self) -> Deferred[None]:
        """Write what waits.

        Returns:
            Fires when it is on the disk, or when the disk did not take it.
        """
        flushed: Deferred[None] = Deferred()
        waiting = len(self._lines) + len(self._under_way)
        self._flushing.append((self._done + waiting, flushed))
        self._retry_at = 0.0
        self._drain()
        self._flushed(self._done)
        return flushed

    def close(self) -> Deferred[None]:
        """Write what waits, and close the file; a disk that hangs is waited for 3 s.

        Returns:
            Fires when that is done.
        """
        closed = self.flush()
        patience = self._clock.callLater(_CLOSE_SECONDS, self._flushed)

        def over(_: object) -> None:
            if patience.active():
                patience.cancel()
            self._stop_timer()
            self._capacity = 0  # what waits, and what may still come, is dropped
            self._drop_oldest()
            self.reopen()

        return closed.addCallback(over)

    def __repr__(self) -> str:
        return (
            f"<UsageLog {self.written} written, {self._size} B wait,"
            f" {self.dropped} dropped>"
        )

    # Writing.

    def _waiting(self) -> bool:
        return bool(self._lines or self._under_way)

    def _drain(self) -> None:
        """Give the next batch to the thread, unless it has one or the disk took none."""
        if self._under_way or not self._lines or self._clock.seconds() < self._retry_at:
            return
        self._stalled = True
        self._under_way = self._take(_BATCH)
        work = partial(self._journal.append, b"".join(self._under_way))
        _ = self._run(work).addCallbacks(self._appended, self._not_appended)

    def _appended(self, problem: OSError | None) -> None:
        self.written += len(self._under_way)
        self._under_way = []
        self._stalled = False
        if problem is None:
            self._told.clear()
        else:
            self._tell(problem)
        self._flushed(self._done)
        if self._flushing:
            self._drain()

    def _not_appended(self, failure: Failure) -> None:
        self._lines.extendleft(reversed(self._under_way))
        self._size += sum(map(len, self._under_way))
        self._under_way = []
        self._stalled = False
        self._retry_at = self._clock.seconds() + _PAUSE_SECONDS
        self._drop_oldest()
        self._failed(failure)
        self._flushed()

    @property
    def _done(self) -> int:
        """Lines that nothing more will become of."""
        return self.written + self.dropped

    def _flushed(self, done: int | None = None) -> None:
        """Tell those whose lines are done; all of them, if it is for nothing to wait."""
        told = [each for each in self._flushing if done is None or each[0] <= done]
        self._flushing = [each for each in self._flushing if each not in told]
        for _, flushed in told:
            flushed.callback(None)

    # What goes wrong.

    def _drop_oldest(self) -> None:
        before = self.dropped
        super()._drop_oldest()
        if self.dropped > before:
            message = "the usage log cannot be written as fast as it grows"
            self._say("warning", "token_log_backpressure", message)

    def _failed(self, failure: Failure) -> None:
        assert failure.value is not None
        self._tell(failure.value)

    def _tell(self, error: BaseException) -> None:
        number = getattr(error, "errno", None) or 0
        kind = errno.errorcode.get(number, type(error).__name__)
        message = getattr(error, "strerror", None) or str(error)
        self._say("error", "token_log_error", message, kind=kind)

    def _say(self, level: str, event: str, message: str, kind: str = "") -> None:
        """Log what goes wrong, once until it is well again."""
        if (event + kind) not in self._told:
            self._told.add(event + kind)
            self._log.log(
                level, event, message=message, kind=kind or UNSET, dropped=self.dropped
            )
