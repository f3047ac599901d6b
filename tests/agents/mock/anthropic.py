"""Anthropic: Messages whole and streamed, with tools; count_tokens, models, batches, files.

By docs.anthropic.com/en/api.
"""

import json
from collections.abc import Sequence

from tests.agents.mock.answers import stream
from tests.agents.mock.model import Asked, Json, Model, NotUnderstood, Said, Use, texts
from tests.kit.provider import Behaviour, Call, answer_json

MODELS: Json = {
    "data": [
        {
            "id": "mock-1",
            "type": "model",
            "display_name": "Mock 1",
            "created_at": "2026-01-01T00:00:00Z",
        }
    ],
    "has_more": False,
    "first_id": "mock-1",
    "last_id": "mock-1",
}

BATCHES: Json = {
    "data": [
        {
            "id": "msgbatch_1",
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": {
                "processing": 0,
                "succeeded": 1,
                "errored": 0,
                "canceled": 0,
                "expired": 0,
            },
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z",
            "ended_at": "2026-01-01T00:01:00Z",
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": None,
        }
    ],
    "has_more": False,
    "first_id": "msgbatch_1",
    "last_id": "msgbatch_1",
}


def asked(body: Json) -> Asked:
    """What the body of a POST asks."""
    if not isinstance(body.get("model"), str) or not isinstance(
        body.get("max_tokens"), int
    ):
        raise NotUnderstood(f"no model or max_tokens in {str(body)[:200]}")
    said = [each for message in body["messages"] for each in _said(message)]
    tools = {
        tool["name"]: tool.get("input_schema") or {} for tool in body.get("tools") or ()
    }
    return Asked("anthropic", body["model"], said, tools, bool(body.get("stream")))


def _said(message: Json) -> list[Said]:
    if message["role"] not in ("user", "assistant", "system"):
        raise NotUnderstood(f"a message of role {message['role']!r}")
    if message["role"] != "user":
        return []
    if isinstance(message["content"], str):
        return [Said(message["content"])]
    return [
        Said(texts(part["content"]), tool=True)
        if part["type"] == "tool_result"
        else Said(part.get("text") or "")
        for part in message["content"]
    ]


def messages(model: Model) -> Behaviour:
    """``POST /v1/messages``."""

    async def behave(call: Call) -> None:
        question = asked(json.loads(await call.body()))
        answer, number = model.answer(question), len(model.asked)
        if question.stream:
            events = _events(number, question, answer)
            await stream(events, pause=model.pause)(call)
        else:
            await answer_json(_message(number, question, answer))(call)

    return behave


def _message(number: int, question: Asked, answer: Use | Sequence[str]) -> Json:
    if isinstance(answer, Use):
        block: Json = {
            "type": "tool_use",
            "id": f"toolu_{number}",
            "name": answer.tool,
            "input": answer.arguments,
        }
    else:
        block = {"type": "text", "text": "".join(answer)}
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "content": [block],
        "stop_reason": "tool_use" if isinstance(answer, Use) else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 8,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "output_tokens": 7,
        },
    }


def _events(
    number: int, question: Asked, answer: Use | Sequence[str]
) -> list[tuple[str, Json]]:
    full = _message(number, question, answer)
    usage = {**full["usage"], "output_tokens": 1}
    begun = {**full, "content": [], "stop_reason": None, "usage": usage}
    (block,) = full["content"]
    if isinstance(answer, Use):
        empty = {**block, "input": {}}
        text = json.dumps(answer.arguments)
        deltas: list[Json] = [{"type": "input_json_delta", "partial_json": text}]
    else:
        empty = {**block, "text": ""}
        deltas = [{"type": "text_delta", "text": word} for word in answer]
    kind = "content_block"
    end = {"stop_reason": full["stop_reason"], "stop_sequence": None}
    events: list[Json] = [
        {"type": "message_start", "message": begun},
        {"type": f"{kind}_start", "index": 0, "content_block": empty},
        {"type": "ping"},
        *({"type": f"{kind}_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": f"{kind}_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


def file_uploaded() -> Behaviour:
    """``POST /v1/files``: a form with one file; what it was called and how large it is."""

    async def behave(call: Call) -> None:
        body = await call.body()
        kind = call.request.get(b"content-type") or b""
        boundary = kind.partition(b"boundary=")[2].strip(b'"')
        if not boundary or body.count(b"--" + boundary) < 2:
            raise NotUnderstood(f"a file in a body of {kind!r}")
        content = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--" + boundary, 1)[0]
        name = body.partition(b'filename="')[2].partition(b'"')[0].decode()
        await answer_json(
            {
                "id": "file_1",
                "type": "file",
                "filename": name,
                "mime_type": "text/plain",
                "size_bytes": len(content),
                "created_at": "2026-01-01T00:00:00Z",
                "downloadable": False,
            }
        )(call)

    return behave
