"""What a provider answers to the SDKs: as little as they need, in the provider's own shape."""

import json
from collections.abc import Sequence
from typing import Any

from tests.kit.provider import Behaviour, Call, Socket, events, websocket

WORDS = ("Good ", "morning, ", "agent.")
TEXT = "".join(WORDS)

Json = dict[str, Any]


def sse(data: Sequence[Json], *, named: bool = False, last: bytes = b"") -> Behaviour:
    """An event stream.

    Args:
        data: of each event.
        named: whether each event has a line with its type too.
        last: bytes after the last of them.
    """

    def event(n: int) -> bytes:
        name = b"event: %s\n" % data[n]["type"].encode() if named else b""
        return name + b"data: " + json.dumps(data[n]).encode() + b"\n\n"

    return events(len(data), event=event, last=last)


# OpenAI: chat completions.


def completion() -> Json:
    """A chat completion."""
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795000000,
        "model": "mock-1",
        "choices": [choice],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }


def completion_stream() -> Behaviour:
    """The same in pieces."""
    chunks = [{"content": word} for word in WORDS]
    return sse(
        [
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1795000000,
                "model": "mock-1",
                "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
            }
            for delta in ({"role": "assistant", "content": ""}, *chunks)
        ],
        last=b"data: [DONE]\n\n",
    )


# OpenAI: responses.


def response(number: int = 1, status: str = "completed") -> Json:
    """A response."""
    content = [{"type": "output_text", "text": TEXT, "annotations": []}]
    message = {"type": "message", "id": "msg_1", "role": "assistant"}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1795000000,
        "model": "mock-1",
        "status": status,
        "output": [{**message, "status": "completed", "content": content}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def response_events(number: int = 1) -> list[Json]:
    """The same as it comes into being."""
    full = response(number)
    begun = {**full, "status": "in_progress", "output": []}
    message = full["output"][0]
    part = message["content"][0]
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    told: list[Json] = [
        {"type": "response.created", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", "part": {**part, "text": ""}, **where},
        *(
            {
                "type": "response.output_text.delta",
                "delta": word,
                "logprobs": [],
                **where,
            }
            for word in WORDS
        ),
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": message,
        },
        {"type": "response.completed", "response": full},
    ]
    return [{**event, "sequence_number": n} for n, event in enumerate(told)]


def response_socket(*, deflate: bool = True) -> Behaviour:
    """Answers each ``response.create`` on a WebSocket."""

    async def serve(socket: Socket) -> None:
        answered = 0
        while True:
            await socket.until(lambda: len(socket.messages) > answered)  # noqa: B023  # now
            asked = json.loads(socket.messages[answered])
            assert asked["type"] == "response.create", asked
            answered += 1
            for event in response_events(answered):
                socket.send(json.dumps(event))

    return websocket(echo=False, deflate=deflate, then=serve)


def responses() -> Behaviour:
    """Responses over a WebSocket if that is asked for, else as an event stream."""
    socket, stream = response_socket(), sse(response_events(), named=True)

    async def behave(call: Call) -> None:
        await (socket if call.request.upgrade else stream)(call)

    return behave


# Anthropic.


def message() -> Json:
    """A message."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "mock-1",
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 5},
    }


def message_stream() -> Behaviour:
    """The same in pieces."""
    begun = {**message(), "content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    return sse(
        [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "ping"},
            *(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": word},
                }
                for word in WORDS
            ),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 5},
            },
            {"type": "message_stop"},
        ],
        named=True,
    )
