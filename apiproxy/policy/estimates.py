"""What is counted where a provider has not told, or has told nonsense."""

from msgspec import structs

from apiproxy.core.usage import Demand, Record, Usage

BYTES_PER_TOKEN = 4
"""Of a prompt, or of what a model says; about what English text has."""

LARGEST = 10_000_000
"""Tokens that anybody may claim or report at once; more is a mistake or a lie."""

MOST = 10**15
"""The largest amount that one response adds to an account."""


def tokens(count: int) -> int:
    """A number of tokens that is not absurd."""
    return max(0, min(count, LARGEST))


def prompt(demand: Demand) -> int:
    """Tokens of input that a request has, by its size."""
    return tokens(-(-demand.input_bytes // BYTES_PER_TOKEN))


def so_far(record: Record, demand: Demand) -> Usage:
    """What a response has used as far as it has been read.

    Providers tell the input at the beginning, if at all then, and the output at the end; so
    the output is at least what the text makes that has come.
    """
    said = tokens(-(-record.said // BYTES_PER_TOKEN))
    usage = record.usage
    if usage is None:
        return Usage(input=prompt(demand), output=said)
    return bounded(usage, output=max(usage.output, said))


def bounded(usage: Usage, output: int | None = None) -> Usage:
    """A usage in which no figure is absurd; with another output, if one is given."""
    figures = structs.astuple(usage)  # ``inclusive`` is among them, and never absurd
    if output is None and min(figures) >= 0 and max(figures) <= LARGEST:
        return usage  # as with all but mistakes and lies
    return Usage(
        tokens(usage.input),
        tokens(usage.cached),
        tokens(usage.written),
        tokens(usage.written_hour),
        tokens(usage.output if output is None else output),
        tokens(usage.reasoning),
        tokens(usage.audio_input),
        tokens(usage.audio_output),
        tokens(usage.image_input),
        tokens(usage.image_output),
        usage.inclusive,
    )
