"""Prices of all models there are, from a file that ``make prices`` writes.

They come from genai-prices, with the days they begin, those of long contexts, and those of
faster or slower service. The file is read when somebody asks for the first price, and of it
only the providers that are asked for.
"""

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from apiproxy.policy.names import plain, spellings, vendor
from apiproxy.policy.tariff import Price


class Step(Struct, frozen=True, array_like=True, gc=False):
    """A price, from an amount of input on.

    Attributes:
        above: tokens of input; a response with more of them has this price for all it used.
        figures: what ``Price.of`` takes, in picodollars, as far as anything is known.
    """

    above: int
    figures: list[int | None]

    @property
    def price(self) -> Price:
        """Of each token."""
        input, output, *rest = self.figures
        return Price.of(input or 0, output or 0, *rest)


class Dated(Struct, frozen=True, array_like=True):
    """A price, from a day on.

    Attributes:
        start: the first day, as ``YYYY-MM-DD``; empty for always.
        steps: by amount of input, the least first.
    """

    start: str
    steps: list[Step]


class Entry(Struct, frozen=True, array_like=True):
    """One model of a provider.

    Attributes:
        keys: names it is found by.
        prefixes: what other names of it begin with.
        prices: by day, the oldest first.
        variants: the same by service tier, as far as that changes a price.
    """

    keys: list[str]
    prefixes: list[str]
    prices: list[Dated]
    variants: dict[str, list[Dated]] = {}

    def steps(self, day: str, tier: str) -> list[Step]:
        """The prices of a day (``YYYY-MM-DD``), the least first; empty for none."""
        dated = self.variants.get(tier.lower(), self.prices)
        for one in reversed(dated):
            if one.start <= day:
                return one.steps
        return self.prices[0].steps if dated is self.prices else self.steps(day, "")


class File(Struct, frozen=True):
    """The whole file.

    Attributes:
        source: the package they come from.
        version: of that package.
        date: when they were taken over.
        providers: a list of ``Entry`` for each, read when it is needed.
    """

    source: str
    version: str
    date: str
    providers: dict[str, msgspec.Raw]


_THEIRS = {
    "gemini": ("google",),
    "vertex": ("google", "anthropic"),
    "copilot": ("github-copilot",),
    "bedrock": ("aws",),
    "xai": ("x-ai",),
}
"""What genai-prices calls our providers, where it has another word."""

_MAKERS = (
    "openai",
    "anthropic",
    "google",
    "x-ai",
    "mistral",
    "deepseek",
    "moonshotai",
    "zai",
    "minimax",
    "cohere",
    "meta",
    "aws",
)
"""Who makes models; asked last, since anybody may sell what they have made."""

_SELLERS = ("openrouter",)
"""Asked for names with a vendor in front that nobody else knows."""

CURATED = "curated"
"""Models that are in no list but ours."""


class Catalogue:
    """Finds models in the file."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        """Read nothing yet.

        Args:
            read: gives the bytes of the file.
        """
        self._read = read
        self._file: File | None = None
        self._shelves: dict[str, Shelf] = {}

    @property
    def file(self) -> File:
        """The file; read when this is asked for first."""
        if self._file is None:
            self._file = msgspec.json.decode(self._read(), type=File)
        return self._file

    def find(self, provider: str, model: str) -> tuple[str, Entry] | None:
        """The model that a provider, as we call it, knows by this name, and where it stood."""
        for name in self._places(provider, model):
            shelf = self._shelf(name)
            if shelf is not None and (entry := shelf.find(model)) is not None:
                return name, entry
        return None

    def _places(self, provider: str, model: str) -> Iterator[str]:
        """Where to look, the likeliest first."""
        yield from _THEIRS.get(provider, (provider,))
        maker = vendor(model)
        if maker:
            yield from _THEIRS.get(maker, (maker,))
        yield from _MAKERS
        if maker:
            yield from _SELLERS
        yield CURATED

    def _shelf(self, name: str) -> "Shelf | None":
        if name not in self._shelves:
            raw = self.file.providers.get(name)
            if raw is None:
                return None
            entries = msgspec.json.decode(raw, type=list[Entry])
            self._shelves[name] = Shelf(entries)
        return self._shelves[name]


class Shelf:
    """The models of one provider."""

    def __init__(self, entries: list[Entry]) -> None:
        self._keys: dict[str, Entry] = {}
        self._prefixes: dict[str, Entry] = {}
        for entry in entries:
            self._keys |= dict.fromkeys(entry.keys, entry)
            self._prefixes |= dict.fromkeys(entry.prefixes, entry)
        self._longest = max(map(len, self._prefixes), default=0)

    def find(self, model: str) -> Entry | None:
        """By its name, its name without decorations, or what its name begins with."""
        for spelling in spellings(model):
            if (entry := self._keys.get(spelling)) is not None:
                return entry
        return self._beginning(plain(model))

    def _beginning(self, name: str) -> Entry | None:
        for at in range(min(len(name), self._longest), 0, -1):
            if (entry := self._prefixes.get(name[:at])) is not None:
                return entry
        return None
