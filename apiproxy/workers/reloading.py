"""A reload that is over when all workers have put the new settings in force."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

PATIENCE_SECONDS = 10.0


T = TypeVar("T")


class Reloading(Generic[T]):
    """Waits for the workers that have not done it yet."""

    def __init__(
        self,
        workers: Iterable[T],
        done: Callable[[set[T], set[T]], None],
        clock: IReactorTime,
    ) -> None:
        """Wait for none yet; see ``begin``.

        Args:
            workers: those to wait for.
            done: called once, when all have answered or time is up, with those that could
                not do it, and those that did not answer.
            clock: for patience.
        """
        self._waiting = set(workers)
        self._failed: set[T] = set()
        self._done: Callable[[set[T], set[T]], None] | None = done
        self._timer = clock.callLater(PATIENCE_SECONDS, self._end)

    def begin(self) -> None:
        """Wait from now on; the workers have been told."""
        if not self._waiting:
            self._end()

    def done_by(self, worker: T, *, ok: bool = True) -> None:
        """A worker has done it, or could not; one that has ended is not waited for."""
        if worker in self._waiting:
            self._waiting.discard(worker)
            if not ok:
                self._failed.add(worker)
            self.begin()

    def cancel(self) -> None:
        """Wait no more, and say nothing: it is overtaken by something else."""
        self._done = None
        self._end()

    def _end(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done(self._failed, self._waiting)
