"""A reactor of the kind that serves in production, turned by hand.

It polls real sockets of the loopback interface, but only when there is something to find:
how often it is asked then depends on what is sent and not on when.
"""

import select
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

from apiproxy.wire.dispatch import dispatch_directly

_PATIENCE_SECONDS = 5.0
_WAIT_MS = 1

Counting = Callable[[Callable[[], object]], object]
"""Does something, and counts what it calls, or does not."""


class Loop:
    """One reactor beside the global one.

    Attributes:
        reactor: it.
    """

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()
        dispatch_directly(self.reactor)
        self._look = select.poll()
        self._look.register(self.reactor._poller.fileno(), select.POLLIN)

    def until(self, condition: Callable[[], object], counting: Counting) -> None:
        """Turn until something is so, and then until nothing is left to do.

        Args:
            condition: looked at after each turn.
            counting: does what it is given, and counts what that calls, or does not.

        Raises:
            TimeoutError: it never is.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            if self._is_due(_WAIT_MS):
                counting(self._once)
            elif time.monotonic() > deadline:
                raise TimeoutError("what the scene waits for does not come")
        while self._is_due(0):
            counting(self._once)

    def _is_due(self, wait_ms: int) -> bool:
        """Whether the reactor would find something to do."""
        return self.reactor.timeout() == 0 or bool(self._look.poll(wait_ms))

    def _once(self) -> None:
        self.reactor.iterate(0)

    def close(self) -> None:
        """Close all it has."""
        reactor = self.reactor
        for reader in reactor.removeAll():
            reader.connectionLost(Failure(CONNECTION_DONE))
        for call in reactor.getDelayedCalls():
            call.cancel()
        reactor.waker.connectionLost(Failure(CONNECTION_DONE))
        reactor._poller.close()
