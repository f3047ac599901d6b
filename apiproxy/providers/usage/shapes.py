"""What is read of an answer, an event of a stream or a message, in all dialects at once.

Every dialect may come from every port, so there is one shape for all of them: its fields are
those of all dialects together, and whatever else a document holds is passed over undecoded.
Only the fields' names are told apart here; what they mean is said where they are counted.

A provider that sends a wrong type somewhere must not cost us the rest. So a document that does
not fit is decoded a second time, slowly, and only what is wrong in it is left out.
"""

from functools import cache
from types import UnionType
from typing import (
    Annotated,
    Any,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta, Raw, Struct, field

from apiproxy.core.json_weight import MOST_VALUES, Lightener, is_heavy

S = TypeVar("S", bound=Struct)

MOST = 1 << 40
"""A figure above this is not believed."""

Figure = Annotated[int, Meta(ge=0, le=MOST)]
"""A number of tokens that can be believed; one that cannot is as if it had not been told."""

NO_RAW = Raw(b"")


class Shape(Struct, gc=False):
    """Base of all that is read: garbage collection has no use for what has no cycles."""


class Kind(Shape):
    """One entry of a breakdown: ``{"token_type": "cache_read", "token_count": 3}``."""

    token_type: str | None = None
    token_count: Figure | None = None
    details: "list[Kind] | None" = None


class CachedDetails(Shape):
    """Of the tokens read from a cache, which were what."""

    audio_tokens: Figure | None = None
    image_tokens: Figure | None = None


class Details(Shape):
    """OpenAI's further figures of input or of output."""

    cached_tokens: Figure | None = None
    cache_write_tokens: Figure | None = None
    audio_tokens: Figure | None = None
    image_tokens: Figure | None = None
    reasoning_tokens: Figure | None = None
    cached_tokens_details: CachedDetails | None = None
    details: list[Kind] | None = None


class Creation(Shape):
    """Anthropic's tokens written to a cache, by how long they stay."""

    ephemeral_5m_input_tokens: Figure | None = None
    ephemeral_1h_input_tokens: Figure | None = None


Broken = Details | list[Kind]


class Tokens(Shape):
    """``usage`` of OpenAI, Anthropic, Copilot and Bedrock's Converse."""

    prompt_tokens: Figure | None = None
    completion_tokens: Figure | None = None
    total_tokens: Figure | None = None
    input_tokens: Figure | None = None
    output_tokens: Figure | None = None
    reasoning_tokens: Figure | None = None
    cached_tokens: Figure | None = None
    prompt_cache_hit_tokens: Figure | None = None
    prompt_tokens_details: Broken | None = None
    completion_tokens_details: Details | None = None
    input_tokens_details: Broken | None = None
    output_tokens_details: Details | None = None
    input_token_details: Broken | None = None
    output_token_details: Details | None = None
    token_details: Broken | None = None
    usage_details: Broken | None = None
    cache_read_input_tokens: Figure | None = None
    cache_creation_input_tokens: Figure | None = None
    cache_creation: Creation | None = None
    service_tier: str | None = None
    seconds: float | None = None
    converse_input: Figure | None = field(default=None, name="inputTokens")
    converse_output: Figure | None = field(default=None, name="outputTokens")
    converse_read: Figure | None = field(default=None, name="cacheReadInputTokens")
    converse_written: Figure | None = field(default=None, name="cacheWriteInputTokens")


class Invocation(Shape, rename="camel"):
    """``amazon-bedrock-invocationMetrics``."""

    input_token_count: Figure | None = None
    output_token_count: Figure | None = None
    cache_read_input_token_count: Figure | None = None
    cache_write_input_token_count: Figure | None = None


class Modality(Shape, rename="camel"):
    """Google's figure for one kind of content."""

    modality: str | None = None
    token_count: Figure | None = None


class Metadata(Shape, rename="camel"):
    """Google's ``usageMetadata``."""

    prompt_token_count: Figure | None = None
    candidates_token_count: Figure | None = None
    response_token_count: Figure | None = None
    thoughts_token_count: Figure | None = None
    tool_use_prompt_token_count: Figure | None = None
    cached_content_token_count: Figure | None = None
    prompt_tokens_details: list[Modality] | None = None
    cache_tokens_details: list[Modality] | None = None
    candidates_tokens_details: list[Modality] | None = None
    response_tokens_details: list[Modality] | None = None
    tool_use_prompt_tokens_details: list[Modality] | None = None
    service_tier: str | None = None
    traffic_type: str | None = None


class Breakdown(Shape):
    """``copilot_usage``."""

    token_details: list[Kind] | None = None


class Failure(Shape):
    """An error."""

    type: str | int | None = None
    code: str | int | None = None
    status: str | int | None = None


class Function(Shape):
    """A call of a function in a chat."""

    arguments: str | None = None


class ToolCall(Shape):
    """A call of a tool in a chat."""

    function: Function | None = None


class Block(Shape):
    """A piece of content: a delta, a block, a part, a message; of whatever dialect."""

    text: "str | Block | None" = None
    content: "str | list[Block] | None" = None
    thinking: str | None = None
    partial_json: str | None = None
    arguments: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    summary: "list[Block] | None" = None
    parts: "list[Block] | None" = None
    message: "Block | None" = None
    tool_use: "Block | None" = field(default=None, name="toolUse")
    thought: "Block | None" = field(default=None, name="reasoningContent")
    thought_text: "Block | None" = field(default=None, name="reasoningText")
    given: Raw = field(default=NO_RAW, name="input")
    called: Raw = field(default=NO_RAW, name="functionCall")
    stop_reason: str | None = None


class Choice(Shape):
    """One of the answers in a chat."""

    delta: Block | None = None
    message: Block | None = None
    text: str | None = None
    finish_reason: str | None = None


class Candidate(Shape):
    """One of Google's answers."""

    content: Block | None = None
    finish_reason: str | None = field(default=None, name="finishReason")


class Incomplete(Shape):
    """Why a response stopped early."""

    reason: str | None = None
    type: str | None = None


class Response(Shape):
    """``response`` in an event: OpenAI's Responses and Realtime."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    usage: Tokens | None = None
    service_tier: str | None = None
    incomplete_details: Incomplete | None = None
    status_details: Incomplete | None = None
    error: Failure | None = None
    copilot_usage: Breakdown | None = None
    output: list[Block] | None = None


class Message(Shape):
    """``message`` in an event: Anthropic's."""

    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None


class Turn(Shape, rename="camel"):
    """``serverContent``: Gemini Live."""

    model_turn: Block | None = None
    turn_complete: bool | None = None
    interrupted: bool | None = None


class Feedback(Shape):
    """``promptFeedback``: Google's."""

    block_reason: str | None = field(default=None, name="blockReason")


class Session(Shape):
    """``session`` in a Realtime event."""

    model: str | None = None


class Event(Shape):
    """A document, an event or a message; of whatever dialect."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Tokens | None = None
    delta: Block | str | None = None
    response: Response | str | None = None
    message: Message | str | None = None
    error: Failure | str | None = None
    service_tier: str | None = None
    status: str | int | None = None
    stop_reason: str | None = None
    content: str | list[Block] | None = None
    output: list[Block] | Block | None = None
    text: str | Block | None = None
    code: str | int | None = None
    incomplete_details: Incomplete | None = None
    copilot_usage: Breakdown | None = None
    response_id: str | None = None
    stream_id: str | None = None
    event_id: str | None = None
    item_id: str | None = None
    index: int | None = None
    session: Session | None = None
    candidates: list[Candidate] | None = None
    usage_metadata: Metadata | None = field(default=None, name="usageMetadata")
    model_version: str | None = field(default=None, name="modelVersion")
    google_id: str | None = field(default=None, name="responseId")
    feedback: Feedback | None = field(default=None, name="promptFeedback")
    turn: Turn | None = field(default=None, name="serverContent")
    converse_stop: str | None = field(default=None, name="stopReason")
    invocation: Invocation | None = field(
        default=None, name="amazon-bedrock-invocationMetrics"
    )
    chunk: str | None = field(default=None, name="bytes")


_event = msgspec.json.Decoder(Event).decode
_light = Lightener(
    info.encode_name
    for shape in (Event, Response)
    for info in msgspec.structs.fields(shape)
)
_any = msgspec.json.Decoder().decode


def read_event(data: bytes) -> Event | None:
    """What a JSON object says; None for anything else.

    One that is large, and has too many values or wrong ones, keeps what it says of figures
    and names, and loses its text.
    """
    if len(data) <= MOST_VALUES or not is_heavy(data):
        try:
            return _event(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass
    return read_leniently(Event, data)


def read_leniently(shape: type[S], data: bytes) -> S | None:
    """What a JSON object says, without the fields that are not as they should be."""
    try:
        if len(data) > MOST_VALUES:
            data = _light.lighten(data)
        # Text that is not UTF-8 is no JSON; its figures are still worth reading.
        found = _any(data.decode("utf-8", "replace"))
        return _fitted_struct(shape, found) if isinstance(found, dict) else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _fitted_struct(shape: type[S], found: dict[str, Any]) -> S:
    made = shape()
    for name, attribute, kinds in _fields(shape):
        value = found.get(name)
        fitted = None if value is None else _fitted(kinds, value)
        if fitted is not None:
            setattr(made, attribute, fitted)
    return made


def _fitted(kinds: tuple[Any, ...], value: Any) -> Any:
    """A value as the first kind that it fits; None if it fits none."""
    for kind in kinds:
        if kind is Figure:
            if isinstance(value, int | float) and 0 <= value <= MOST:
                return _fitted((int,), value)
        elif get_origin(kind) is list:
            if isinstance(value, list):
                fitted = [_fitted(get_args(kind), each) for each in value]
                return [each for each in fitted if each is not None]
        elif issubclass(kind, Struct):
            if isinstance(value, dict):
                return _fitted_struct(kind, value)
        elif kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        elif kind is float and type(value) is int:
            return float(value) if abs(value) < MOST else None
        elif type(value) is kind:
            return value
    return None


@cache
def _fields(shape: type[Struct]) -> list[tuple[str, str, tuple[Any, ...]]]:
    """Each field's name in JSON, its name here, and the kinds it may have."""
    hints = get_type_hints(shape, include_extras=True)
    return [
        (info.encode_name, info.name, _kinds(hints[info.name]))
        for info in msgspec.structs.fields(shape)
    ]


def _kinds(hint: Any) -> tuple[Any, ...]:
    union = get_origin(hint) in (UnionType, Union)
    return get_args(hint) if union else (hint,)
