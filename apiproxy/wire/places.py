"""A place for each exchange that is carried, and waiting for one.

Who gets the next place is decided by ``policy.queue``; here somebody waits for it, for so long
and no longer.
"""

from collections.abc import Callable, Iterable

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from apiproxy.core.errors import Overloaded
from apiproxy.core.exchange import Exchange
from apiproxy.core.grant import listed
from apiproxy.policy.queue import FairQueue, Ticket
from apiproxy.policy.rules import Places


def _nothing() -> None:
    """There was no place to give back."""


def part_of(places: Places, worker: int, workers: int) -> Places:
    """The places of one of several processes, which has at least one.

    Args:
        places: of all together.
        worker: its number, from 0.
        workers: how many there are.
    """

    def part(number: int) -> int:
        return max(number // workers + (worker < number % workers), 1)

    if workers == 1:
        return places
    concurrent, per_caller = places.concurrent, places.per_caller
    return evolve(
        places,
        concurrent=None if concurrent is None else part(concurrent),
        per_caller=None if per_caller is None else part(per_caller),
        waiting=part(places.waiting),
    )


class PlaceQueue:
    """The places of one process.

    Attributes:
        limited: whether there are only so many.
    """

    def __init__(self, places: Places, clock: IReactorTime) -> None:
        """All places are free."""
        self._seconds = places.seconds
        self._queue = FairQueue(places)
        self._clock = clock
        self._waiting: dict[Ticket, Deferred[None]] = {}
        self.limited = places.limited

    def use(self, places: Places) -> None:
        """Go by these limits from now on; whoever has a place keeps it."""
        self._seconds = places.seconds
        self.limited = places.limited
        self._call(self._queue.use(places))

    async def enter(self, exchange: Exchange) -> Callable[[], None]:
        """Have a place; it waits until there is one.

        Returns:
            What gives it back.

        Raises:
            ProxyError: too many wait already, or it took too long.
        """
        if not self.limited:
            return _nothing
        # Whoever has a token narrows it as often as he likes; all that have the same caller
        # in the list share its places.
        ticket = self._queue.enter(listed(exchange.caller))
        if isinstance(ticket, Overloaded):
            raise ticket
        if not ticket.ready:
            began = self._clock.seconds()
            await self._wait(ticket)
            exchange.queued_seconds += self._clock.seconds() - began
        return lambda: self._leave(ticket)

    async def _wait(self, ticket: Ticket) -> None:
        waiting: Deferred[None] = Deferred()
        self._waiting[ticket] = waiting
        late = self._clock.callLater(self._seconds, self._give_up, ticket)
        try:
            await waiting
        except CancelledError:
            self._leave(ticket)
            raise
        finally:
            self._waiting.pop(ticket, None)
            if late.active():
                late.cancel()

    def _give_up(self, ticket: Ticket) -> None:
        """Its time is over."""
        self._waiting.pop(ticket).errback(self._queue.give_up(ticket))

    def _leave(self, ticket: Ticket) -> None:
        """Give a place back, and call those who get one by it."""
        self._call(self._queue.leave(ticket))

    def _call(self, served: Iterable[Ticket]) -> None:
        """Tell those who have got a place."""
        for ready in served:
            waiting = self._waiting.pop(ready, None)
            if waiting is None:
                self._leave(ready)
            else:
                waiting.callback(None)

    def __repr__(self) -> str:
        return f"<PlaceQueue {self._queue!r}>"
