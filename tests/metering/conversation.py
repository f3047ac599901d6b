"""A provider that answers on WebSockets by a script, and what its answers have used.

Every message of the agent says in its ``metadata`` how its response is to look, so that a
test knows what the records must add up to.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import field, frozen, mutable

from tests.kit.provider import Behaviour, Socket, websocket


@frozen(kw_only=True)
class Turn:
    """One request for a response, and the response.

    Attributes:
        input: tokens that it reads.
        output: tokens that it makes.
        said: characters that it says.
        asked: characters of the prompt.
        stream: the ``stream_id``; empty for none.
        fragment: bytes in each frame; None for one frame.
        model: that is asked.
    """

    input: int = 10
    output: int = 5
    said: int = 20
    asked: int = 20
    stream: str = ""
    fragment: int | None = None
    model: str = "gpt-4o"

    @property
    def request(self) -> str:
        """The agent's message."""
        told: dict[str, Any] = {
            "type": "response.create",
            "model": self.model,
            "max_output_tokens": self.output,
            "input": "q" * self.asked,
            "metadata": {
                "input": self.input,
                "output": self.output,
                "said": self.said,
                "fragment": self.fragment,
            },
        }
        if self.stream:
            told["stream_id"] = self.stream
        return json.dumps(told)

    @property
    def effective(self) -> int:
        """Effective tokens."""
        return self.input + 4 * self.output


def events_of(asked: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """The events of the response to a message."""
    script = asked["metadata"]
    response = {"id": f"resp_{number}", "object": "response", "model": asked["model"]}
    usage = {
        "input_tokens": script["input"],
        "output_tokens": script["output"],
        "total_tokens": script["input"] + script["output"],
    }
    half = "w" * (script["said"] // 2)
    delta = {"type": "response.output_text.delta", "item_id": "m", "delta": half}
    told = [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        delta,
        delta,
        {
            "type": "response.completed",
            "response": {**response, "status": "completed", "usage": usage},
        },
    ]
    if "stream_id" in asked:
        told = [{**event, "stream_id": asked["stream_id"]} for event in told]
    return told


@mutable
class Script:
    """What a provider is asked on its sockets.

    Attributes:
        asked: the messages, parsed.
    """

    asked: list[dict[str, Any]] = field(factory=list)

    async def serve(self, socket: Socket) -> None:
        """Answer each message with a whole response."""
        while True:
            await socket.until(lambda: bool(socket.messages))
            asked = json.loads(socket.messages.pop(0))
            self.asked.append(asked)
            if asked["type"] != "response.create":
                continue
            for event in events_of(asked, len(self.asked)):
                fragment = asked["metadata"]["fragment"]
                socket.send(json.dumps(event), fragment=fragment)

    def in_parallel(self, many: int) -> Callable[[Socket], Awaitable[None]]:
        """Wait for so many messages, and answer them side by side, the last one first."""

        async def serve(socket: Socket) -> None:
            await socket.until(lambda: len(socket.messages) >= many)
            mine = [json.loads(message) for message in socket.messages]
            socket.messages.clear()
            first = len(self.asked)
            self.asked += mine
            told = [events_of(one, first + at) for at, one in enumerate(mine, 1)]
            for at in range(len(told[0])):
                for events in reversed(told):
                    socket.send(json.dumps(events[at]))
            await self.serve(socket)

        return serve

    def behaviour(self, **arguments: Any) -> Behaviour:
        """A provider's WebSocket that goes by it."""
        return websocket(echo=False, then=self.serve, **arguments)
