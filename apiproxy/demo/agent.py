"""The demonstration's agent: it has a placeholder where others have a key."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import msgspec
from attrs import frozen
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent as HTTPAgent, FileBodyProducer, ResponseDone
from twisted.web.http_headers import Headers

from apiproxy.demo.screen import DemoFailed
from apiproxy.wire.reactor import Reactor

PLACEHOLDER = "Bearer placeholder"

_JSON = "application/json"

Event = dict[str, Any]  # Any: JSON


class _Body(Protocol):
    """An answer's body, piece by piece; None at its end."""

    def __init__(self) -> None:
        self.pieces: DeferredQueue[bytes | Failure | None] = DeferredQueue()

    def dataReceived(self, data: bytes) -> None:
        self.pieces.put(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.pieces.put(None if reason.check(ResponseDone) else reason)


@frozen
class Answer:
    """The body of an HTTP answer of 200."""

    _body: _Body

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            DemoFailed: it was cut off.
        """
        while (piece := await self._body.pieces.get()) is not None:
            if isinstance(piece, Failure):
                raise DemoFailed("the answer was cut off")
            yield piece

    async def json(self) -> Event:
        """The body, whole.

        Raises:
            DemoFailed: it is not a JSON object.
        """
        body = b"".join([piece async for piece in self.pieces()])
        return read_event(body)

    async def events(self) -> AsyncIterator[Event]:
        """The events of a token stream, as they come."""
        waiting = b""
        async for piece in self.pieces():
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    yield read_event(line[len(b"data: ") :])


def read_event(text: bytes) -> Event:
    """A JSON object.

    Raises:
        DemoFailed: it is none.
    """
    try:
        return msgspec.json.decode(text, type=Event)
    except msgspec.DecodeError:
        shown = text[:200].decode(errors="replace")
        raise DemoFailed(f"what was answered is not JSON: {shown}") from None


class Agent:
    """Speaks HTTP and WebSocket to apiproxy, and to nothing else."""

    def __init__(self, reactor: Reactor, base: str) -> None:
        """An agent.

        Args:
            reactor: provides sockets and time.
            base: such as ``127.0.0.1:10000``.
        """
        self._reactor = reactor
        self._base = base
        self._http = HTTPAgent(reactor, connectTimeout=5)

    async def post(self, path: str, body: Event) -> Answer:
        """Send a request, and wait for the head of the answer.

        Raises:
            DemoFailed: it is not 200.
        """
        producer = FileBodyProducer(BytesIO(msgspec.json.encode(body)))
        response = await self._http.request(
            b"POST",
            f"http://{self._base}{path}".encode(),
            Headers({"Authorization": [PLACEHOLDER], "Content-Type": [_JSON]}),
            producer,
        )
        received = _Body()
        response.deliverBody(received)
        answer = Answer(received)
        if response.code != 200:
            raise DemoFailed(f"the answer is {response.code}: {await answer.json()}")
        return answer

    async def open(self, path: str) -> "Conversation":
        """Open a WebSocket.

        Raises:
            DemoFailed: it was refused.
        """
        factory = WebSocketClientFactory(
            f"ws://{self._base}{path}",
            headers={"Authorization": PLACEHOLDER},
            reactor=self._reactor,
        )
        factory.noisy = False
        socket = Conversation()
        factory.protocol = lambda: socket  # type: ignore[assignment]
        host, _, port = self._base.partition(":")
        self._reactor.connectTCP(host, int(port), factory, timeout=5)
        await socket.opened
        return socket


class Conversation(WebSocketClientProtocol):
    """A WebSocket of the agent's.

    Attributes:
        opened: fires when it is open; fails with DemoFailed when it is refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opened: Deferred[None] = Deferred()
        self._closed: Deferred[int | None] = Deferred()
        self._received: DeferredQueue[Event | None] = DeferredQueue()

    def onOpen(self) -> None:
        """It is open."""
        self.opened.callback(None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """An event."""
        self._received.put(read_event(payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """It is closed, or never was open."""
        if not self.opened.called:
            self.opened.errback(DemoFailed(f"the WebSocket was refused: {reason}"))
        self._received.put(None)
        self._closed.callback(code)

    async def ask(self, message: Event) -> AsyncIterator[Event]:
        """Send a message, and have the events of its answer.

        Raises:
            DemoFailed: it is closed before the answer is complete.
        """
        self.sendMessage(msgspec.json.encode(message))  # type: ignore[no-untyped-call]
        while (event := await self._received.get()) is not None:
            yield event
            if event["type"] == "response.completed":
                return
        raise DemoFailed("the WebSocket was closed in the middle of an answer")

    async def close(self) -> int | None:
        """Close it in order; the code that the other side closed with."""
        self.sendClose(1000, "done")
        return await self._closed
