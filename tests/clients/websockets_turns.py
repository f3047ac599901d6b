"""Run as a program: the ``websockets`` library has a conversation, and prints it as JSON.

Arguments: ``threads`` or ``asyncio``, the URL, the key, and ``deflate`` or ``plain``. Twice it
opens a WebSocket: the first it closes itself, the second it has closed by the other side.
"""

import asyncio
import hashlib
import json
import sys
from typing import Any, Literal

from websockets.asyncio.client import connect as connect_async
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

BIG = bytes(range(256)) * 65536
"""16 MiB."""

SENT: tuple[str | bytes, ...] = (
    "hello",
    b"\x00\xff",
    "",
    b"",
    "grüß dich",
    "x" * 70000,
)

PROTOCOLS = [Subprotocol("chat.v1"), Subprotocol("chat.v2")]


def shown(message: str | bytes) -> str:
    """A message as JSON can have it, and short."""
    if isinstance(message, bytes):
        return f"{len(message)} bytes, {hashlib.sha256(message).hexdigest()}"
    return message


def ending(closed: ConnectionClosed) -> dict[str, Any]:
    """How the other side closed."""
    received = closed.rcvd
    return {
        "kind": type(closed).__name__,
        "code": None if received is None else received.code,
        "reason": None if received is None else received.reason,
    }


def opened(headers: Headers, subprotocol: str | None) -> dict[str, Any]:
    """What was agreed on."""
    return {
        "subprotocol": subprotocol,
        "extensions": headers.get("Sec-WebSocket-Extensions"),
        "turn_state": headers.get("x-codex-turn-state"),
    }


def by_threads(
    url: str, headers: dict[str, str], deflate: Literal["deflate"] | None
) -> dict[str, Any]:
    """The conversation, with the blocking client."""

    def open_one() -> Any:
        return connect(
            url,
            additional_headers=headers,
            subprotocols=PROTOCOLS,
            compression=deflate,
            max_size=None,
            proxy=None,
            open_timeout=60,
        )

    with open_one() as socket:
        seen = opened(socket.response.headers, socket.subprotocol)
        seen["echo"] = []
        for message in (*SENT, BIG):
            socket.send(message)
            seen["echo"].append(shown(socket.recv(timeout=120)))
        socket.send(["in ", "three ", "pieces"])
        seen["pieces"] = [socket.recv(timeout=120), list(socket.recv_streaming())]
        seen["pong"] = socket.ping(b"are you there?").wait(120)
        socket.close(4001, "bye")
    with open_one() as socket:
        socket.send("close")
        try:
            while socket.recv(timeout=120):
                pass
        except ConnectionClosed as closed:
            seen["ending"] = ending(closed)
    return seen


async def by_asyncio(
    url: str, headers: dict[str, str], deflate: Literal["deflate"] | None
) -> dict[str, Any]:
    """The conversation, with the client for asyncio."""

    def open_one() -> connect_async:
        return connect_async(
            url,
            additional_headers=headers,
            subprotocols=PROTOCOLS,
            compression=deflate,
            max_size=None,
            proxy=None,
            open_timeout=60,
        )

    async with open_one() as socket:
        assert socket.response is not None
        seen = opened(socket.response.headers, socket.subprotocol)
        seen["echo"] = []
        for message in (*SENT, BIG):
            await socket.send(message)
            seen["echo"].append(shown(await socket.recv()))
        await socket.send(["in ", "three ", "pieces"])
        answer = await socket.recv()
        seen["pieces"] = [answer, [piece async for piece in socket.recv_streaming()]]
        await asyncio.wait_for(await socket.ping(b"are you there?"), 120)
        seen["pong"] = True
        await socket.close(4001, "bye")
    async with open_one() as socket:
        await socket.send("close")
        try:
            while await socket.recv():
                pass
        except ConnectionClosed as closed:
            seen["ending"] = ending(closed)
    return seen


if __name__ == "__main__":
    kind, url, key, compression = sys.argv[1:]
    headers = {"Authorization": f"Bearer {key}"}
    deflate: Literal["deflate"] | None = "deflate" if compression == "deflate" else None
    if kind == "threads":
        print(json.dumps(by_threads(url, headers, deflate)))
    else:
        print(json.dumps(asyncio.run(by_asyncio(url, headers, deflate))))
