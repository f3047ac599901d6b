"""Figures as they are told, and the sums that are made of them."""

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.shapes import MOST, CachedDetails, Kind

Figure = int | None


def first_of(*figures: Figure) -> Figure:
    """The first figure that was told and can be believed; None for none."""
    for figure in figures:
        if figure is not None and 0 <= figure <= MOST:
            return figure
    return None


def count(*figures: Figure) -> int:
    """The same, or 0."""
    return first_of(*figures) or 0


def sum_of(kinds: list[Kind] | None, kind: str, depth: int = 8) -> Figure:
    """The sum of a breakdown's entries of one kind, also in entries' own details."""
    found: Figure = None
    for each in kinds or ():
        figures = [each.token_count] if each.token_type == kind else []
        if depth:
            figures.append(sum_of(each.details, kind, depth - 1))
        for figure in figures:
            if figure is not None:
                found = (found or 0) + count(figure)
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
    read = min(count(cached), told)
    wrote = min(count(written), told - read)
    new = told - read - wrote
    old = of_cached or CachedDetails()
    return Usage(
        input=new,
        cached=read,
        written=wrote,
        output=output,
        reasoning=min(reasoning, output),
        audio_input=min(max(0, audio[0] - count(old.audio_tokens)), new),
        audio_output=min(audio[1], output),
        image_input=min(max(0, image[0] - count(old.image_tokens)), new),
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
