"""Writes the prices of genai-prices into the file that apiproxy reads; see ``make prices``.

genai-prices imports pydantic and httpx and takes a quarter of a second to load, so it is not
there at run time. ``apiproxy.policy.catalogue`` says what the file looks like.
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from genai_prices.data import providers
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
)

from apiproxy.policy.catalogue import Dated, Entry, Step
from apiproxy.policy.names import plain
from apiproxy.policy.tariff import per_million

FIELDS = (
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
    "input_audio_mtok",
    "output_audio_mtok",
    "input_image_mtok",
    "output_image_mtok",
)
"""Theirs, in the order in which ``Price.of`` takes them."""

CURATED = {
    "raptor-mini": (0.25, 2.0, 0.025),
    "gpt-5-codex-mini": (0.25, 2.0, 0.025),
    "mai-code-1-flash": (0.75, 4.5, 0.075),
    "gemini-3-flash": (0.5, 3.0, 0.05),
    "gemini-3.1-flash": (0.75, 4.5, 0.075),
    "gemini-3.1-pro": (2.0, 12.0, 0.2),
    "claude-mythos-5": (10.0, 50.0, 1.0, 12.5),
}
"""Models that genai-prices does not have, or only under other names: dollars for a million
tokens of input and output, read from a cache and written to one."""

BEGIN = ("starts_with",)
"""Clauses that many names fit which nobody has written down."""

TIERS = ("service_tier", "processing", "speed")
"""What of a request chooses another price, and comes back as the tier of the answer."""


def main(path: str) -> None:
    """Write the file at this path."""
    listed = {}
    for provider in providers:
        if entries := [trimmed(entry) for entry in provider_entries(provider)]:
            listed[provider.id] = entries
    listed["curated"] = [trimmed(entry) for entry in curated()]
    file = {
        "source": "genai-prices",
        "version": version("genai-prices"),
        "date": datetime.now(UTC).date().isoformat(),
        "providers": listed,
    }
    text = msgspec.json.encode(file)
    # One provider on a line, so that a change can be seen in the history.
    for name in listed:
        text = text.replace(f'"{name}":[['.encode(), f'\n"{name}":[['.encode(), 1)
    Path(path).write_bytes(text + b"\n")


def curated() -> Iterator[Entry]:
    """The models that are written down here."""
    for name, dollars in CURATED.items():
        figures: list[int | None] = [per_million(Decimal(str(one))) for one in dollars]
        yield Entry([plain(name)], [], [Dated("", [Step(0, figures)])])


def trimmed(entry: Entry) -> list[Any]:
    """An entry without what is empty at its end."""
    row = list(msgspec.to_builtins(entry))
    while not row[-1]:
        row.pop()
    return row


def provider_entries(provider: Provider) -> Iterator[Entry]:
    """All models of a provider that are paid for by tokens."""
    ready = [(model, list(ordered(priced(model)))) for model in provider.models]
    sold = [(model, dated) for model, dated in ready if dated]
    # The dearest first: where two models can be called alike, nobody pays too little.
    sold.sort(key=lambda pair: -dear(pair[1][-1].steps))
    taken = {text for model, _ in sold for text in exact(model)}
    for model, dated in sold:
        keys = exact(model)
        for _, text in clauses(model.match):
            for form in (text.lower().strip("-@"), unvaried(text)):
                if form and form not in taken:
                    taken.add(form)
                    keys.add(form)
        prefixes = {
            unvaried(text) for how, text in clauses(model.match) if how in BEGIN
        }
        begin = sorted(filter(None, prefixes))
        yield Entry(shortest(keys), begin, dated, variants(model))


def exact(model: ModelInfo) -> set[str]:
    """Names that can be no other model's."""
    texts = [text for how, text in clauses(model.match) if how == "equals"]
    return {text.lower() for text in [model.id, *texts]}


def unvaried(text: str) -> str:
    """Its plain name; empty for a variant, which is another model at another price."""
    tuned = text.startswith("ft:")
    return plain(text) if tuned or "-v" in text or ":" not in text else ""


def shortest(keys: set[str]) -> list[str]:
    """Without those that are found by their plain form as well.

    One with a vendor stays: without the vendor it may be another entry's.
    """
    return sorted(
        key
        for key in keys
        if key == plain(key) or "/" in key or unvaried(key) not in keys
    )


def clauses(match: Any) -> Iterator[tuple[str, str]]:
    """How names are recognized: the words of all clauses but regular expressions."""
    for how in ("equals", "starts_with", "contains", "ends_with"):
        if text := getattr(match, how, ""):
            yield how, text
    for each in [*getattr(match, "or_", ()), *getattr(match, "and_", ())]:
        yield from clauses(each)


def priced(model: ModelInfo) -> Iterator[tuple[str, ModelPrice]]:
    """Each price with the day it begins, and without the hours of the day it is for."""
    if isinstance(model.prices, ModelPrice):
        yield "", model.prices
        return
    latest = ""
    for one in model.prices:
        if isinstance(one.constraint, StartDateConstraint):
            latest = one.constraint.start_date.isoformat()
        # One that holds for some hours only follows the one it differs from; the dearest
        # of a day counts for all of it.
        yield latest, one.prices


def ordered(prices: Iterable[tuple[str, ModelPrice]]) -> Iterator[Dated]:
    """By day, and of one day the dearest."""
    found: dict[str, list[Step]] = {}
    for start, price in prices:
        steps = list(stepped(price))
        if steps and (start not in found or dear(steps) > dear(found[start])):
            found[start] = steps
    for start in sorted(found):
        yield Dated(start, found[start])


def dear(steps: list[Step]) -> int:
    """What prices are compared by."""
    price = steps[0].price
    return price.input + price.output


def stepped(price: ModelPrice) -> Iterator[Step]:
    """The price, and those for more input."""
    found = [getattr(price, name, None) for name in FIELDS]
    if found[0] is None and found[1] is None:
        # Nothing at all is the price of what is free; else it is not paid for by tokens.
        if all(value is None for value in vars(price).values()):
            yield Step(0, [0, 0])
        return
    tiered = [value for value in found if isinstance(value, TieredPrices)]
    starts = {tier.start for value in tiered for tier in value.tiers}
    for above in sorted({0, *starts}):
        input, output, *rest = (price_at(value, above) for value in found)
        figures = [input or 0, output or 0, *rest]
        while figures[-1] is None:
            figures.pop()
        yield Step(above, figures)


def price_at(value: Any, above: int) -> int | None:
    """The price that holds for more input than this."""
    if isinstance(value, TieredPrices):
        fit = [tier.price for tier in value.tiers if tier.start <= above]
        value = fit[-1] if fit else value.base
    return None if value is None else per_million(value)


def variants(model: ModelInfo) -> dict[str, list[Dated]]:
    """Other prices, by the tier that has them; what they do not say is as for all."""
    found: dict[str, list[tuple[str, ModelPrice]]] = {}
    *_, (_, base) = priced(model)
    for one in model.price_variants or ():
        (key, word), *more = one.when.items()
        said = {
            name: each for name, each in vars(one.prices).items() if each is not None
        }
        if key in TIERS and said and not more:
            start = getattr(one.constraint, "start_date", None)
            merged = ModelPrice(**{**vars(base), **said})
            day = start.isoformat() if isinstance(start, date) else ""
            found.setdefault(word, []).append((day, merged))
    ready = {word: list(ordered(prices)) for word, prices in found.items()}
    return {word: dated for word, dated in ready.items() if dated}


if __name__ == "__main__":
    main(sys.argv[1])
