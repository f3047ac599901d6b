"""What a message of the agent on a WebSocket asks, in whatever dialect.

``response.create`` of the Responses API has its settings at the top, Realtime's one level
down; Gemini Live is given them once, and asks with each turn that the agent has completed.
"""

from msgspec import Raw

from apiproxy.core.frames import unmasked_head
from apiproxy.core.usage import Demand
from apiproxy.providers.demand import (
    AMBIGUOUS,
    NOT_JSON,
    Raws,
    Unreadable,
    answers_in,
    checked,
    comes_later,
    model_in,
    most_output,
    prompt_bytes,
    read_raws,
)
from apiproxy.providers.usage.shapes import read_event

_CONTENT = ("clientContent", "client_content")
_TOOLS = ("toolResponse", "tool_response")
_COMPLETE = ("turnComplete", "turn_complete")

LIVE = frozenset(("setup", "realtimeInput", "realtime_input", *_CONTENT, *_TOOLS))
"""What a message of Gemini Live has at its top: Google takes both spellings of a name, and
its SDK for Python uses both."""

_MASKS = 7
_TIMES = int.from_bytes(b"\1\0\0\0" * _MASKS, "little")
"""Times a mask: that mask, over and over."""

_SOUND = (b'"type":"input_audio_buffer.', b'"type": "input_audio_buffer')
_BEGINS = frozenset(
    int.from_bytes((b"{" + each)[: 4 * _MASKS], "little") for each in _SOUND
)


def asks_nothing(data: bytes, begin: int) -> bool:
    """Whether a masked message is sound, which asks nothing and counts nowhere.

    Most are known by their first bytes, as a number, whatever their size. An agent that
    hides a question behind such a beginning still gets its answer counted.

    Args:
        data: one frame.
        begin: where its payload begins.
    """
    mask = int.from_bytes(data[begin - 4 : begin], "little")
    head = int.from_bytes(data[begin : begin + 4 * _MASKS], "little")
    if head ^ mask * _TIMES in _BEGINS:
        return True
    text = unmasked_head(data, begin)
    return text.find(_SOUND[0]) >= 0 or text.find(_SOUND[1]) >= 0


def response_demand(payload: bytes, raws: Raws, model: str, heard: int) -> Demand:
    """What ``response.create`` asks.

    Args:
        payload: the message.
        raws: its top level.
        model: the one of the socket, if the message names none.
        heard: bytes of prompt that came before it.

    Raises:
        Unreadable: the model in it is none.
    """
    places = [raws]
    if "response" in raws:
        try:
            places.append(read_raws(bytes(raws["response"])))
        except Unreadable:
            places = [raws]
    names = [name for name in map(model_in, places) if name]
    most = [limit for limit in map(most_output, places) if limit is not None]
    return Demand(
        inference=bytes(raws.get("generate", b"")).strip() != b"false",
        model=names[0] if names else model,
        input_bytes=prompt_bytes(payload) + heard,
        max_output=max(most, default=None),
        answers=answers_in(raws),
        stream=True,
        unreadable=AMBIGUOUS if len(set(names)) > 1 else "",
        later=any(map(comes_later, places)),
    )


def setup_demand(raws: Raws, model: str) -> Demand:
    """What every turn of Gemini Live asks, by its ``setup``.

    Raises:
        Unreadable: it is none, or the model in it is none.
    """
    setup = read_raws(bytes(raws["setup"]))
    return Demand(
        model=model_in(setup) or model, max_output=most_output(setup), stream=True
    )


def asks_live(raws: Raws) -> bool:
    """Whether a message of Gemini Live is to be answered.

    Raises:
        Unreadable: the turn in it is none.
    """
    turns = [read_raws(bytes(raws[key])) for key in _CONTENT if key in raws]
    ends = [turn[key] for turn in turns for key in _COMPLETE if key in turn]
    complete = any(bytes(end).strip() == b"true" for end in ends)
    return complete or any(key in raws for key in _TOOLS)


def session_model(payload: bytes) -> str:
    """The model that ``session.update`` names; empty for none.

    Raises:
        Unreadable: it is none.
    """
    event = read_event(payload)
    if event is None or event.session is None or event.session.model is None:
        return ""
    return checked(event.session.model)


def word(raws: Raws, key: str) -> str | None:
    """The text under a key, its escapes undone; None if there is nothing.

    Raises:
        Unreadable: it is no text.
    """
    raw: Raw | None = raws.get(key)
    if raw is None:
        return None
    found = read_event(b'{"id":' + bytes(raw) + b"}")
    if found is None or found.id is None:
        raise Unreadable(NOT_JSON)
    return found.id
