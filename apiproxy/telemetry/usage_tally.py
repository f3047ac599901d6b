"""What the responses of one provider have used, and how much of them could not be read.

A model's name comes from the provider, or from the agent, and is a label here. So only the
first few names are kept, in each process and of all processes together; what comes under
other names counts as ``other``, and so does what only an agent has named, of an answer that
never was. Sums stay right whatever that hides.
"""

from typing import Any

from msgspec import Struct

from apiproxy.core.metered import Metered

OTHER = "other"

MOST_MODELS = 50
"""Models that are told apart, of one provider."""

MOST_WORDS = 30
"""Reasons and codes that are told apart; all of them are our own, and fewer."""

LONGEST_LABEL = 100
"""Characters of a label."""

KINDS = ("input", "cached", "written", "output", "reasoning")
"""Of tokens; reasoning is part of output, the others have nothing in common."""


class ModelTally(Struct):
    """The figures of one model.

    Attributes:
        input: tokens that were neither read from a cache nor written to one.
        cached: tokens read from a cache.
        written: tokens written to a cache.
        output: tokens made.
        reasoning: tokens made that are thoughts.
        nanodollars: what they cost, as far as there is a price.
    """

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0
    nanodollars: int = 0

    def include(self, other: "ModelTally") -> None:
        """Add the figures of another."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class UsageTally(Struct):
    """The figures of one provider.

    Attributes:
        models: by model.
        reported: input tokens as the provider counts them.
        responses: how many were ``metered``, ``estimated`` and ``unmetered``.
        bytes: of answers, likewise.
        gaps: responses that were not, or not completely, metered, by reason.
        gap_bytes: bytes of those.
        refusals: requests that a budget or a guard has refused, by code.
        rate_limits: requests that a rate limit has refused, by its name.
    """

    models: dict[str, ModelTally] = {}
    reported: int = 0
    responses: dict[str, int] = {}
    bytes: dict[str, int] = {}
    gaps: dict[str, int] = {}
    gap_bytes: dict[str, int] = {}
    refusals: dict[str, int] = {}
    rate_limits: dict[str, int] = {}

    def add(self, metered: Metered) -> None:
        """Count a response that is over."""
        # This is done for each request, so nothing is called that can be done here.
        record, size = metered.record, metered.bytes
        usage, how = record.usage, "estimated" if record.estimated else "metered"
        name = record.model or metered.asked or metered.provider
        model = self.models.get(name)
        if model is None:
            # An agent that does not wait for answers may ask for any number of models.
            sure = record.model or record.state == "completed"
            model = self._model(name if sure else OTHER)
        if usage is None:
            how = "unmetered"
        else:
            all_written = usage.written + usage.written_hour
            model.input += usage.input
            model.cached += usage.cached
            model.written += all_written
            model.output += usage.output
            model.reasoning += usage.reasoning
            self.reported += usage.input
            if usage.inclusive:
                self.reported += usage.cached + all_written
        model.nanodollars += metered.cost.nanodollars or 0
        self.responses[how] = self.responses.get(how, 0) + 1
        self.bytes[how] = self.bytes.get(how, 0) + size
        if usage is None or record.gap:
            count(self.gaps, metered.gap)
            count(self.gap_bytes, metered.gap, size)

    def include(self, other: "UsageTally") -> None:
        """Add the figures of another."""
        for model, tally in other.models.items():
            self._model(model).include(tally)
        self.reported += other.reported
        for name in _BY_WORD:
            mine: dict[str, int] = getattr(self, name)
            for word, number in getattr(other, name).items():
                count(mine, word, number)

    def total(self, kind: str) -> int:
        """The figure of this name, of all models."""
        return sum(getattr(tally, kind) for tally in self.models.values())

    def _model(self, model: str) -> ModelTally:
        label = _label(self.models, model, MOST_MODELS)
        tally = self.models.get(label)
        if tally is None:
            tally = self.models[label] = ModelTally()
        return tally


_BY_WORD = ("responses", "bytes", "gaps", "gap_bytes", "refusals", "rate_limits")


def count(figures: dict[str, int], word: str, number: int = 1) -> None:
    """Add to the figure of a word, or to that of ``other`` if there are too many words."""
    label = _label(figures, word, MOST_WORDS)
    figures[label] = figures.get(label, 0) + number


def _label(known: dict[str, Any], name: str, most: int) -> str:
    """The name as a label; ``known`` has one more than ``most`` at the end."""
    name = name[:LONGEST_LABEL].encode("utf-8", "replace").decode()
    return name if name in known or len(known) < most else OTHER
