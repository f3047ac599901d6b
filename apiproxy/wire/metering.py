"""From a demand to a settled record: what stands at the way in, and keeps the books.

``Metering`` is one for the process. It lets a demand pass, or refuses it::

    rates ─▶ guards ─▶ a place in the queue ─▶ a claim in the ledger ─▶ Passage

and settles what each ``Passage`` tells. Where no rule has to see a request before it leaves,
there is nothing to wait for, and a passage only counts.

While a response runs its claim grows with it, and the one that crosses a cap is told to end.
The ledger may be on another host, so what is asked of it may be known later; with a ledger at
hand all of it happens at once. What cannot be written down now because the ledger is away is
tried again until it can: no count is lost, unless the process is.
"""

from collections.abc import Callable

from attrs import frozen
from msgspec import structs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from apiproxy.core.errors import AgentGone, LedgerAway, ProxyError, QueueTimeout
from apiproxy.core.exchange import ASKED, Complain, Exchange
from apiproxy.core.memo import Memo
from apiproxy.core.usage import AnswerReader, Demand, Record
from apiproxy.core.values import Answer, Ask
from apiproxy.policy.admission import Admission
from apiproxy.policy.ledger import Claim, Ledger, LedgerUnavailable, Shortage
from apiproxy.policy.queue import FairQueue, Ticket
from apiproxy.providers.calls import read_call
from apiproxy.providers.demand import read_demand
from apiproxy.providers.usage.answer import open_answer
from apiproxy.wire.passage import Passage
from apiproxy.wire.pool import ReplayBudget

Tell = Callable[[Passage, Record], None]
"""Told of each response that is over, when there is time."""


@frozen
class Entered:
    """What may leave.

    Attributes:
        body: of the request, perhaps edited.
        passage: where its answer is read; None if there is nothing to read.
    """

    body: bytes
    passage: Passage | None


class Metering:
    """Rules, queue and ledger of one process.

    Attributes:
        held: memory for the bodies of requests that are not on their way yet.
        holds: whether a rule has to see a request before any of it leaves.
    """

    def __init__(
        self,
        admission: Admission,
        ledger: Ledger,
        *,
        clock: IReactorTime,
        seconds: Callable[[], float],
        new_id: Callable[[], str],
        tell: Tell,
        complain: Complain,
        held: int,
        open_without_ledger: bool = False,
    ) -> None:
        """Nothing has passed yet.

        Args:
            admission: decides.
            ledger: keeps count.
            clock: sets deadlines.
            seconds: tells the time by a clock that does not jump.
            new_id: makes ids of claims.
            tell: told of each response that is over.
            complain: told of bugs, and of a ledger that is away.
            held: bytes of bodies that may be held at once.
            open_without_ledger: whether requests pass while the ledger is away.
        """
        self._admission = admission
        self._ledger = ledger
        self._clock = clock
        self._seconds = seconds
        self._new_id = new_id
        self._tell = tell
        self._complain = complain
        self._open = open_without_ledger
        self._calls = Memo(lambda path: read_call(b"POST", path))
        self.held = ReplayBudget(held)

    @property
    def holds(self) -> bool:
        """Whether a rule has to see a request before any of it leaves."""
        return self._admission.holds

    # The way in.

    def passage(self, exchange: Exchange, ask: Ask) -> Passage | None:
        """Let a request pass that no rule has to see; None if no model is asked."""
        if ask.method != b"POST":
            return None
        call = self._calls[ask.path]
        if call is None or not call.inference:
            return None
        demand = Demand(True, call.model, ask.length or 0, stream=call.stream)
        return Passage(self, exchange, demand, self._seconds())

    async def enter(self, exchange: Exchange, ask: Ask, body: bytes) -> Entered:
        """Let a request pass, or refuse it.

        Raises:
            ProxyError: why it may not leave.
        """
        path, _, query = ask.target.partition(b"?")
        demand = read_demand(ask.method, path, query, body, ask.fields)
        if not demand.inference:
            return Entered(body, None)
        return Entered(body, await self.admit(exchange, demand))

    async def admit(self, exchange: Exchange, demand: Demand) -> Passage:
        """Let a demand pass, or refuse it.

        Raises:
            ProxyError: why it may not.
        """
        refusal = self._admission.check(demand, exchange.provider, exchange.caller)
        if refusal is not None:
            raise refusal
        claim = self._admission.claim(
            self._new_id(), demand, exchange.provider, exchange.caller
        )
        await self._reserve(claim)
        return Passage(
            self, exchange, demand, self._seconds(), claim, watched=self._admission.cuts
        )
