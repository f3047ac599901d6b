"""A reload that is over when all workers have put the new settings in force."""

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IReactorTime

PATIENCE_SECONDS = 10.0


class Reloading:
    """Waits for the workers that have not done it yet."""

    def __init__(
        self, workers: Iterable[object], done: Callable[[], None], clock: IReactorTime
    ) -> None:
        """Wait for none yet; see ``begin``.

        Args:
            workers: those to wait for.
            done: called once, when all have done it or time is up.
            clock: for patience.
        """
        self._waiting = set(workers)
        self._done: Callable[[], None] | None = done
        self._timer = clock.callLater(PATIENCE_SECONDS, self.end)

    def begin(self) -> None:
        """Wait from now on; the workers have been told."""
        if not self._waiting:
            self.end()

    def done_by(self, worker: object) -> None:
        """A worker has done it, or has ended."""
        self._waiting.discard(worker)
        self.begin()

    def end(self) -> None:
        """Wait no more."""
        if self._timer.active():
            self._timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done()
