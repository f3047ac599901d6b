"""Run as a program: the ``google-genai`` SDK does things, and prints what it saw as JSON.

Arguments: names of functions below, with commas between; the base URL and the key, without
which the environment has both.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from google.genai import Client, errors, live as live_module, types

from tests.clients.between import between, once

_MODEL = "gemini-2.5-flash"
_ASKED = "Good morning"


def generate(client: Client) -> Any:
    """An answer; its text."""
    return client.models.generate_content(model=_MODEL, contents=_ASKED).text


def stream(client: Client) -> Any:
    """An answer as a stream; its pieces."""
    chunks = client.models.generate_content_stream(model=_MODEL, contents=_ASKED)
    return [chunk.text for chunk in chunks]


def count_tokens(client: Client) -> Any:
    """How many tokens a prompt has."""
    return client.models.count_tokens(model=_MODEL, contents=_ASKED).total_tokens


def live(client: Client) -> Any:
    """A turn on the WebSocket of Live; the pieces of its text."""
    return asyncio.run(_live(client, 1))[0]


async def _live(client: Client, turns: int) -> list[Any]:
    """Turns on one WebSocket of Live: the pieces of each one's text, or what it raises.

    The SDK makes every base URL one of ``wss``, also that of a sidecar, so that has to be
    undone where it connects.
    """
    connect = vars(live_module)["ws_connect"]

    def plainly(uri: str, *, ssl: object = None, **more: Any) -> Any:
        return connect(uri.replace("wss://", "ws://", 1), **more)

    setattr(live_module, "ws_connect", plainly)  # noqa: B010  # not exported
    seen: list[Any] = []
    config = types.LiveConnectConfig(response_modalities=[types.Modality.TEXT])
    async with client.aio.live.connect(model=_MODEL, config=config) as session:
        for _ in range(turns):
            try:
                seen.append(await _turn(session))
            except errors.APIError as error:
                seen.append(_shown(error))
    setattr(live_module, "ws_connect", connect)  # noqa: B010
    return seen


async def _turn(session: live_module.AsyncSession) -> list[str]:
    part = types.Part(text=_ASKED)
    await session.send_client_content(turns=types.Content(role="user", parts=[part]))
    return [message.text async for message in session.receive() if message.text]


def spent_generate(client: Client) -> Any:
    """An answer, and what is raised for the next."""
    return once(lambda: generate(client), _raised)


def spent_stream(client: Client) -> Any:
    """The same as streams."""
    return once(lambda: stream(client), _raised)


def spent_live(client: Client) -> Any:
    """The same on one WebSocket."""
    return asyncio.run(_live(client, 2))


def failing(client: Client) -> Any:
    """An answer that cannot be had; what is raised."""
    return _raised(lambda: generate(client))


def _raised(action: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        action()
    except errors.APIError as error:
        return _shown(error)
    return None


def _shown(error: errors.APIError) -> dict[str, Any]:
    words = {"status": error.code, "message": error.message or str(error.details)}
    return {"kind": type(error).__name__, **words}


def cut(client: Client) -> Any:
    """A stream that breaks; what is raised. None if nothing is."""
    try:
        stream(client)
    except Exception as error:
        return {"kind": type(error).__name__, "message": str(error)}
    return None


def twice(client: Client) -> Any:
    """Two answers for one client, with whatever the test does between."""
    return between(lambda: generate(client))


if __name__ == "__main__":
    turns, *where = sys.argv[1:]
    if where:
        url, key = where
        client = Client(api_key=key, http_options=types.HttpOptions(base_url=url))
    else:
        client = Client()
    for turn in turns.split(","):
        print(json.dumps(globals()[turn](client)))
