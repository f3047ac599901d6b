"""OpenAI: Responses over HTTP and over WebSocket, Chat Completions, Realtime, models.

By platform.openai.com/docs/api-reference; Responses over WebSocket by the guide
"WebSocket mode": one ``response.create`` a message, the events of the stream as answers.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.agents.mock.answers import stream
from tests.agents.mock.faults import fault_in
from tests.agents.mock.model import (
    Asked,
    Json,
    Model,
    NotUnderstood,
    Said,
    Use,
    texts,
)
from tests.kit.provider import Behaviour, Call, Socket, answer_json, websocket

NOW = 1795000000
USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}
CHAT_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}

Event = tuple[str, Json]

# Responses.


def responses_asked(body: Json, transport: str = "http") -> Asked:
    """What a ``response.create`` or the body of a POST asks."""
    given = body.get("input", [])
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    tools = dict(_tools(body.get("tools") or []))
    stream = bool(body.get("stream")) or transport == "websocket"
    said = [each for item in items for each in _said(item)]
    return Asked("openai", _model(body), said, tools, stream, transport)


def _model(body: Json) -> str:
    if not isinstance(body.get("model"), str):
        raise NotUnderstood(f"no model in {str(body)[:200]}")
    return str(body["model"])


def _tools(tools: Sequence[Json]) -> Sequence[tuple[str, Json]]:
    return [
        (tool["name"], tool.get("parameters") or {})
        for tool in tools
        if tool.get("type") == "function"
    ]


def _said(item: Json) -> list[Said]:
    kind = item.get("type", "message")
    if kind == "function_call_output":
        return [Said(texts(item["output"]), tool=True)]
    if kind == "message" and item.get("role") == "user":
        return [Said(texts(item["content"]))]
    if kind in ("message", "function_call", "reasoning", "item_reference"):
        return []
    raise NotUnderstood(f"an input item of type {kind!r}")


def response(number: int, model: str, output: Sequence[Json], status: str) -> Json:
    """The object."""
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": NOW,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE if status == "completed" else None,
    }


def response_events(
    number: int, asked: Asked, answer: Use | Sequence[str]
) -> list[Event]:
    """A response as it comes into being."""
    item, middle = (
        _call_item(number, answer)
        if isinstance(answer, Use)
        else _message(number, answer)
    )
    begun = response(number, asked.model, [], "in_progress")
    opening = {**item, "status": "in_progress"}
    opening["content" if item["type"] == "message" else "arguments"] = (
        [] if item["type"] == "message" else ""
    )
    done = response(number, asked.model, [item], "completed")
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": opening},
        *middle,
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    return _numbered(events)


def _numbered(events: Sequence[Json]) -> list[Event]:
    return [(e["type"], {**e, "sequence_number": n}) for n, e in enumerate(events)]


def warmed_up(number: int, asked: Asked) -> list[Event]:
    """What answers a ``response.create`` that is not to generate anything."""
    begun = response(number, asked.model, [], "in_progress")
    done = response(number, asked.model, [], "completed")
    return _numbered(
        [
            {"type": "response.created", "response": begun},
            {"type": "response.completed", "response": done},
        ]
    )


def _message(number: int, words: Sequence[str]) -> tuple[Json, list[Json]]:
    text = "".join(words)
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    where = {"item_id": f"msg_{number}", "output_index": 0, "content_index": 0}
    item = {
        "type": "message",
        "id": f"msg_{number}",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    delta = {"type": "response.output_text.delta", "logprobs": [], **where}
    done = {"type": "response.output_text.done", "text": text, "logprobs": [], **where}
    return item, [
        {"type": "response.content_part.added", "part": {**part, "text": ""}, **where},
        *({**delta, "delta": word} for word in words),
        done,
        {"type": "response.content_part.done", "part": part, **where},
    ]


def _call_item(number: int, use: Use) -> tuple[Json, list[Json]]:
    arguments = json.dumps(use.arguments)
    where = {"item_id": f"fc_{number}", "output_index": 0}
    item = {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "name": use.tool,
        "arguments": arguments,
        "status": "completed",
    }
    kind = "response.function_call_arguments"
    return item, [
        {"type": f"{kind}.delta", "delta": arguments, **where},
        {"type": f"{kind}.done", "arguments": arguments, "name": use.tool, **where},
    ]


def responses(model: Model) -> Behaviour:
    """``POST /v1/responses``, and the WebSocket of the same path."""
    socket = websocket(echo=False, then=lambda socket: _serve(model, socket))

    async def behave(call: Call) -> None:
        if call.request.upgrade:
            await socket(call)
            return
        asked = responses_asked(json.loads(await call.body()))
        answer, number = model.answer(asked), len(model.asked)
        events = response_events(number, asked, answer)
        if asked.stream:
            await stream(events, pause=model.pause)(call)
        else:
            await answer_json(events[-1][1]["response"])(call)

    return behave


async def _serve(model: Model, socket: Socket) -> None:
    answered = 0
    while True:
        await socket.until(lambda: len(socket.messages) > answered)  # noqa: B023  # now
        body = json.loads(socket.messages[answered])
        answered += 1
        if body["type"] != "response.create":
            raise NotUnderstood(f"a message of type {body['type']!r}")
        fault = fault_in(socket, str(socket.messages[answered - 1]).encode())
        if fault is not None:
            await fault.in_socket(socket)
            continue
        asked = responses_asked(body, "websocket")
        if body.get("generate") is False:
            events = warmed_up(100 + answered, asked)
        else:
            answer, number = model.answer(asked), len(model.asked)
            events = response_events(number, asked, answer)
        for _, event in events:
            socket.send(json.dumps(event))
            if model.pause:
                await socket.call.line.sleep(model.pause)


# Chat Completions.


def chat_asked(body: Json) -> Asked:
    """What the body of a POST asks."""
    said: list[Said] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            said.append(Said(texts(message["content"]), tool=True))
        elif message["role"] == "user":
            said.append(Said(texts(message["content"])))
        elif message["role"] not in ("system", "developer", "assistant"):
            raise NotUnderstood(f"a message of role {message['role']!r}")
    tools: Mapping[str, Json] = {
        tool["function"]["name"]: tool["function"].get("parameters") or {}
        for tool in body.get("tools") or ()
    }
    return Asked("openai", _model(body), said, tools, bool(body.get("stream")))


def chat(model: Model) -> Behaviour:
    """``POST /v1/chat/completions``."""

    async def behave(call: Call) -> None:
        body = json.loads(await call.body())
        asked = chat_asked(body)
        answer, number = model.answer(asked), len(model.asked)
        if asked.stream:
            chunks = _chunks(number, asked, answer)
            if (body.get("stream_options") or {}).get("include_usage"):
                chunks.append({**chunks[-1], "choices": [], "usage": CHAT_USAGE})
            events = [("", each) for each in chunks]
            last = b"data: [DONE]\n\n"
            await stream(events, named=False, last=last, pause=model.pause)(call)
        else:
            await answer_json(_completion(number, asked, answer))(call)

    return behave


def _base(number: int, asked: Asked, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{number}",
        "object": kind,
        "created": NOW,
        "model": asked.model,
    }


def _tool_call(number: int, use: Use) -> Json:
    function = {"name": use.tool, "arguments": json.dumps(use.arguments)}
    return {"id": f"call_{number}", "type": "function", "function": function}


def _completion(number: int, asked: Asked, answer: Use | Sequence[str]) -> Json:
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    if isinstance(answer, Use):
        message["tool_calls"] = [_tool_call(number, answer)]
    else:
        message["content"] = "".join(answer)
    end = "tool_calls" if isinstance(answer, Use) else "stop"
    choice = {"index": 0, "finish_reason": end, "message": message}
    base = _base(number, asked, "chat.completion")
    return {**base, "choices": [choice], "usage": CHAT_USAGE}


def _chunks(number: int, asked: Asked, answer: Use | Sequence[str]) -> list[Json]:
    base = _base(number, asked, "chat.completion.chunk")
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    if isinstance(answer, Use):
        deltas.append({"tool_calls": [{"index": 0, **_tool_call(number, answer)}]})
    else:
        deltas += [{"content": word} for word in answer]
    end = "tool_calls" if isinstance(answer, Use) else "stop"
    ends: list[Any] = [None] * len(deltas) + [end]
    return [
        {
            **base,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        for delta, finish in zip([*deltas, {}], ends, strict=True)
    ]


# The rest.

MODELS: Json = {
    "object": "list",
    "data": [
        {"id": name, "object": "model", "created": NOW, "owned_by": "mock"}
        for name in ("gpt-5.5", "mock-1")
    ],
}


def realtime(model: Model) -> Behaviour:
    """``GET /v1/realtime``: a session that answers ``response.create`` with text."""
    session = {"type": "realtime", "id": "sess_1", "object": "realtime.session"}

    def told(kind: str, **more: Any) -> str:
        return json.dumps({"type": kind, "event_id": "event_1", **more})

    async def serve(socket: Socket) -> None:
        answered = 0
        while True:
            await socket.until(lambda: len(socket.messages) > answered)  # noqa: B023
            asked = json.loads(socket.messages[answered])
            answered += 1
            for event in _realtime_events(asked, model):
                socket.send(told(**event))

    greeting = told("session.created", session=session)
    return websocket(echo=False, greeting=[greeting], then=serve)


def _realtime_events(asked: Json, model: Model) -> list[Json]:
    kind = asked["type"]
    if kind == "session.update":
        return [{"kind": "session.updated", "session": asked["session"]}]
    if kind == "conversation.item.create":
        item = {"id": "item_1", "object": "realtime.item", **asked["item"]}
        added = {"previous_item_id": None, "item": item}
        return [
            {"kind": f"conversation.item.{each}", **added} for each in ("added", "done")
        ]
    if kind != "response.create":
        raise NotUnderstood(f"a message of type {kind!r}")
    words = model.speak(Asked("openai", "realtime", [], transport="websocket"))
    where = {"response_id": "resp_1", "item_id": "item_2"}
    where |= {"output_index": 0, "content_index": 0}  # type: ignore[dict-item]
    kinds = "response.output_text"
    base = {"id": "resp_1", "object": "realtime.response", "output": []}
    done = {**base, "status": "completed", "usage": USAGE}
    return [
        {"kind": "response.created", "response": {**base, "status": "in_progress"}},
        *({"kind": f"{kinds}.delta", "delta": word, **where} for word in words),
        {"kind": f"{kinds}.done", "text": model.text, **where},
        {"kind": "response.done", "response": done},
    ]
