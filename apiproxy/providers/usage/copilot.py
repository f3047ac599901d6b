"""Copilot's breakdown: what it bills, beside the usage of whatever dialect it answers in.

Its figures go before those of the usage. An ``input`` in it is what is new; without one, what
was written to the cache is part of the prompt.
"""

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.figures import sum_of
from apiproxy.providers.usage.shapes import Breakdown


def with_breakdown(usage: Usage | None, breakdown: Breakdown) -> Usage | None:
    """A usage with what the breakdown says; None if neither says anything."""
    new, made, read, wrote = (
        sum_of(breakdown.token_details, kind)
        for kind in ("input", "output", "cache_read", "cache_write")
    )
    if new is None and made is None and read is None and wrote is None:
        return usage
    told = usage or Usage()
    cached = told.cached if read is None else read
    written = told.written if wrote is None else wrote
    output = told.output if made is None else made
    apart = new is not None or wrote is not None or not told.inclusive
    if new is None:
        new = told.input
        if told.inclusive:
            new = max(0, told.all_input - cached - written)
    return Usage(
        input=new,
        cached=cached,
        written=written,
        written_hour=told.written_hour if wrote is None else 0,
        output=output,
        reasoning=min(told.reasoning, output),
        audio_input=min(told.audio_input, new),
        audio_output=min(told.audio_output, output),
        image_input=min(told.image_input, new),
        image_output=min(told.image_output, output),
        inclusive=not apart,
    )
