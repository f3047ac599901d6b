"""The demonstration's agent: it has a placeholder where others have a key."""

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from apiproxy.core.chunked import ChunkedReader
from apiproxy.demo.screen import DemoFailed
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.transport import transport_of

PLACEHOLDER = "Bearer placeholder"

_LENGTH = re.compile(rb"\ncontent-length: ([0-9]+)", re.IGNORECASE)

Event = dict[str, Any]  # Any: JSON


class Answer(Protocol):
    """One HTTP call: the request goes out, and the answer comes in pieces.

    Attributes:
        status: fires with the status when the head is there.
    """

    def __init__(self, request: bytes) -> None:
        self.status: Deferred[int] = Deferred()
        self._request = request
        self._head = b""
        self._chunks = ChunkedReader(extensions=True)
        self._left = -1
        self._pieces: DeferredQueue[bytes | DemoFailed | None] = DeferredQueue()

    def connectionMade(self) -> None:
        """Ask."""
        transport_of(self).write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Pieces, behind a head."""
        if not self.status.called:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            length = _LENGTH.search(head)
            self._left = -1 if length is None else int(length[1])
            self.status.callback(int(head.split(b" ", 2)[1]))
        if self._left < 0:
            data = self._chunks.feed(data)
        else:
            self._left -= len(data)
        if data:
            self._pieces.put(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The answer is complete, or cut off."""
        whole = self._chunks.ended or self._left == 0
        self._pieces.put(None if whole else DemoFailed("the answer was cut off"))
        if not self.status.called:
            self.status.errback(DemoFailed("there was no answer"))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            DemoFailed: it was cut off.
        """
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, DemoFailed):
                raise piece
            yield piece

    async def json(self) -> Event:
        """The body, whole.

        Raises:
            DemoFailed: it is not a JSON object.
        """
        return read_event(b"".join([piece async for piece in self.pieces()]))

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
        self._host, _, port = base.partition(":")
        self._port = int(port)

    async def post(self, path: str, body: Event) -> Answer:
        """Send a request, and wait for the head of the answer.

        Raises:
            DemoFailed: it is not 200.
        """
        answer = Answer(self._request(path, msgspec.json.encode(body)))
        factory: Factory = Factory.forProtocol(lambda: answer)
        factory.noisy = False
        endpoint = TCP4ClientEndpoint(self._reactor, self._host, self._port, timeout=5)
        await endpoint.connect(factory)
        status = await answer.status
        if status != 200:
            raise DemoFailed(f"the answer is {status}: {await answer.json()}")
        return answer

    def _request(self, path: str, body: bytes) -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\n"
            f"Host: {self._base}\r\n"
            f"Authorization: {PLACEHOLDER}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + body

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
        self._reactor.connectTCP(self._host, self._port, factory, timeout=5)
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
