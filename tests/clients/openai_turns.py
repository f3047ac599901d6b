"""Run as a program: the ``openai`` SDK does things, and prints what it saw as JSON.

Arguments: names of functions below, with commas between; the base URL and the key, without
which the environment has both.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from openai import APIError, AsyncOpenAI, OpenAI
from openai.types.responses import ResponseInputParam

from tests.clients.between import between, once

_ASKED: ResponseInputParam = [{"role": "user", "content": "Good morning"}]


def chat(client: OpenAI) -> Any:
    """A chat completion; its text."""
    completion = client.chat.completions.create(
        model="mock-1", messages=[{"role": "user", "content": "Good morning"}]
    )
    return completion.choices[0].message.content


def chat_stream(client: OpenAI) -> Any:
    """A chat completion as a stream; its deltas."""
    stream = client.chat.completions.create(
        model="mock-1",
        messages=[{"role": "user", "content": "Good morning"}],
        stream=True,
    )
    return [chunk.choices[0].delta.content for chunk in stream]


def responses(client: OpenAI) -> Any:
    """A response; its text."""
    return client.responses.create(model="mock-1", input="Good morning").output_text


def responses_stream(client: OpenAI) -> Any:
    """A response as a stream; types and deltas of its events, and its text."""
    seen: list[str] = []
    with client.responses.stream(model="mock-1", input="Good morning") as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                seen.append(event.delta)
            else:
                seen.append(event.type)
        return [seen, stream.get_final_response().output_text]


def models(client: OpenAI) -> Any:
    """The models there are."""
    return [model.id for model in client.models.list()]


def connect(client: OpenAI) -> Any:
    """Two responses on one WebSocket; the types of all events, and each text."""
    seen: list[str] = []
    texts: list[str] = []
    with client.responses.connect() as connection:
        for previous in (None, "resp_1"):
            connection.response.create(
                model="mock-1", input=_ASKED, previous_response_id=previous
            )
            for event in connection:
                seen.append(event.type)
                if event.type == "response.completed":
                    texts.append(event.response.output_text)
                    break
    return [seen, texts]


def connect_async(client: OpenAI) -> Any:
    """The same with the asynchronous client."""

    async def story() -> Any:
        seen: list[str] = []
        url, key = str(client.base_url), client.api_key
        async with (
            AsyncOpenAI(base_url=url, api_key=key) as other,
            other.responses.connect() as connection,
        ):
            await connection.response.create(model="mock-1", input=_ASKED)
            async for event in connection:
                seen.append(event.type)
                if event.type == "response.completed":
                    return [seen, [event.response.output_text]]
        return [seen, []]

    return asyncio.run(story())


def realtime(client: OpenAI) -> Any:
    """A turn on the WebSocket of Realtime; its text."""
    seen = ""
    with client.realtime.connect(model="mock-1") as connection:
        connection.response.create()
        for event in connection:
            if event.type == "response.output_text.delta":
                seen += event.delta
            elif event.type == "response.done":
                break
    return seen


def twice(client: OpenAI) -> Any:
    """Two responses for one client, with whatever the test does between."""
    return between(lambda: responses(client))


def spent_chat(client: OpenAI) -> Any:
    """A chat completion, and what is raised for the next."""
    return once(lambda: chat(client), _raised)


def spent_responses_stream(client: OpenAI) -> Any:
    """The same with Responses, as streams."""
    return once(lambda: responses_stream(client), _raised)


def spent_connect(client: OpenAI) -> Any:
    """The same on one WebSocket, where the SDK raises at an event that is an error."""
    with client.responses.connect() as connection:
        connection.response.create(model="mock-1", input=_ASKED)
        first = next(
            event.response.output_text
            for event in connection
            if event.type == "response.completed"
        )
        connection.response.create(model="mock-1", input=_ASKED)
        return [first, _raised(connection.dispatch_events)]


def spent_realtime(client: OpenAI) -> Any:
    """The same with Realtime."""
    with client.realtime.connect(model="mock-1") as connection:
        connection.response.create()
        first = ""
        for event in connection:
            if event.type == "response.output_text.delta":
                first += event.delta
            elif event.type == "response.done":
                break
        connection.response.create()
        return [first, _raised(connection.dispatch_events)]


def failing_chat(client: OpenAI) -> Any:
    """A chat completion that cannot be had; what is raised."""
    return _raised(lambda: chat(client))


def failing_connect(client: OpenAI) -> Any:
    """A WebSocket that cannot be had; what is raised."""
    return _raised(lambda: connect(client))


def cut_chat(client: OpenAI) -> Any:
    """A stream that breaks; what came of it, and what is raised. None if nothing is."""
    seen: list[str | None] = []

    def read() -> None:
        stream = client.chat.completions.create(
            model="mock-1",
            messages=[{"role": "user", "content": "Good morning"}],
            stream=True,
        )
        seen.extend(chunk.choices[0].delta.content for chunk in stream)

    return [seen, _raised(read)]


def cut_responses(client: OpenAI) -> Any:
    """The same with Responses."""
    seen: list[str] = []

    def read() -> None:
        stream = client.responses.create(model="mock-1", input=_ASKED, stream=True)
        seen.extend(event.type for event in stream)

    return [seen, _raised(read)]


def cut_connect(client: OpenAI) -> Any:
    """A WebSocket that breaks; what is raised. None if nothing is."""

    def read() -> None:
        with client.responses.connect() as connection:
            connection.response.create(model="mock-1", input=_ASKED)
            for _ in connection:
                pass

    return _raised(read)


def _raised(action: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        action()
    except APIError as error:
        return {
            "kind": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "message": error.message,
        }
    except Exception as error:
        return {"kind": type(error).__name__, "message": str(error)}
    return None


if __name__ == "__main__":
    turns, *where = sys.argv[1:]
    options: Any = dict(zip(("base_url", "api_key"), where, strict=False))
    with OpenAI(timeout=120, **options) as client:
        for turn in turns.split(","):
            print(json.dumps(globals()[turn](client)))
