"""Streams of each dialect, as providers send them, with known figures."""

import json
from collections.abc import Sequence
from typing import Any

from tests.kit.provider import Behaviour, events

SSE = (b"Content-Type", b"text/event-stream")
STREAM_CHAT = {
    "model": "gpt-4o",
    "stream": True,
    "max_tokens": 100_000,
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "hello"}],
}


def event(data: dict[str, Any], name: str = "") -> bytes:
    """One event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def chat_stream(
    words: Sequence[str], *, input: int = 10, output: int = 5, usage: bool = True
) -> list[bytes]:
    """The events of a chat stream; the last is ``[DONE]``."""
    told = [
        event(_chat({"index": 0, "delta": {"content": word}, "finish_reason": None}))
        for word in words
    ]
    told.append(event(_chat({"index": 0, "delta": {}, "finish_reason": "stop"})))
    if usage:
        figures = {
            "prompt_tokens": input,
            "completion_tokens": output,
            "total_tokens": input + output,
        }
        told.append(event({**_chat(), "usage": figures}))
    return [*told, b"data: [DONE]\n\n"]


def _chat(*choices: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o",
        "choices": list(choices),
    }


def responses_stream(words: Sequence[str]) -> list[bytes]:
    """The events of a Responses stream."""
    response: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-4o",
        "output": [],
    }
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        *(
            {"type": "response.output_text.delta", "item_id": "m", "delta": word}
            for word in words
        ),
        {"type": "response.completed", "response": {**response, "usage": usage}},
    ]
    return [event(one, str(one["type"])) for one in told]


def messages_stream(words: Sequence[str]) -> list[bytes]:
    """The events of a Messages stream."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": word},
            }
            for word in words
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    return [event(one, one["type"]) for one in told]


def gemini_parts(words: Sequence[str]) -> list[dict[str, Any]]:
    """What Gemini says, piece by piece."""
    told: list[dict[str, Any]] = [
        {
            "candidates": [{"content": {"parts": [{"text": word}], "role": "model"}}],
            "modelVersion": "gemini-2.5-pro",
        }
        for word in words
    ]
    told.append(
        {
            "candidates": [
                {"content": {"parts": [], "role": "model"}, "finishReason": "STOP"}
            ],
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
            "modelVersion": "gemini-2.5-pro",
        }
    )
    return told


def gemini_stream(words: Sequence[str]) -> list[bytes]:
    """The events of a Gemini stream."""
    return [event(part).replace(b"\n\n", b"\r\n\r\n") for part in gemini_parts(words)]


def streamed(told: Sequence[bytes], **arguments: Any) -> Behaviour:
    """A provider that sends these events, one in each chunk."""
    return events(len(told), event=told.__getitem__, last=b"", **arguments)
