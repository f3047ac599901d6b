"""A metering with real rules and a real ledger, in memory; the ledger can be slow, or away."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from apiproxy.accounts import Accounts
from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import Exchange
from apiproxy.core.metered import Metered, Transport
from apiproxy.ledger.memory import MemoryLedger
from apiproxy.policy.admission import Admission
from apiproxy.policy.edits import Editor
from apiproxy.policy.ledger import Claim, Entry, LedgerUnavailable, Shortage, Standing
from apiproxy.policy.prices import CATALOGUE, Prices
from apiproxy.policy.rate import RateLimits
from apiproxy.policy.rules import Budgets, Rules
from apiproxy.policy.steering import Warnings
from apiproxy.policy.tools import ToolPolicy
from apiproxy.wire.metering import Metering
from apiproxy.wire.places import PlaceQueue

RUN = "r"


class SlowLedger:
    """A ledger in memory that answers when it is told to, or cannot be reached.

    Attributes:
        store: what is behind it.
        slow: whether it answers later; see ``answer``.
        away: whether it cannot be reached.
        broken: what it fails with that nobody foresaw; None for nothing.
        waiting: what it has not answered yet.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.store = MemoryLedger(now)
        self.slow = False
        self.away = False
        self.broken: Exception | None = None
        self.waiting: list[Callable[[], None]] = []

    def _do(self, act: Callable[[], Any]) -> Any:
        if not self.slow:
            return self._done(act)
        later: Deferred[Any] = Deferred()

        def answer() -> None:
            try:
                later.callback(self._done(act))
            except Exception as error:
                later.errback(error)

        self.waiting.append(answer)
        return later

    def _done(self, act: Callable[[], Any]) -> Any:
        if self.broken is not None:
            raise self.broken
        if self.away:
            raise LedgerUnavailable
        return act()

    def answer(self) -> None:
        """Answer all that waits."""
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one()

    def reserve(self, claim: Claim) -> Any:
        return self._do(lambda: self.store.reserve(claim))

    def extend(self, id: str, entries: Sequence[Entry]) -> Any:
        return self._do(lambda: self.store.extend(id, entries))

    def reaches(self, entries: Sequence[Entry]) -> Any:
        return self._do(lambda: self.store.reaches(entries))

    def settle(self, id: str, spent: Sequence[Entry]) -> Any:
        return self._do(lambda: self.store.settle(id, spent))

    def release(self, id: str) -> Any:
        return self._do(lambda: self.store.release(id))

    def add(self, entries: Sequence[Entry]) -> Any:
        return self._do(lambda: self.store.add(entries))

    def clear(self, account: str, measure: str) -> Any:
        return self._do(lambda: self.store.clear(account, measure))

    def set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None = None
    ) -> Any:
        return self._do(lambda: self.store.set_cap(account, measure, cap, until))

    def standings(self) -> Any:
        return self._do(self.store.standings)

    def standing(self, measure: str, account: str = f"run:{RUN}") -> Standing:
        """How one account stands, now."""
        for one in self.store.standings():
            if (one.account, one.measure) == (account, measure):
                return one
        return Standing(account, measure)


class Desk:
    """A metering, and all that it has told.

    Attributes:
        clock: its time.
        ledger: where sums are.
        accounts: the books.
        metering: lets requests pass.
        places: the queue.
        told: responses that are over.
        refusals: codes of what was refused.
        complaints: bugs, and what could not be written.
    """

    def __init__(
        self,
        clock: Clock,
        rules: Rules | None = None,
        *,
        held: int = 1 << 20,
        open_without_ledger: bool = False,
    ) -> None:
        rules = rules or Rules()
        self.clock = clock
        self.ledger = SlowLedger(clock.seconds)
        self.told: list[Metered] = []
        self.refusals: list[str] = []
        self.complaints: list[str] = []
        self._ids = 0
        prices = Prices(
            rules.pricing, rules.unknown, lambda: "2026-01-01", CATALOGUE.read_bytes
        )
        self.admission = Admission(rules, prices)
        self.accounts = Accounts(
            self.ledger,
            self.admission,
            RUN,
            clock=clock,
            now=clock.seconds,
            seconds=clock.seconds,
            tell=self.told.append,
            tell_refusal=self._refused,
            complain=lambda sentence, error: self.complaints.append(sentence),
        )
        self.places = PlaceQueue(rules.places, clock)
        names = ["acme", "openai"]
        self.metering = Metering(
            rules,
            self.admission,
            Editor(rules, Warnings(rules.steering, clock.seconds(), clock.seconds)),
            ToolPolicy(),
            self.accounts,
            RateLimits(rules.rates, [0] * RateLimits.size(2), names, clock.seconds),
            self.places,
            seconds=clock.seconds,
            new_id=self._new_id,
            held=held,
            open_without_ledger=open_without_ledger,
        )

    def _new_id(self) -> str:
        self._ids += 1
        return f"claim-{self._ids}"

    def _refused(self, exchange: Exchange, error: ProxyError) -> None:
        self.refusals.append(error.code)

    def exchange(
        self, *, transport: Transport = "http", forwarded: bool = True
    ) -> Exchange:
        """An exchange of which nothing was answered yet."""
        exchange = Exchange(
            "id-1",
            "openai",
            "POST",
            "/v1/chat/completions",
            seconds=self.clock.seconds,
            transport=transport,
        )
        if forwarded:
            exchange.forward(reused=False)
        return exchange


def capped(**budgets: Any) -> Rules:
    """Rules with budgets; see ``Budgets`` for their units."""
    return Rules(budgets=Budgets(**budgets))


def shortage(cap: int, spent: int, reserved: int = 0) -> Shortage:
    """A shortage of effective tokens of the run."""
    account = f"run:{RUN}"
    return Shortage(
        Entry(account, "tokens", 1, cap), Standing(account, "tokens", spent, reserved)
    )
