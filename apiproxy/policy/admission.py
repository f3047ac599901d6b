"""What a request sets aside before it leaves, and what is written down when it is over.

A claim has an entry for the run, the provider, the model and the caller in each measure. Only
some of them have a cap by configuration; the others are there so that an operator may set one
at any time, and so that it can be seen who has used what. Which accounts a response is written
down on is taken from its claim, whatever name the provider gives the model: a cap on ``gpt-5``
must not be slipped because the answer says ``gpt-5-2025-08-07``.

Nothing here holds what is under way, so that nothing can be lost.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct, structs

from apiproxy.core.errors import Overloaded, ProxyError
from apiproxy.core.grant import Grant, accounts_of
from apiproxy.core.usage import Demand, Record, Usage
from apiproxy.policy.callers import entries as callers_entries
from apiproxy.policy.estimates import MOST, bounded, prompt, so_far, tokens
from apiproxy.policy.guards import ModelGuard
from apiproxy.policy.habits import Habits
from apiproxy.policy.ledger import Claim, Entry, Key, Shortage
from apiproxy.policy.names import account_of
from apiproxy.policy.prices import Prices, Quote
from apiproxy.policy.refusals import refusal
from apiproxy.policy.rules import Rules
from apiproxy.policy.streaks import Streaks, streak
from apiproxy.policy.tariff import Bill
from apiproxy.policy.weights import Weights

_LEFT = frozenset({"agent_gone", "request_timeout", Overloaded.code})
"""Gaps of responses that their agent did not wait for, or did not read to the end, or ended by
saying more on the socket than may be held.

Nothing else can an agent bring about as often as it likes; so such a response, if no figure of
its output was told, costs at least what is usual. Providers tell that last, and what was
thought is in nothing else: an agent that has read the answer and leaves just before that had
it for free.
"""

_MOST_TERMS = 1024
"""Models whose terms are remembered; agents and providers may make up any number."""


class Terms(Struct, frozen=True):
    """What holds for the tokens of one model at one provider.

    Attributes:
        multiplier: in millionths.
        known: whether that is configured for the model.
        quote: the price; None if it is not known.
        source: who said so; None if nobody did.
        policy: the kind of price it is; likewise.
        fallback: whether it is a guess; likewise.
        selector: where the provider chooses the model; likewise.
    """

    multiplier: int
    known: bool
    quote: Quote | None = None
    source: str | None = None
    policy: str | None = None
    fallback: bool | None = None
    selector: str | None = None


class Settled(Struct, frozen=True):
    """What became of a response.

    Attributes:
        usage: what was counted.
        estimated: whether that is our estimate.
        tokens: thousandths of effective tokens.
        terms: by which they were weighed and priced.
        bill: what of it was for what; None if the price is not known.
        missed: what is added to a streak of misses.
        clears: accounts and measures for ``Ledger.clear``, because a streak has ended.
        entries: for ``Ledger.settle``; none where nothing was set aside.
    """

    usage: Usage
    estimated: bool
    tokens: int
    terms: Terms
    bill: Bill | None
    missed: tuple[Entry, ...] = ()
    clears: tuple[Key, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def nanodollars(self) -> int | None:
        """Billionths of a dollar; None if the price is not known."""
        return None if self.bill is None else self.bill.total

    @property
    def tier(self) -> str:
        """Which of the price's steps was taken; empty if there is no price.

        ``default``, ``long_context`` or ``conservative``.
        """
        quote = self.terms.quote
        return "" if quote is None else quote.tier(self.usage.all_input)


class Admission:
    """Decides what may leave, and what it has cost."""

    def __init__(self, rules: Rules, prices: Prices) -> None:
        self._rules = rules
        self._budgets = rules.budgets
        self._prices = prices
        self._weights = Weights(rules.weighing)
        self._guard = ModelGuard(rules, self._weights, prices)
        self._habits = Habits()
        streaks = Streaks(rules.budgets)
        self._streaks = streaks if streaks.counted else None
        self._terms: dict[tuple[str, str, str, str], Terms] = {}

    def check(
        self, demand: Demand, provider: str, grant: Grant | None = None
    ) -> ProxyError | None:
        """The refusal by a rule about models; None to let it pass."""
        return self._guard.check(demand, provider, grant)

    def claim(
        self,
        id: str,
        demand: Demand,
        provider: str,
        caller: str,
        run: str,
        grant: Grant | None = None,
    ) -> Claim | None:
        """What a request sets aside; None if it makes no model work.

        Args:
            id: not used twice.
            demand: what it asks.
            provider: of whom.
            caller: who asks; empty if that is not known.
            run: the run it belongs to.
            grant: what the caller may use; None for as much as all may.
        """
        if not demand.inference:
            return None
        usage = Usage(input=prompt(demand), output=self._outputs(demand))
        weight, money = self._amounts(usage, provider, (demand.model,), "")
        amounts = {"tokens": min(weight, MOST), "money": min(money, MOST), "runs": 1}
        of_callers = callers_entries(grant, amounts)
        shared = self._entries(
            amounts, demand.model, provider, "" if of_callers else caller, run
        )
        return Claim(id, (*shared, *of_callers))

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
            yield Entry(streak(provider, model), "misses", 0, budgets.misses)
        yield Entry(f"provider:{provider}", "denied", 0, budgets.denied)
        yield Entry(own, "denied", 0)
        yield Entry(own, "money", amounts["money"], budgets.money_cap)
        others = [f"provider:{provider}"]
        others += [f"model:{account_of(model)}"] if model else []
        others += accounts_of(caller)
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
        if record.untold and record.usage is not None and record.gap in _LEFT:
            usual = _of_all(demand, self._usual(demand))
            usage = structs.replace(
                record.usage, output=max(record.usage.output, usual)
            )
            record = structs.replace(record, usage=usage)
        settled = self.costs(record, demand, provider, succeeded=succeeded)
        money = settled.nanodollars or 0
        amounts = {"tokens": settled.tokens, "money": money, "runs": int(succeeded)}
        if succeeded and not settled.estimated and record.state == "completed":
            self._habits.learn(account_of(demand.model), settled.usage.output)
        entries = _spent(claim, amounts) + settled.missed
        return structs.replace(settled, entries=entries)

    def costs(
        self, record: Record, demand: Demand, provider: str, *, succeeded: bool
    ) -> Settled:
        """What a response has cost, whether or not something was set aside for it."""
        usage, estimated = record.usage, record.estimated
        if usage is None:
            usage, estimated = self._usage(record, demand, succeeded=succeeded)
        else:
            usage = bounded(usage)
        key = provider, record.model, demand.model, record.tier
        terms = self._terms.get(key)
        if terms is None:
            terms = self._terms_of(*key)
        quote = terms.quote
        missed: tuple[Entry, ...] = ()
        clears: tuple[Key, ...] = ()
        if self._streaks is not None:
            missed, clears = self._streaks.of(
                usage, demand.model, provider, succeeded=succeeded, known=not estimated
            )
        return Settled(
            usage,
            estimated,
            self._weights.weigh_by(usage, terms.multiplier),
            terms,
            None if quote is None else quote.bill(usage),
            missed,
            clears,
        )

    def _terms_of(self, provider: str, told: str, asked: str, tier: str) -> Terms:
        """The terms for a model that was told and asked for under these names."""
        model = told or asked
        known = self._weights.known(model)
        multiplier = self._weights.multiplier(model)
        quote = self._prices.best(provider, (told, asked), tier)
        terms = Terms(multiplier, known is not None)
        if quote is not None:
            terms = Terms(
                multiplier,
                known is not None,
                quote,
                quote.source,
                quote.policy,
                quote.fallback,
                quote.selector or None,
            )
        if len(self._terms) >= _MOST_TERMS:
            self._terms.clear()
        self._terms[provider, told, asked, tier] = terms
        return terms

    def look_again(self) -> None:
        """Prices may have changed: a day is over, or a provider has told new ones."""
        self._terms.clear()

    def shares(
        self,
        amounts: Mapping[str, int],
        provider: str,
        model: str,
        caller: str,
        run: str,
    ) -> list[Entry]:
        """Amounts for which nothing was set aside, on all accounts they belong to."""
        return [
            each
            for each in self._entries(amounts, model, provider, caller, run)
            if each.measure in amounts
        ]

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
        """What is counted of a response that told of nothing, and whether it is an estimate.

        Nothing of a failure that told of nothing. Where nothing could be read of a success,
        what such an answer usually has.
        """
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
        return _of_all(demand, each)

    def _usual(self, demand: Demand) -> int:
        """Tokens of output that an answer usually has, if it may have them."""
        usual = self._habits.expect(account_of(demand.model))
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


def _of_all(demand: Demand, each: int) -> int:
    """Tokens of output that all answers have which are asked for at once."""
    return tokens(tokens(each) * max(1, min(demand.answers, 1024)))


def _spent(claim: Claim, amounts: Mapping[str, int]) -> tuple[Entry, ...]:
    """These amounts on the accounts of a claim."""
    return tuple(
        Entry(each.account, each.measure, min(amounts[each.measure], MOST), each.cap)
        for each in claim.entries
        if each.measure in amounts
    )
