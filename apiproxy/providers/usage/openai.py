"""OpenAI's counting: what was cached is part of the input, what was thought of the output.

Chat completions, embeddings and legacy completions speak of prompt and completion; Responses,
images, transcriptions and Realtime of input and output. Others who speak this dialect differ
in little things: DeepSeek tells cache hits beside, Moonshot ``cached_tokens`` at the top,
OpenRouter what was written, and xAI and Google leave the thoughts out of the completion but
not out of the total.
"""

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.figures import (
    Figure,
    first_of,
    inclusive,
    sum_of,
)
from apiproxy.providers.usage.shapes import Broken, Details, Tokens

_NOTHING = Details()


def is_openai(tokens: Tokens) -> bool:
    """Whether a usage counts in this way."""
    if tokens.prompt_tokens is not None or tokens.completion_tokens is not None:
        return True
    if (
        tokens.cache_read_input_tokens is None
        and tokens.cache_creation_input_tokens is None
    ):
        return first_of(tokens.input_tokens, tokens.output_tokens) is not None
    return any((tokens.input_tokens_details, tokens.prompt_tokens_details))


def openai_usage(tokens: Tokens) -> Usage | None:
    """What was used; None if no figure says so."""
    told, made = tokens.input_tokens, tokens.output_tokens
    told = tokens.prompt_tokens if told is None else told
    made = tokens.completion_tokens if made is None else made
    if told is None and made is None:
        return None
    into = tokens.prompt_tokens_details or tokens.input_tokens_details
    into = into or tokens.input_token_details or _NOTHING
    if not isinstance(into, Details):
        into = _details(
            tokens.prompt_tokens_details,
            tokens.input_tokens_details,
            tokens.input_token_details,
        )
    out = (
        tokens.completion_tokens_details
        or tokens.output_tokens_details
        or tokens.output_token_details
        or _NOTHING
    )
    reasoning = tokens.reasoning_tokens
    reasoning = (out.reasoning_tokens if reasoning is None else reasoning) or 0
    output, thought = made or 0, reasoning
    total, prompt, said = (
        tokens.total_tokens,
        tokens.prompt_tokens,
        tokens.completion_tokens,
    )
    if total and prompt is not None and said is not None:
        # What nobody else counts: thoughts that are in the total alone.
        hidden = total - prompt - said
        if hidden > 0 and reasoning in (0, hidden):
            output, thought = output + hidden, hidden
    wrote = tokens.cache_creation_input_tokens
    return inclusive(
        told or 0,
        output,
        cached=_cached(tokens, into),
        written=into.cache_write_tokens if wrote is None else wrote,
        reasoning=thought,
        audio=(into.audio_tokens or 0, out.audio_tokens or 0),
        image=(into.image_tokens or 0, out.image_tokens or 0),
        of_cached=into.cached_tokens_details,
    )


def _cached(tokens: Tokens, into: Details) -> Figure:
    """Tokens read from a cache, wherever they are told."""
    for told in (
        tokens.cache_read_input_tokens,
        into.cached_tokens,
        tokens.cached_tokens,
        tokens.prompt_cache_hit_tokens,
    ):
        if told is not None:
            return told
    for broken in (
        tokens.prompt_tokens_details,
        tokens.input_tokens_details,
        tokens.token_details,
        tokens.usage_details,
    ):
        if broken is not None:
            kinds = broken.details if isinstance(broken, Details) else broken
            found = sum_of(kinds, "cache_read")
            if found is not None:
                return found
    return None


def _details(*places: Broken | None) -> Details:
    """The first that has figures of its own."""
    for place in places:
        if isinstance(place, Details):
            return place
    return _NOTHING
