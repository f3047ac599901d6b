"""Figures as they are told, and the sums that are made of them."""

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.shapes import CachedDetails, Kind

Figure = int | None

_NONE = (0, 0)


def first_of(*figures: Figure) -> Figure:
    """The first figure that was told; None for none."""
    for figure in figures:
        if figure is not None:
            return figure
    return None


def sum_of(kinds: list[Kind] | None, kind: str, depth: int = 8) -> Figure:
    """The sum of a breakdown's entries of one kind, also in entries' own details."""
    found: Figure = None
    for each in kinds or ():
        figures = [each.token_count] if each.token_type == kind else []
        if depth:
            figures.append(sum_of(each.details, kind, depth - 1))
        for figure in figures:
            if figure is not None:
                found = (found or 0) + figure
    return found


def inclusive(
    told: int,
    output: int,
    *,
    cached: Figure = None,
    written: Figure = None,
    reasoning: int = 0,
    audio: tuple[int, int] = (0, 0),
    image: tuple[int, int] = (0, 0),
    of_cached: CachedDetails | None = None,
) -> Usage:
    """A usage whose input was told with the cache in it.

    Args:
        told: the input.
        output: reasoning included.
        cached: read from a cache.
        written: written to one.
        reasoning: of the output.
        audio: of all input, and of the output.
        image: of all input, and of the output.
        of_cached: which of the tokens read from a cache were audio and images.
    """
    read = wrote = 0
    if cached:
        read = cached if cached < told else told
    if written:
        wrote = written if written < told - read else told - read
    new = told - read - wrote
    thought = reasoning if reasoning < output else output
    if audio == image == _NONE:  # as with nearly all
        return Usage(new, read, wrote, 0, output, thought, inclusive=True)
    old = of_cached or CachedDetails()
    return Usage(
        input=new,
        cached=read,
        written=wrote,
        output=output,
        reasoning=thought,
        audio_input=min(max(0, audio[0] - (old.audio_tokens or 0)), new),
        audio_output=min(audio[1], output),
        image_input=min(max(0, image[0] - (old.image_tokens or 0)), new),
        image_output=min(image[1], output),
        inclusive=True,
    )


def larger(one: Usage | None, other: Usage) -> Usage:
    """The larger of each figure: for events that tell sums so far, and not all in each."""
    if one is None:
        return other
    return Usage(
        input=max(one.input, other.input),
        cached=max(one.cached, other.cached),
        written=max(one.written, other.written),
        written_hour=max(one.written_hour, other.written_hour),
        output=max(one.output, other.output),
        reasoning=max(one.reasoning, other.reasoning),
        inclusive=one.inclusive or other.inclusive,
    )
