"""A thread for what may take long, such as to wait for a disk.

Not one of the reactor's threads: they look up names, and the process waits for them when it
ends. This one is left behind if it hangs.
"""

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")


class Background:
    """Does one thing after the other, and tells the reactor of each."""

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        """Nothing to do yet, and so no thread.

        Args:
            reactor: told what came out.
            name: of the thread.
        """
        self._reactor = reactor
        self._name = name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Have something done.

        Returns:
            Fires with its result, or fails with what it raised; it cannot be cancelled.
        """
        done: Deferred[T] = Deferred()
        self._work.put(partial(self._do, work, done))
        if self._thread is None:
            self._thread = Thread(target=self._loop, name=self._name, daemon=True)
            self._thread.start()
        return done

    def end(self) -> None:
        """Nothing will follow; the thread ends when all is done."""
        self._work.put(None)
        self._thread = None

    def _loop(self) -> None:
        while (item := self._work.get()) is not None:
            item()

    # Any: the result goes from the work to its own Deferred.
    def _do(self, work: Callable[[], Any], done: Deferred[Any]) -> None:
        try:
            tell = partial(done.callback, work())
        except Exception:
            tell = partial(done.errback, Failure())
        self._reactor.callFromThread(tell)
