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
    count,
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
    told = first_of(tokens.input_tokens, tokens.prompt_tokens)
    made = first_of(tokens.output_tokens, tokens.completion_tokens)
    if told is None and made is None:
        return None
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
    reasoning = count(tokens.reasoning_tokens, out.reasoning_tokens)
    hidden = _hidden(tokens, reasoning)
    return inclusive(
        told or 0,
        (made or 0) + hidden,
        cached=_cached(tokens, into),
        written=first_of(tokens.cache_creation_input_tokens, into.cache_write_tokens),
        reasoning=max(reasoning, hidden),
        audio=(count(into.audio_tokens), count(out.audio_tokens)),
        image=(count(into.image_tokens), count(out.image_tokens)),
        of_cached=into.cached_tokens_details,
    )


def _cached(tokens: Tokens, into: Details) -> Figure:
    """Tokens read from a cache, wherever they are told."""
    told = first_of(
        tokens.cache_read_input_tokens,
        into.cached_tokens,
        tokens.cached_tokens,
        tokens.prompt_cache_hit_tokens,
    )
    if told is not None:
        return told
    for broken in (
        tokens.prompt_tokens_details,
        tokens.input_tokens_details,
        tokens.token_details,
        tokens.usage_details,
    ):
        kinds = broken.details if isinstance(broken, Details) else broken
        told = sum_of(kinds, "cache_read")
        if told is not None:
            return told
    return None


def _details(*places: Broken | None) -> Details:
    """The first that has figures of its own."""
    for place in places:
        if isinstance(place, Details):
            return place
    return _NOTHING


def _hidden(tokens: Tokens, reasoning: int) -> int:
    """What the total has beyond prompt and completion: thoughts that nobody else counts."""
    prompt, made = tokens.prompt_tokens, tokens.completion_tokens
    if prompt is None or made is None:
        return 0
    rest = count(tokens.total_tokens) - count(prompt) - count(made)
    return rest if rest > 0 and reasoning in (0, rest) else 0
