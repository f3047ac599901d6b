"""What may go wrong with a request for the model: what takes an answer's place."""

import json
from collections.abc import Mapping
from typing import Any, Protocol, cast

from attrs import frozen

from tests.kit.provider import Behaviour, Call, Socket, answer_json, cut


class Fault(Protocol):
    """Takes the place of an answer, or spoils it."""

    async def in_http(self, call: Call, answer: Behaviour) -> None:
        """Do so over HTTP, or to an upgrade; ``answer`` is what would be right."""

    async def in_socket(self, socket: Socket) -> None:
        """Do so in answer to a message on a WebSocket."""


class Faulty(Protocol):
    """A provider that knows what is to go wrong."""

    def fault(self, body: bytes) -> Fault | None:
        """What goes wrong with this request for the model."""


def fault_in(socket: Socket, message: bytes) -> Fault | None:
    """What goes wrong with this message on a WebSocket of such a provider."""
    return cast(Faulty, socket.call.provider).fault(message)


@frozen
class Refusal:
    """An error instead of an answer.

    Attributes:
        status: of the answer.
        body: of the answer, in the provider's shape.
        fields: more of its header.
        event: sent on a WebSocket instead; the usual one if None.
        close: the code with which a WebSocket is closed after that.
    """

    status: int
    body: Mapping[str, Any]
    fields: tuple[tuple[bytes, bytes], ...] = ()
    event: Mapping[str, Any] | None = None
    close: int | None = None

    async def in_http(self, call: Call, answer: Behaviour) -> None:
        """Answer with it."""
        await answer_json(self.body, self.status, self.fields)(call)

    async def in_socket(self, socket: Socket) -> None:
        """Send the event."""
        headers = {name.decode(): value.decode() for name, value in self.fields}
        usual = {"type": "error", "status": self.status, **self.body}
        usual |= {"headers": headers} if headers else {}
        socket.send(json.dumps(usual if self.event is None else self.event))
        if self.close is not None:
            socket.end(self.close)


@frozen
class Cut:
    """The answer breaks off.

    Attributes:
        after: so many bytes of its body.
    """

    after: int

    async def in_http(self, call: Call, answer: Behaviour) -> None:
        """Break it."""
        await cut(answer, self.after)(call)

    async def in_socket(self, socket: Socket) -> None:
        """Break the connection with the first event out."""
        begun = {"id": "resp_cut", "object": "response", "status": "in_progress"}
        socket.send(json.dumps({"type": "response.created", "response": begun}))
        await socket.call.line.flushed()
        socket.call.line.end("reset")
