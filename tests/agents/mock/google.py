"""Google's Gemini API: generateContent, streamGenerateContent, countTokens, models, Live.

By ai.google.dev/api. Live is a WebSocket whose messages are JSON in *binary* frames, as the
real service sends them.
"""

import json
from collections.abc import Sequence

from tests.agents.mock.answers import stream
from tests.agents.mock.model import Asked, Json, Model, NotUnderstood, Said, Use
from tests.kit.provider import Behaviour, Call, Socket, answer_json, websocket

USAGE = {
    "promptTokenCount": 11,
    "cachedContentTokenCount": 3,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 2,
    "totalTokenCount": 18,
}
MODELS: Json = {
    "models": [
        {
            "name": "models/gemini-2.5-flash",
            "displayName": "Gemini 2.5 Flash",
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }
    ]
}


def asked(body: Json, model: str, stream: bool) -> Asked:
    """What the body of a POST asks."""
    said = [
        each
        for content in body["contents"]
        if content.get("role", "user") != "model"
        for part in content["parts"]
        for each in _said(part)
    ]
    tools = {
        function["name"]: _schema(function)
        for tool in body.get("tools") or ()
        for function in tool.get("functionDeclarations") or ()
    }
    return Asked("gemini", model, said, tools, stream)


def _schema(function: Json) -> Json:
    found = function.get("parametersJsonSchema") or function.get("parameters")
    return dict(found or {})


def _said(part: Json) -> list[Said]:
    if "functionResponse" in part:
        return [Said(json.dumps(part["functionResponse"]["response"]), tool=True)]
    if "text" in part:
        return [Said(part["text"])]
    raise NotUnderstood(f"a part with {sorted(part)}")


def generate(model: Model) -> Behaviour:
    """``POST /v1beta/models/NAME:generateContent``, and ``:streamGenerateContent?alt=sse``."""

    async def behave(call: Call) -> None:
        name, _, verb = call.request.path.decode().rpartition("/")[2].partition(":")
        streams = verb.startswith("stream")
        if streams and b"alt=sse" not in call.request.target:
            raise NotUnderstood(f"a stream that is not of events: {call.request!r}")
        question = asked(json.loads(await call.body()), name, streams)
        answer, number = model.answer(question), len(model.asked)
        events = [("", each) for each in _chunks(number, name, answer)]
        if not streams:
            pieces = answer if isinstance(answer, Use) else ["".join(answer)]
            ((_, whole),) = [("", each) for each in _chunks(number, name, pieces)]
            await answer_json(whole)(call)
            return
        await stream(events, named=False, newline=b"\r\n", pause=model.pause)(call)

    return behave


def _chunks(number: int, name: str, answer: Use | Sequence[str]) -> list[Json]:
    if isinstance(answer, Use):
        call = {"name": answer.tool, "args": answer.arguments}
        parts: list[Json] = [{"functionCall": call}]
    else:
        parts = [{"text": word} for word in answer]
    chunks: list[Json] = [
        {
            "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}],
            "usageMetadata": USAGE,
            "modelVersion": name,
            "responseId": f"response-{number}",
        }
        for part in parts
    ]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    return chunks


def live(model: Model) -> Behaviour:
    """The WebSocket of ``BidiGenerateContent``: setup, then turns of text."""

    async def serve(socket: Socket) -> None:
        answered = 0
        while True:
            await socket.until(lambda: len(socket.messages) > answered)  # noqa: B023
            message = json.loads(socket.messages[answered])
            answered += 1
            for event in _live_events(message, model):
                socket.send(json.dumps(event).encode())

    return websocket(echo=False, then=serve)


def _live_events(message: Json, model: Model) -> list[Json]:
    if "setup" in message:
        return [{"setupComplete": {}}]
    if "clientContent" not in message and "client_content" not in message:
        raise NotUnderstood(f"a message of Live with {sorted(message)}")
    words = model.speak(Asked("gemini", "live", [], transport="websocket"))
    return [
        *(
            {"serverContent": {"modelTurn": {"parts": [{"text": word}]}}}
            for word in words
        ),
        {"serverContent": {"turnComplete": True}, "usageMetadata": USAGE},
    ]
