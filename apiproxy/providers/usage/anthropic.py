"""Anthropic's counting: the input is what is new, and the cache is told beside it.

``message_start`` tells what went in, ``message_delta`` sums so far, which grow where the
provider itself searches the web; so of two events the larger figure counts.
"""

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.figures import first_of
from apiproxy.providers.usage.shapes import Creation, Tokens


def anthropic_usage(tokens: Tokens) -> Usage | None:
    """What was used; None if no figure says so."""
    read, wrote = tokens.cache_read_input_tokens, tokens.cache_creation_input_tokens
    if first_of(tokens.input_tokens, tokens.output_tokens, read, wrote) is None:
        return None
    made = tokens.cache_creation or Creation()
    hour = made.ephemeral_1h_input_tokens or 0
    out = tokens.output_tokens_details
    thought = tokens.reasoning_tokens if out is None else out.reasoning_tokens
    output = tokens.output_tokens or 0
    return Usage(
        input=tokens.input_tokens or 0,
        cached=read or 0,
        written=max((wrote or 0) - hour, made.ephemeral_5m_input_tokens or 0),
        written_hour=hour,
        output=output,
        reasoning=min(thought or 0, output),
    )
