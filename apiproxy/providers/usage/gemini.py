"""Google's counting: the cache is part of the prompt, thoughts are not part of the answer.

Every event tells sums so far. Gemini Live calls the candidates a response. What a tool of the
provider itself put into the prompt is told beside it.
"""

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.figures import first_of, inclusive
from apiproxy.providers.usage.shapes import CachedDetails, Metadata, Modality


def told_any(told: Metadata) -> bool:
    """Whether there is a figure; Vertex begins with the kind of traffic alone."""
    return (
        first_of(
            told.prompt_token_count,
            told.candidates_token_count,
            told.response_token_count,
            told.thoughts_token_count,
        )
        is not None
    )


def gemini_usage(told: Metadata) -> Usage:
    """What was used."""
    made = first_of(told.candidates_token_count, told.response_token_count)
    thoughts = told.thoughts_token_count or 0
    tools = told.tool_use_prompt_tokens_details
    into = (told.prompt_tokens_details or []) + (tools or [])
    out = told.candidates_tokens_details or told.response_tokens_details
    old = told.cache_tokens_details
    return inclusive(
        (told.prompt_token_count or 0) + (told.tool_use_prompt_token_count or 0),
        (made or 0) + thoughts,
        cached=told.cached_content_token_count,
        reasoning=thoughts,
        audio=(_of(into, "AUDIO"), _of(out, "AUDIO")),
        image=(_of(into, "IMAGE"), _of(out, "IMAGE")),
        of_cached=CachedDetails(_of(old, "AUDIO"), _of(old, "IMAGE")),
    )


def _of(details: list[Modality] | None, kind: str) -> int:
    return sum(
        [each.token_count or 0 for each in details or () if each.modality == kind]
    )
