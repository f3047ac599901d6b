"""Amazon Bedrock's counting: like Anthropic's, the cache is told beside the input.

Converse tells it in ``usage`` (or the event ``metadata``). InvokeModel answers in the model's
own dialect; its stream ends with ``amazon-bedrock-invocationMetrics``, and an answer in one
piece has the same figures in its header lines.
"""

from apiproxy.core.usage import Usage
from apiproxy.core.values import Fields
from apiproxy.providers.usage.figures import Figure, first_of
from apiproxy.providers.usage.shapes import Invocation, Tokens

_LINES = {
    b"x-amzn-bedrock-input-token-count": 0,
    b"x-amzn-bedrock-output-token-count": 1,
    b"x-amzn-bedrock-cache-read-input-token-count": 2,
    b"x-amzn-bedrock-cache-write-input-token-count": 3,
}


def converse_usage(tokens: Tokens) -> Usage | None:
    """What was used; None if no figure says so."""
    return _usage(
        tokens.converse_input,
        tokens.converse_output,
        tokens.converse_read,
        tokens.converse_written,
    )


def invocation_usage(metrics: Invocation) -> Usage | None:
    """What was used; None if no figure says so."""
    return _usage(
        metrics.input_token_count,
        metrics.output_token_count,
        metrics.cache_read_input_token_count,
        metrics.cache_write_input_token_count,
    )


def header_usage(fields: Fields) -> Usage | None:
    """What the header lines of an answer say; None if they say nothing."""
    figures: list[Figure] = [None, None, None, None]
    for name, value in fields:
        at = _LINES.get(name.lower())
        if at is not None and value.isdigit() and len(value) < 13:
            figures[at] = int(value)
    return _usage(*figures)


def _usage(into: Figure, out: Figure, read: Figure, wrote: Figure) -> Usage | None:
    if first_of(into, out) is None:
        return None
    return Usage(input=into or 0, cached=read or 0, written=wrote or 0, output=out or 0)
