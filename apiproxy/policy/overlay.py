"""Prices that an operator has written down, which go before those we know.

The shape is that of the older sidecar: dollars for *one token*, as numbers or as text::

    {"openai": {"models": {"gpt-5": {"cost": {"input": "0.00000125", "output": "0.00001",
                                              "cache_read": …, "cache_write": …}}}}}

``cache_read`` is a tenth of ``input`` if it is not said. A model without a cost is skipped,
since such a file may say other things of a model; one whose cost is wrong is reported.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from attrs import field, frozen

from apiproxy.policy.names import bases, plain
from apiproxy.policy.tariff import PER_MILLION, Price, per_million, tenth

_KEYS = {
    "copilot": ("copilot", "github-copilot", "github"),
    "gemini": ("gemini", "google"),
}
"""What a provider may be called in the file, the best first."""


@frozen
class Overlay:
    """Prices by provider and plain name of a model.

    Attributes:
        prices: those that were said.
        faults: ``provider/model`` of those that could not be read.
    """

    prices: Mapping[str, Mapping[str, Price]] = field(factory=dict)
    faults: tuple[str, ...] = ()

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a plainly named model.

        That of the name itself, else of what is left of it without decorations. What only
        begins like a known model may cost ten times as much.
        """
        for key in _KEYS.get(provider, (provider,)):
            if key in self.prices:
                models = self.prices[key]
                return next(
                    (models[base] for base in bases(model) if base in models), None
                )
        return None

    def over(self, other: "Overlay") -> "Overlay":
        """This one, and what only the other one has."""
        prices = {key: dict(models) for key, models in other.prices.items()}
        for key, models in self.prices.items():
            prices.setdefault(key, {}).update(models)
        return Overlay(prices, self.faults + other.faults)

    def __bool__(self) -> bool:
        return bool(self.prices)


NO_PRICES = Overlay()


def read_overlay(text: str | bytes) -> Overlay:
    """Read a file of prices.

    Raises:
        ValueError: it is not JSON, or not an object of providers.
    """
    # Any: whatever somebody has written; every step looks at what it has got.
    document: Any = _json(text)
    if not isinstance(document, dict):
        raise ValueError("must be a JSON object of providers")  # noqa: TRY004
    prices: dict[str, dict[str, Price]] = {}
    faults: list[str] = []
    for provider, model, price in _entries(document):
        if price is None:
            faults.append(f"{provider}/{model}")
        else:
            prices.setdefault(provider.lower(), {})[plain(model)] = price
    return Overlay(prices, tuple(faults))


def _json(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("must be JSON") from None


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Price | None]]:
    for provider, about in document.items():
        models = about.get("models") if isinstance(about, dict) else None
        if not isinstance(models, dict):
            continue
        for model, entry in models.items():
            if isinstance(entry, dict) and "cost" in entry:
                yield provider, model, _cost(entry["cost"])


def _cost(entry: Any) -> Price | None:
    if not isinstance(entry, dict):
        return None
    try:
        input, output, cached, written = (
            _price(entry.get(key), PER_MILLION)
            for key in ("input", "output", "cache_read", "cache_write")
        )
    except ValueError:
        return None
    if input is None or output is None:
        return None
    return Price.of(input, output, tenth(input) if cached is None else cached, written)


def read_default(text: str) -> Price:
    """The price of models that nobody knows.

    Args:
        text: JSON of ``{"input", "output", "cachedInput"?, "cacheWrite"?}``, dollars for a
            million tokens.

    Raises:
        ValueError: with the rest of a sentence about the setting.
    """
    entry = _json(text)
    if not isinstance(entry, dict):
        raise ValueError("must be a JSON object with input and output")  # noqa: TRY004
    input, output, cached, written = (
        _price(entry.get(key), 1)
        for key in ("input", "output", "cachedInput", "cacheWrite")
    )
    if input is None or output is None:
        raise ValueError("must have input and output, in dollars for 1M tokens")
    return Price.of(input, output, tenth(input) if cached is None else cached, written)


def _price(value: Any, times: int) -> int | None:
    """Picodollars for one token, of dollars for so many; None if it is not said."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must have numbers as prices")  # noqa: TRY004
    if len(str(value)) > 40:
        raise ValueError("must have prices of at most 40 characters")
    try:
        return per_million(Decimal(str(value)) * times)
    except InvalidOperation:
        raise ValueError("must have numbers as prices") from None
