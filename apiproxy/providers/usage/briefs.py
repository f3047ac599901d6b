"""The usual document, read in one go.

Nine of ten documents tell their figures in the most usual form, and are neither an error nor
unfinished. Of those only the few fields that matter are decoded, the text of the answer is
passed over, and the record is made of them at once. Whatever is unusual in any way is left
to ``Reading``, which would make the same record of these.
"""

import msgspec

from apiproxy.core.usage import Record
from apiproxy.providers.usage.anthropic import anthropic_usage
from apiproxy.providers.usage.openai import openai_usage
from apiproxy.providers.usage.reader import LONGEST_WORD, usage_in
from apiproxy.providers.usage.shapes import Shape, Tokens


class _Choice(Shape):
    finish_reason: str | None = None


class _Brief(Shape):
    """What a document says at its top."""

    usage: Tokens
    id: str | None = None
    model: str | None = None
    type: str | None = None
    choices: list[_Choice] | None = None
    service_tier: str | None = None
    status: str | None = None
    stop_reason: str | None = None
    # Where any of these says something, it is not the usual document.
    error: None = None
    incomplete_details: None = None
    copilot_usage: None = None
    response: None = None
    message: None = None
    delta: None = None
    google: None = msgspec.field(default=None, name="usageMetadata")
    google_id: None = msgspec.field(default=None, name="responseId")
    candidates: None = None
    invocation: None = msgspec.field(
        default=None, name="amazon-bedrock-invocationMetrics"
    )


_brief = msgspec.json.Decoder(_Brief).decode


def read_brief(document: bytes | bytearray) -> Record | None:
    """The record of a document; None if it is not a usual one."""
    try:
        told = _brief(document)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    tokens = told.usage
    if (
        told.type not in (None, "message")
        or told.status not in (None, "completed")
        or tokens.converse_input is not None
        or tokens.converse_output is not None
    ):
        return None
    if told.type is not None:
        usage = anthropic_usage(tokens)
    elif tokens.prompt_tokens is not None:
        usage = openai_usage(tokens)
    else:
        usage = usage_in(tokens)
    if usage is None:
        return None
    stop = None
    for choice in told.choices or ():
        stop = choice.finish_reason or stop
    stop = told.stop_reason or stop
    return Record(
        usage,
        (told.model or "")[:LONGEST_WORD],
        (told.id or "")[:LONGEST_WORD],
        (tokens.service_tier or told.service_tier or "")[:LONGEST_WORD],
        (stop or "")[:LONGEST_WORD],
        "completed",
    )
