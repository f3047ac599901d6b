"""Anthropic's counting: the input is what is new, and the cache is told beside it.

``message_start`` tells what went in, ``message_delta`` sums so far, which grow where the
provider itself searches the web; so of two events the larger figure counts.
"""

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.figures import count, first_of
from apiproxy.providers.usage.shapes import Creation, Tokens


def anthropic_usage(tokens: Tokens) -> Usage | None:
    """What was used; None if no figure says so."""
    read, wrote = tokens.cache_read_input_tokens, tokens.cache_creation_input_tokens
    if first_of(tokens.input_tokens, tokens.output_tokens, read, wrote) is None:
        return None
    made = tokens.cache_creation or Creation()
    hour = count(made.ephemeral_1h_input_tokens)
    out = tokens.output_tokens_details
    thought = tokens.reasoning_tokens if out is None else out.reasoning_tokens
    output = count(tokens.output_tokens)
    return Usage(
        input=count(tokens.input_tokens),
        cached=count(read),
        written=max(count(wrote) - hour, count(made.ephemeral_5m_input_tokens)),
        written_hour=hour,
        output=output,
        reasoning=min(count(thought), output),
    )
