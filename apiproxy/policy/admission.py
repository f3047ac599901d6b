"""What a request sets aside before it leaves, and what is written down when it is over.

A claim has an entry for the run, the provider, the model and the caller in each measure. Only
some of them have a cap by configuration; the others are there so that an operator may set one
at any time, and so that it can be seen who has used what. Which accounts a response is written
down on is taken from its claim, whatever name the provider gives the model: a cap on ``gpt-5``
must not be slipped because the answer says ``gpt-5-2025-08-07``.

Nothing here holds what is under way, so that nothing can be lost.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from apiproxy.core.errors import ProxyError
from apiproxy.core.usage import Demand, Record, Usage
from apiproxy.policy.estimates import MOST, bounded, prompt, so_far, tokens
from apiproxy.policy.guards import ModelGuard
from apiproxy.policy.habits import Habits
from apiproxy.policy.ledger import Claim, Entry, Shortage, Standing
from apiproxy.policy.names import LONGEST
from apiproxy.policy.prices import Prices, Quote
from apiproxy.policy.refusals import refusal
from apiproxy.policy.rules import Rules
from apiproxy.policy.tariff import Bill
from apiproxy.policy.weights import ONE, Weights

Key = tuple[str, str]
"""An account and a measure."""

_CACHEABLE = 1024
"""Tokens of input below which no provider caches anything."""

_FIRST_TURNS = 1024
"""Models whose first turn is remembered."""


class Settled(Struct, frozen=True):
    """What became of a response.

    Attributes:
        entries: for ``Ledger.settle``.
        clears: accounts and measures for ``Ledger.clear``, because a streak has ended.
        usage: what was counted.
        estimated: whether that is our estimate.
        effective_tokens: that it weighs.
        multiplier: of the model.
        known_multiplier: whether anything is configured for the model.
        nanodollars: billionths of a dollar; None if the price is not known.
        bill: what of it was for what; None if the price is not known.
        quote: the price; None if it is not known.
        tier: which of its steps was taken: ``default``, ``long_context``,
            ``conservative``; empty if there is no price.
    """

    entries: tuple[Entry, ...]
    clears: tuple[Key, ...]
    usage: Usage
    estimated: bool
    effective_tokens: float
    multiplier: float
    known_multiplier: bool
    nanodollars: int | None
    bill: Bill | None
    quote: Quote | None
    tier: str


class Admission:
    """Decides what may leave, and what it has cost."""

    def __init__(self, rules: Rules, prices: Prices) -> None:
        self._rules = rules
        self._budgets = rules.budgets
        self._prices = prices
        self._weights = Weights(rules.weighing)
        self._guard = ModelGuard(rules, self._weights, prices)
        self._habits = Habits()
        self._turned: dict[str, None] = {}

    def check(self, demand: Demand, provider: str) -> ProxyError | None:
        """The refusal by a rule about models; None to let it pass."""
        return self._guard.check(demand, provider)

    def claim(
        self, id: str, demand: Demand, provider: str, caller: str, run: str
    ) -> Claim | None:
        """What a request sets aside; None if it makes no model work.

        Args:
            id: not used twice.
            demand: what it asks.
            provider: of whom.
            caller: who asks; empty if that is not known.
            run: the run it belongs to.
        """
        if not demand.inference:
            return None
        usage = Usage(input=prompt(demand), output=self._outputs(demand))
        weight, money = self._amounts(usage, provider, (demand.model,), "")
        amounts = {"tokens": min(weight, MOST), "money": min(money, MOST), "runs": 1}
        return Claim(
            id, tuple(self._entries(amounts, demand.model, provider, caller, run))
        )

    def _entries(
        self,
        amounts: Mapping[str, int],
        model: str,
        provider: str,
        caller: str,
        run: str,
    ) -> Iterator[Entry]:
        """All entries of a claim, in the order in which they are refused."""
        budgets = self._budgets
        own = f"run:{run}"
        yield Entry(own, "tokens", amounts["tokens"], budgets.tokens)
        yield Entry(own, "runs", amounts["runs"], budgets.runs)
        if budgets.misses is not None:
            yield Entry(_streak(provider, model), "misses", 0, budgets.misses)
        yield Entry(f"provider:{provider}", "denied", 0, budgets.denied)
        yield Entry(own, "denied", 0)
        yield Entry(own, "money", amounts["money"], budgets.money_cap)
        others = [f"provider:{provider}"]
        others += [f"model:{_account(model)}"] if model else []
        others += [f"caller:{caller}"] if caller else []
        for account in others:
            for measure, amount in amounts.items():
                yield Entry(account, measure, amount)

    def refusal(self, shortage: Shortage) -> ProxyError:
        """What an agent is told that gets no room."""
        return refusal(shortage, hard=self._budgets.hard)

    def so_far(
        self, claim: Claim, record: Record, demand: Demand, provider: str
    ) -> tuple[Entry, ...]:
        """What a response under way has used up to now, on the accounts of its claim."""
        usage = so_far(record, demand)
        models = (record.model, demand.model)
        weight, money = self._amounts(usage, provider, models, record.tier)
        return _spent(claim, {"tokens": weight, "money": money})

    def settled(
        self,
        claim: Claim,
        record: Record,
        demand: Demand,
        provider: str,
        *,
        succeeded: bool,
    ) -> Settled:
        """What is written down of a response that is over.

        Args:
            claim: what it had set aside.
            record: what was read of it.
            demand: what was asked.
            provider: who answered.
            succeeded: whether the answer was a success, if perhaps an incomplete one.
        """
        usage, estimated = self._usage(record, demand, succeeded=succeeded)
        models = (record.model, demand.model)
        weight = self._weights.weigh(usage, record.model or demand.model)
        quote = self._prices.best(provider, models, record.tier)
        bill = None if quote is None else quote.bill(usage)
        money = 0 if bill is None else bill.total
        amounts = {"tokens": weight, "money": money, "runs": int(succeeded)}
        missed, clears = self._streaks(
            usage, demand, provider, succeeded=succeeded, known=not estimated
        )
        if succeeded and not estimated and record.state == "completed":
            self._habits.learn(_account(demand.model), usage.output)
        known = self._weights.known(record.model or demand.model)
        return Settled(
            entries=_spent(claim, amounts) + missed,
            clears=clears,
            usage=usage,
            estimated=estimated,
            effective_tokens=weight / 1000,
            multiplier=self._weights.multiplier(record.model or demand.model) / ONE,
            known_multiplier=known is not None,
            nanodollars=None if bill is None else bill.total,
            bill=bill,
            quote=quote,
            tier="" if quote is None else quote.tier(usage.all_input),
        )

    def failed(
        self, provider: str, status: int, run: str | None = None
    ) -> tuple[Entry, ...]:
        """What is written down, by ``Ledger.add``, of an answer of the provider itself.

        A 403 of the egress proxy, or one of our own, is none. What a provider denies counts
        against the cap of its own account, until a success; on the account of the run, if
        that is given, all of it stays to be seen.
        """
        if status not in (401, 403):
            return ()
        own = Entry(f"provider:{provider}", "denied", 1, self._budgets.denied)
        return (own,) if run is None else (own, Entry(f"run:{run}", "denied", 1))

    def _usage(
        self, record: Record, demand: Demand, *, succeeded: bool
    ) -> tuple[Usage, bool]:
        """What is counted, and whether it is an estimate.

        Nothing of a failure that told of nothing. Where nothing could be read of a success,
        what such an answer usually has.
        """
        if record.usage is not None:
            return bounded(record.usage), record.estimated
        if not succeeded:
            return Usage(), False
        if record.said or not record.gap:
            return so_far(record, demand), True
        return Usage(input=prompt(demand), output=self._usual(demand)), True

    def _outputs(self, demand: Demand) -> int:
        """Tokens of output that a request sets aside."""
        each = demand.max_output
        if each is None:
            each = self._usual(demand)
        return tokens(tokens(each) * max(1, min(demand.answers, 1024)))

    def _usual(self, demand: Demand) -> int:
        """Tokens of output that an answer usually has, if it may have them."""
        usual = self._habits.expect(_account(demand.model))
        usual = self._budgets.reserve if usual is None else usual
        return usual if demand.max_output is None else min(usual, demand.max_output)

    def _amounts(
        self, usage: Usage, provider: str, models: tuple[str, ...], tier: str
    ) -> tuple[int, int]:
        """Effective tokens and money, in the units of the ledger."""
        model = next(filter(None, models), "")
        quote = self._prices.best(provider, models, tier)
        money = 0 if quote is None else quote.bill(usage).total
        return self._weights.weigh(usage, model), money

    def _streaks(
        self,
        usage: Usage,
        demand: Demand,
        provider: str,
        *,
        succeeded: bool,
        known: bool,
    ) -> tuple[tuple[Entry, ...], tuple[Key, ...]]:
        """Streaks of misses and denials: what is added, and what has ended."""
        missed: tuple[Entry, ...] = ()
        clears: list[Key] = []
        if succeeded and self._budgets.forgiving and self._budgets.denied is not None:
            clears.append((f"provider:{provider}", "denied"))
        if self._budgets.misses is not None and succeeded and known:
            account = _streak(provider, demand.model)
            if usage.cached:
                clears.append((account, "misses"))
                self._first_turn(account)
            elif usage.all_input >= _CACHEABLE and not self._first_turn(account):
                missed = (Entry(account, "misses", 1, self._budgets.misses),)
        return missed, tuple(clears)

    def _first_turn(self, account: str) -> bool:
        """Whether this was the first of a model, which has nothing to read from a cache."""
        if account in self._turned:
            return False
        if len(self._turned) >= _FIRST_TURNS:
            del self._turned[next(iter(self._turned))]
        self._turned[account] = None
        return True


def crossed(
    so_far: Sequence[Entry], standings: Mapping[Key, Standing]
) -> Shortage | None:
    """The first cap that a response under way has crossed; None as long as none is.

    Args:
        so_far: what it has used up to now; see ``Admission.so_far``.
        standings: of its accounts; what others have set aside does not matter here.
    """
    for entry in so_far:
        key = entry.account, entry.measure
        standing = standings.get(key, Standing(*key))
        cap = entry.cap if standing.cap is None else standing.cap
        if cap is not None and standing.spent + entry.amount > cap:
            spent = Standing(*key, standing.spent + entry.amount, cap=standing.cap)
            return Shortage(Entry(*key, entry.amount, cap), spent)
    return None


def _spent(claim: Claim, amounts: Mapping[str, int]) -> tuple[Entry, ...]:
    """These amounts on the accounts of a claim."""
    return tuple(
        Entry(each.account, each.measure, min(amounts[each.measure], MOST), each.cap)
        for each in claim.entries
        if each.measure in amounts
    )


def _account(model: str) -> str:
    """A model as its account is named: in lower case, without vendor and wishes."""
    name = model.strip()[:LONGEST].lower().partition("?")[0]
    return name.rpartition("/")[2] or "unknown"


def _streak(provider: str, model: str) -> str:
    """The account that counts what a model of a provider did not read from its cache."""
    return f"model:{provider}/{_account(model)}"
