"""Who is carried now and who waits: places for exchanges, and a fair line for them.

Places are limited in all and for each key, a caller or a peer. Those who wait are served
first come, first served within their key, and one key after the other, so that a caller with a
thousand requests delays nobody with one. Nothing here waits or knows a clock: the wire holds
those whose ticket is not ready, and gives up a ticket when its time is over.

A key is in the round (``_round``) while somebody waits for it and it may have more places than
it has; each key stands there once, so that entering, leaving and giving up take the same time
however many wait.
"""

from collections import OrderedDict

from apiproxy.core.errors import Overloaded, QueueTimeout
from apiproxy.policy.rules import Places


class Ticket:
    """One exchange that has a place, or waits for one.

    Attributes:
        key: whose it is.
        ready: whether it has a place.
        over: whether it has left or given up.
    """

    __slots__ = ("key", "over", "ready")

    def __init__(self, key: str) -> None:
        self.key = key
        self.ready = False
        self.over = False

    def __repr__(self) -> str:
        state = "over" if self.over else "ready" if self.ready else "waiting"
        return f"<Ticket {self.key} {state}>"


class FairQueue:
    """All places of a process.

    Attributes:
        carried: tickets that have a place.
        waiting: tickets that wait for one.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._carried: dict[str, int] = {}
        self._lines: dict[str, OrderedDict[Ticket, None]] = {}
        self._round: OrderedDict[str, None] = OrderedDict()
        self.carried = 0
        self.waiting = 0

    def use(self, places: Places) -> list[Ticket]:
        """Go by these limits from now on; whoever has a place keeps it.

        Returns:
            Those who have got a place by it, in the order they are to be served.
        """
        self._places = places
        self._round = OrderedDict.fromkeys(filter(self._may_have, self._lines))
        return self._serve()

    def enter(self, key: str) -> Ticket | Overloaded:
        """A ticket that is ready, or one that waits; the refusal if too many wait."""
        ticket = Ticket(key)
        if self._free and self._may_have(key) and key not in self._lines:
            self._place(ticket)
        elif self.waiting >= self._places.waiting:
            return Overloaded(
                "Too many requests wait for a place already; see APIPROXY_MAX_WAITING."
            )
        else:
            self._lines.setdefault(key, OrderedDict())[ticket] = None
            self.waiting += 1
            self._stand(key)
        return ticket

    def leave(self, ticket: Ticket) -> list[Ticket]:
        """Give a place back, or stop waiting.

        Returns:
            Those who have got a place by it, in the order they are to be served.
        """
        if ticket.over:
            return []
        ticket.over = True
        if not ticket.ready:
            self._forget(ticket)
            return []
        self.carried -= 1
        self._carried[ticket.key] -= 1
        if not self._carried[ticket.key]:
            del self._carried[ticket.key]
        self._stand(ticket.key)
        return self._serve()

    def give_up(self, ticket: Ticket) -> QueueTimeout:
        """Stop waiting, because the time is over.

        Returns:
            What the agent is told. A ticket that has got a place in the meantime must
            ``leave`` instead.
        """
        assert not ticket.ready
        self.leave(ticket)
        return QueueTimeout()

    @property
    def _free(self) -> bool:
        most = self._places.concurrent
        return most is None or self.carried < most

    def _may_have(self, key: str) -> bool:
        most = self._places.per_caller
        return most is None or self._carried.get(key, 0) < most

    def _place(self, ticket: Ticket) -> None:
        ticket.ready = True
        self.carried += 1
        self._carried[ticket.key] = self._carried.get(ticket.key, 0) + 1

    def _stand(self, key: str) -> None:
        """Put a key into the round, if there is something it could get there."""
        if key in self._lines and self._may_have(key):
            self._round.setdefault(key)

    def _serve(self) -> list[Ticket]:
        served = []
        while self._free and self._round:
            key, _ = self._round.popitem(last=False)
            ticket = next(iter(self._lines[key]))
            self._forget(ticket)
            self._place(ticket)
            self._stand(key)
            served.append(ticket)
        return served

    def _forget(self, ticket: Ticket) -> None:
        line = self._lines[ticket.key]
        del line[ticket]
        if not line:
            del self._lines[ticket.key]
            self._round.pop(ticket.key, None)
        self.waiting -= 1

    def __repr__(self) -> str:
        return f"<FairQueue {self.carried} carried, {self.waiting} waiting>"
