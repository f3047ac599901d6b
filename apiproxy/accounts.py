"""What responses have cost, written down once: in the ledger, and for whoever counts and logs.

What was claimed is settled at once, for somebody may be waiting for what that gives back. What
nobody had to claim is noted, and added up a few dozen at a time, as log lines are. What cannot
be written down for now is owed (``ledger.debts``).
"""

from collections.abc import Callable, Iterable
from functools import partial

from msgspec import Struct, structs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import Complain, Exchange
from apiproxy.core.metered import Cost, Metered
from apiproxy.core.usage import Demand, Record
from apiproxy.ledger.debts import Debts
from apiproxy.policy.admission import Admission, Settled
from apiproxy.policy.growth import beyond, grown, with_own
from apiproxy.policy.ledger import (
    Claim,
    Entry,
    Ledger,
    LedgerUnavailable,
    Shortage,
)
from apiproxy.policy.weights import ONE
from apiproxy.providers.usage.kept import Kept
from apiproxy.telemetry.batch import Batch
from apiproxy.wire.passage import Passage

_SUM_SECONDS = 1.0


class _Sum(Struct, gc=False):
    """Added up for one model of a provider, asked by one caller, as the ledger counts."""

    tokens: int = 0
    money: int = 0
    runs: int = 0


Refused = Callable[[Exchange, ProxyError], None]
"""Is told of what an agent asked, and why it may not have it."""


class Accounts:
    """The books of one process.

    Attributes:
        ledger: where sums are kept.
        run: whose budget everything here is on.
        capped: whether an operator has set a cap.
    """

    def __init__(
        self,
        ledger: Ledger,
        admission: Admission,
        run: str,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        seconds: Callable[[], float],
        tell: Callable[[Metered], None],
        tell_refusal: Refused,
        complain: Complain,
    ) -> None:
        """Empty books.

        Args:
            ledger: where sums are kept.
            admission: knows what everything costs.
            run: whose budget everything here is on.
            clock: for what is done later.
            now: epoch seconds.
            seconds: a clock that does not jump.
            tell: told of each response that is over; later, and many at a time.
            tell_refusal: told of each refusal.
            complain: told of what cannot be written down.
        """
        self.ledger = ledger
        self.run = run
        self.capped = False
        self._admission = admission
        self._clock = clock
        self._now = now
        self._seconds = seconds
        self._tell = tell
        self._tell_refusal = tell_refusal
        self._complain = complain
        self._told: Batch[Metered] = Batch(clock, tell)
        self._noted: Batch[tuple[Passage, Record | Kept]] = Batch(clock, self._note)
        self._debts = Debts(clock, complain)
        self._sums: dict[tuple[str, str, str], _Sum] = {}
        self._missed: list[Entry] = []
        self._summing: IDelayedCall | None = None
        self._effective = 0.0
        self._nanodollars = 0

    def use(self, admission: Admission, run: str) -> None:
        """Decide by other rules from now on, and on the budget of this run."""
        self._admission = admission
        self.run = run

    def claim(self, id: str, exchange: Exchange, demand: Demand) -> Claim | None:
        """What a demand sets aside; None if it makes no model work."""
        return self._admission.claim(
            id,
            demand,
            exchange.provider,
            exchange.caller,
            self.run,
            exchange.grant,
        )

    def drop(self, claim: Claim) -> None:
        """Give a claim back that came too late for whoever made it."""
        self._debts.write(lambda: self.ledger.release(claim.id))

    def refused(self, exchange: Exchange, error: ProxyError) -> None:
        """A rule, a limit or a budget has refused what an agent asked."""
        self._tell_refusal(exchange, error)

    # What passages tell.

    def settle(self, passage: Passage, told: Record | Kept) -> None:
        """A response is over."""
        claim = passage.claim
        if claim is None or isinstance(told, Kept):
            self._noted.add((passage, told))
            return
        settled = self._admission.settled(
            claim,
            told,
            passage.demand,
            passage.exchange.provider,
            succeeded=told.state != "failed",
        )
        self._settle(claim.id, settled)
        self._told.add(self._metered(passage, told, settled))

    def _settle(self, id: str, settled: Settled) -> None:
        self._debts.write(lambda: self.ledger.settle(id, settled.entries))
        for account, measure in settled.clears:
            self._debts.write(partial(self.ledger.clear, account, measure))

    def give_back(self, passage: Passage, status: int) -> None:
        """There was no response.

        Args:
            passage: that is over.
            status: of the provider's own answer; 0 if it gave none.
        """
        claim = passage.claim
        if claim is not None:
            self.drop(claim)
        provider = passage.exchange.provider
        denied = self._admission.failed(provider, status, run=self.run)
        if denied:
            self._debts.write(lambda: self.ledger.add(denied))

    def grow(self, passage: Passage, record: Record) -> None:
        """A response has become longer; cut it if it has crossed a cap.

        As long as it has used less than was set aside for it, only what is spent counts
        beside it; beyond that it takes from what others may have.
        """
        claim = passage.claim
        assert claim is not None
        so_far = self._admission.so_far(
            claim, record, passage.demand, passage.exchange.provider
        )
        more = beyond(claim, so_far)
        if more:
            passage.claim = grown(claim, so_far)
        try:
            shortage = (
                self.ledger.extend(claim.id, more)
                if more
                else self.ledger.reaches(so_far)
            )
        except LedgerUnavailable:
            return  # what it has used is settled in the end
        if isinstance(shortage, Deferred):
            known = shortage.addCallback(
                lambda found: self._cut(passage, found, so_far)
            )
            _ = known.addErrback(_forgive)
        else:
            self._cut(passage, shortage, so_far)

    def _cut(self, passage: Passage, shortage: object, so_far: Iterable[Entry]) -> None:
        if isinstance(shortage, Shortage) and passage.cut is not None:
            told = with_own(shortage, so_far)
            passage.cut(self._admission.refusal(told))

    # What nobody had to claim.

    def _note(self, noted: tuple[Passage, Record | Kept]) -> None:
        """Read it if need be, price it, and add it up for the ledger."""
        passage, told = noted
        try:
            record = told.read() if isinstance(told, Kept) else told
            if self._summing is None:
                self._admission.look_again()
                self._summing = self._clock.callLater(_SUM_SECONDS, self._write_sums)
            exchange, demand = passage.exchange, passage.demand
            succeeded = record.state != "failed"
            settled = self._admission.costs(
                record, demand, exchange.provider, succeeded=succeeded
            )
            key = exchange.provider, demand.model, exchange.caller
            sum = self._sums.get(key)
            if sum is None:
                sum = self._sums[key] = _Sum()
            sum.tokens += settled.tokens
            if settled.bill is not None:
                sum.money += settled.bill.total
            if succeeded:
                sum.runs += 1
            if settled.missed:
                self._missed.extend(settled.missed)
            for account, measure in settled.clears:
                self._debts.write(partial(self.ledger.clear, account, measure))
            self._tell(self._metered(passage, record, settled))
        except Exception as error:  # or all that were noted with it were lost
            self._complain("a response could not be counted", error)

    def _write_sums(self) -> None:
        if self._summing is not None and self._summing.active():
            self._summing.cancel()
        self._summing = None
        sums, self._sums = self._sums, {}
        entries, self._missed = self._missed, []
        for key, sum in sums.items():
            entries += self._admission.shares(structs.asdict(sum), *key, self.run)
        together: dict[tuple[str, str], int] = {}
        for entry in entries:
            at = entry.account, entry.measure
            together[at] = together.get(at, 0) + entry.amount
        if together:
            added = [Entry(*at, amount) for at, amount in together.items()]
            self._debts.write(lambda: self.ledger.add(added))

    def catch_up(self) -> None:
        """Price and tell what was noted: exchanges have it from now on (``metered``)."""
        self._noted.flush()

    def flush(self) -> None:
        """Price, tell and write down what was noted, now."""
        self._noted.flush()
        self._told.flush()
        self._write_sums()

    # What all have in common.

    def _metered(self, passage: Passage, record: Record, settled: Settled) -> Metered:
        """What telemetry is told; the exchange has it, too, if it has but this one."""
        exchange, terms, bill = passage.exchange, settled.terms, settled.bill
        socket = exchange.transport == "websocket"
        record.usage, record.estimated = settled.usage, settled.estimated
        effective = settled.tokens / 1000
        self._effective += effective
        if bill is not None:
            self._nanodollars += bill.total
        cost = Cost(
            effective_tokens=effective,
            effective_tokens_total=self._effective,
            multiplier=terms.multiplier / ONE,
            nanodollars=None if bill is None else bill.total,
            nanodollars_total=None if bill is None else self._nanodollars,
            source=terms.source,
            tier=None if bill is None else settled.tier,
            accounting=terms.policy,
            fallback=terms.fallback,
            selector=terms.selector,
        )
        metered = Metered(
            record=record,
            request_id=exchange.id,
            provider=exchange.provider,
            transport=exchange.transport,
            path=exchange.path,
            status=exchange.status,
            streaming=socket or passage.demand.stream,
            started=self._now() - (self._seconds() - passage.started),
            seconds=passage.ended - passage.started,
            bytes=passage.size if socket else exchange.bytes_down,
            asked=passage.demand.model,
            caller=exchange.caller,
            run=self.run,
            initiator=passage.initiator or "",
            billing=None if passage.initiator is None else passage.billing(),
            cost=cost,
        )
        if not socket:
            exchange.metered = metered
        return metered

    @property
    def owed(self) -> int:
        """What could not be written down yet."""
        return len(self._debts)

    def close(self) -> None:
        """Write down what can be, and try no more."""
        self.flush()
        self._debts.close()

    def __repr__(self) -> str:
        return f"<Accounts of {self.run}, {self.owed} owed>"


def _forgive(failure: Failure) -> None:
    """The ledger is away; what a response has used is settled in the end."""
    failure.trap(LedgerUnavailable)
