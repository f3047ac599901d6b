"""All rules and budgets, as they were set: frozen values that this whole room reads."""

from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from apiproxy.core.metered import NANODOLLARS_PER_CREDIT
from apiproxy.policy.overlay import NO_PRICES, Overlay
from apiproxy.policy.tariff import Price

Unknown = Literal["refuse", "default", "free"]
"""What becomes of a model whose price nobody knows."""

CREDIT = NANODOLLARS_PER_CREDIT
"""Billionths of a dollar in one AI credit, which is a cent."""


@frozen(kw_only=True)
class Rates:
    """How much each provider may be asked in a time; None for no limit.

    Attributes:
        enabled: whether there are limits at all.
        rpm: requests, upgrades and ``response.create`` messages in a minute.
        rph: the same in an hour.
        bytes_pm: bytes that agents send in a minute.
    """

    enabled: bool = False
    rpm: int | None = 600
    rph: int | None = 1000
    bytes_pm: int | None = 50 * 1024 * 1024


@frozen(kw_only=True)
class Places:
    """How many exchanges are carried at once, and who waits how long.

    Attributes:
        concurrent: at once, over all callers; None for as many as come.
        per_caller: at once for one caller; None for all there are.
        waiting: that may wait for a place.
        seconds: one waits.
    """

    concurrent: int | None = None
    per_caller: int | None = None
    waiting: int = 1024
    seconds: float = 60.0

    @property
    def limited(self) -> bool:
        """Whether there are only so many."""
        return self.concurrent is not None or self.per_caller is not None


@frozen(kw_only=True)
class Weighing:
    """What makes effective tokens of tokens; thousandths of an effective token for each.

    Attributes:
        input: for one that was read as new.
        cached: for one that was read from a cache.
        cache_write: for one written to a cache for minutes.
        cache_write_hour: for one written to a cache for an hour.
        output: for one that was made, reasoning included.
        multipliers: by model, or by what its name begins with; in millionths.
        default_multiplier: for all other models; in millionths.
    """

    input: int = 1000
    cached: int = 100
    cache_write: int = 1250
    cache_write_hour: int = 2000
    output: int = 4000
    multipliers: Mapping[str, int] = field(factory=dict)
    default_multiplier: int = 1_000_000


@frozen(kw_only=True)
class Budgets:
    """What a run may use; None for no limit.

    Attributes:
        tokens: effective tokens, in thousandths.
        ai_credits: money, in billionths of a dollar.
        hard_cap: money that holds whatever ``ai_credits`` says, in billionths of a dollar;
            where requests are seen before they leave, see ``Rules.sees_requests``.
        runs: inference requests answered with success.
        misses: answers in a row, of one provider and model, that read nothing from a cache.
        denied: answers 401 and 403 of one provider.
        forgiving: whether a success at a provider forgives what it denied before.
        cut_off: whether an answer that crosses a cap is ended in the middle.
        reserve: tokens of output that are set aside for a model nobody has seen answer.
        include_usage: whether streams of chat completions are asked for their usage, which
            they tell only if asked; ``auto`` where a budget needs it.
        unmetered: whether what might cost something that nobody can count is let through,
            where there is a budget or a rule about models.
    """

    tokens: int | None = None
    ai_credits: int | None = None
    hard_cap: int | None = 10_000 * CREDIT
    runs: int | None = None
    misses: int | None = None
    denied: int | None = None
    forgiving: bool = True
    cut_off: bool = True
    reserve: int = 4096
    include_usage: Literal["auto", "on", "off"] = "auto"
    unmetered: Literal["refuse", "allow"] = "refuse"

    @property
    def asks_usage(self) -> bool:
        """Whether streams of chat completions are asked for their usage."""
        if self.include_usage == "auto":
            return self.tokens is not None or self.ai_credits is not None
        return self.include_usage == "on"

    @property
    def money_cap(self) -> int | None:
        """The cap on money that is in force."""
        caps = [cap for cap in (self.ai_credits, self.hard_cap) if cap is not None]
        return min(caps, default=None)

    @property
    def hard(self) -> bool:
        """Whether the cap on money that is in force is the hard one."""
        return self.money_cap is not None and self.money_cap != self.ai_credits

    def cap(self, account: str, measure: str) -> int | None:
        """What is configured for an account; None for no limit.

        Args:
            account: such as ``run:1``; see ``policy.ledger``.
            measure: in whose unit it is.
        """
        kind, _, name = account.partition(":")
        caps = {
            ("run", "tokens"): self.tokens,
            ("run", "money"): self.money_cap,
            ("run", "runs"): self.runs,
            ("provider", "denied"): self.denied,
            ("model", "misses"): self.misses if "/" in name else None,
        }
        return caps.get((kind, measure))


@frozen(kw_only=True)
class Models:
    """Which models may be used.

    Attributes:
        allowed: patterns of those that may, with ``*`` for anything; empty for all.
        disallowed: patterns of those that may not.
        max_multiplier: the greatest multiplier, in millionths; None for any.
    """

    allowed: tuple[str, ...] = ()
    disallowed: tuple[str, ...] = ()
    max_multiplier: int | None = None


@frozen(kw_only=True)
class Pricing:
    """What is said of prices here.

    Attributes:
        overlay: prices that go before those we know.
        file: path of the file from which some of them are; None for none.
        default: for models whose price nobody knows; None for none.
        unknown: what becomes of such models; None for what fits: they are refused where a
            budget of money is set and ``default`` is not, cost ``default`` where that is
            set, and nothing else.
    """

    overlay: Overlay = NO_PRICES
    file: str | None = None
    default: Price | None = None
    unknown: Unknown | None = None


@frozen(kw_only=True)
class Steering:
    """Whether a model is told that its time or budget ends.

    Attributes:
        enabled: whether it is.
        minutes: the agent has, from our start; None for all the time there is.
    """

    enabled: bool = False
    minutes: int | None = None


@frozen(kw_only=True)
class Rules:
    """All there is.

    Attributes:
        rates: how much in a time.
        places: how many at once.
        weighing: what an effective token is.
        budgets: what a run may use.
        models: which may be used.
        pricing: what they cost.
        steering: what they are told.
    """

    rates: Rates = field(factory=Rates)
    places: Places = field(factory=Places)
    weighing: Weighing = field(factory=Weighing)
    budgets: Budgets = field(factory=Budgets)
    models: Models = field(factory=Models)
    pricing: Pricing = field(factory=Pricing)
    steering: Steering = field(factory=Steering)

    @property
    def counts(self) -> bool:
        """Whether something is set that only holds where answers can be counted."""
        budgets = self.budgets
        caps = (budgets.tokens, budgets.ai_credits, budgets.runs)
        return self.reads_models or any(cap is not None for cap in caps)

    @property
    def unknown(self) -> Unknown:
        """What becomes of a model whose price nobody knows."""
        if self.pricing.unknown is not None:
            return self.pricing.unknown
        if self.pricing.default is not None:
            return "default"
        return "refuse" if self.budgets.ai_credits is not None else "free"

    @property
    def sees_requests(self) -> bool:
        """Whether something is set for which a request must be seen before it leaves."""
        budgets = self.budgets
        caps = (
            budgets.tokens,
            budgets.ai_credits,
            budgets.runs,
            budgets.misses,
            budgets.denied,
        )
        return (
            self.reads_models
            or self.steering.enabled
            or budgets.asks_usage
            or any(cap is not None for cap in caps)
        )

    def cap(self, account: str, measure: str) -> int | None:
        """What is configured for an account and in force; None for no limit.

        The hard cap has a number from the start, but holds only where requests are seen.

        Args:
            account: such as ``run:1``; see ``policy.ledger``.
            measure: in whose unit it is.
        """
        if not (self.places.limited or self.sees_requests):
            return None
        return self.budgets.cap(account, measure)

    @property
    def reads_models(self) -> bool:
        """Whether a request must not pass whose model cannot be read."""
        models = self.models
        return bool(
            models.allowed
            or models.disallowed
            or models.max_multiplier is not None
            or self.unknown == "refuse"
        )
