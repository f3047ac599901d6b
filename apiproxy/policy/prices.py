"""Which price holds for a model, and what a response has cost by it.

Asked in this order, and the first that knows the model is believed:

1. what an operator has written down (``operator``);
2. what the provider itself says in its list of models (``provider``);
3. the catalogue that comes with apiproxy (``genai-prices``, ``curated``);
4. for ``auto`` at Copilot, where the provider chooses, the dearest there is
   (``dynamic_selector_fallback``);
5. the price that is configured for all others (``configured_default``);
6. for the literal name ``unknown``, or where all others shall have a price and none is
   configured, that of a good model (``builtin_fallback``).
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct

from apiproxy.core.usage import Usage
from apiproxy.policy.catalogue import CURATED, Catalogue, Entry, Step
from apiproxy.policy.names import LONGEST, plain
from apiproxy.policy.rules import Pricing, Unknown
from apiproxy.policy.tariff import Bill, Price, bill

Source = Literal[
    "operator",
    "provider",
    "genai-prices",
    "curated",
    "dynamic_selector_fallback",
    "configured_default",
    "builtin_fallback",
]

CATALOGUE = Path(__file__).with_name("prices.json")
"""What comes with apiproxy."""

_MILLION = 1_000_000
AUTO = Price.of(10 * _MILLION, 50 * _MILLION, _MILLION, 12_500_000)
FALLBACK = Price.of(3 * _MILLION, 15 * _MILLION, 300_000, 3_750_000)

_MOST_NAMES = 1024
"""Names whose price is remembered; agents may make up any number of them."""


class Quote(Struct, frozen=True):
    """A price, and how it came to be.

    Attributes:
        source: who said so.
        steps: by amount of input, the least first.
        selector: ``copilot:auto`` where the provider chooses the model; empty else.
    """

    source: Source
    steps: tuple[tuple[int, Price], ...]
    selector: str = ""

    @property
    def fallback(self) -> bool:
        """Whether it is a guess and not the price of this model."""
        return self.source in (
            "dynamic_selector_fallback",
            "configured_default",
            "builtin_fallback",
        )

    @property
    def policy(self) -> str:
        """The reference's word for the kind of price it is."""
        if self.selector:
            return (
                "dynamic_selector_fallback"
                if self.source == "dynamic_selector_fallback"
                else "dynamic_selector_runtime"
            )
        return "unknown_model_fallback" if self.fallback else "concrete_model"

    def step(self, input: int) -> int:
        """Which of the steps a response with so much input has."""
        if len(self.steps) == 1:
            return 0
        fitting = [at for at, (above, _) in enumerate(self.steps) if above < input]
        return fitting[-1] if fitting else 0

    def price(self, input: int) -> Price:
        """Of a response with so many tokens of input, from caches and to them included."""
        return self.steps[self.step(input)][1]

    def tier(self, input: int) -> str:
        """The reference's word for the step."""
        if self.source == "dynamic_selector_fallback":
            return "conservative"
        return "long_context" if self.step(input) else "default"

    def bill(self, usage: Usage) -> Bill:
        """What a response has cost."""
        steps = self.steps
        price = steps[0][1] if len(steps) == 1 else self.price(usage.all_input)
        return bill(usage, price)


class Prices:
    """Finds the price of a model."""

    def __init__(
        self,
        pricing: Pricing,
        unknown: Unknown,
        today: Callable[[], str],
        read: Callable[[], bytes],
    ) -> None:
        """Read nothing yet.

        Args:
            pricing: what is said of prices here.
            unknown: what becomes of a model that nobody knows.
            today: gives the day, as ``YYYY-MM-DD`` in UTC.
            read: gives the bytes of the catalogue, such as those of ``CATALOGUE``.
        """
        self._pricing = pricing
        self._unknown = unknown
        self._today = today
        self.catalogue = Catalogue(read)
        self._told: dict[tuple[str, str], tuple[Step, ...]] = {}
        self._day = ""
        self._quotes: dict[tuple[str, str, str], Quote | None] = {}

    def tell(self, provider: str, prices: dict[str, tuple[Step, ...]]) -> None:
        """Take over what a provider says of its own prices, by model; all it says now."""
        kept = {key: value for key, value in self._told.items() if key[0] != provider}
        for model, steps in list(prices.items())[:_MOST_NAMES]:
            kept[provider, plain(model)] = steps
        self._told = kept
        self._quotes.clear()

    def quote(self, provider: str, model: str, tier: str = "") -> Quote | None:
        """The price of a model; None if nobody knows it and it shall cost nothing.

        Args:
            provider: as we call it.
            model: as it was named; "" is not known to anybody.
            tier: the service tier of the answer, if that is known.
        """
        day = self._today()
        if day != self._day or len(self._quotes) >= _MOST_NAMES:
            self._day = day
            self._quotes.clear()
        key = provider, model[:LONGEST], tier[:LONGEST]
        if key not in self._quotes:
            self._quotes[key] = self._known(*key) or self._guess(model)
        return self._quotes[key]

    def best(
        self, provider: str, models: Iterable[str], tier: str = ""
    ) -> Quote | None:
        """The price of the first of these names that is known, else a guess, else None."""
        quotes = [self.quote(provider, model, tier) for model in models if model]
        known = (quote for quote in quotes if quote is not None and not quote.fallback)
        return next(known, next((quote for quote in quotes if quote is not None), None))

    def _known(self, provider: str, model: str, tier: str) -> Quote | None:
        name = plain(model)
        if not name:
            return None
        selector = "copilot:auto" if (provider, name) == ("copilot", "auto") else ""
        if (price := self._pricing.overlay.find(provider, name)) is not None:
            return Quote("operator", ((0, price),), selector)
        if (told := self._told.get((provider, name))) is not None:
            return Quote("provider", _steps(told), selector)
        found = self.catalogue.find(provider, model)
        if found is not None:
            return self._listed(*found, tier)
        if selector:
            return Quote("dynamic_selector_fallback", ((0, AUTO),), selector)
        return None

    def _listed(self, shelf: str, entry: Entry, tier: str) -> Quote:
        source: Source = "curated" if shelf == CURATED else "genai-prices"
        return Quote(source, _steps(entry.steps(self._day, tier)))

    def _guess(self, model: str) -> Quote | None:
        default = self._pricing.default
        if default is not None and self._unknown == "default":
            return Quote("configured_default", ((0, default),))
        if self._unknown == "default" or plain(model) == "unknown":
            return Quote("builtin_fallback", ((0, FALLBACK),))
        return None


def _steps(steps: Iterable[Step]) -> tuple[tuple[int, Price], ...]:
    return tuple((step.above, step.price) for step in steps)
