"""An agent that says exactly what a test tells it to: HTTP by hand, and WebSockets.

``Agent`` sends bytes and reads answers; with ``upgrade`` it goes on with WebSocket frames
made by hand. ``SocketAgent`` is the well-behaved one, with Autobahn inside.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.types import ConnectionResponse
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.kit.frames import TEXT, Frame, frame, read_frame
from tests.kit.http import NO_FIELDS, Response, head
from tests.kit.line import Bell, Gone, IReactor, Line
from tests.kit.provider import SocketClosed

FieldsIn = Iterable[tuple[bytes, bytes]]


class Agent(Line):
    """A connection as an agent holds it, over TCP or TLS."""

    @classmethod
    async def connect(
        cls,
        reactor: IReactor,
        port: int,
        *,
        host: str = "127.0.0.1",
        tls: IOpenSSLClientConnectionCreator | None = None,
    ) -> "Agent":
        """Connect.

        Args:
            reactor: the real one.
            port: of the server.
            host: an IPv4 address.
            tls: such as ``authority().client("api.openai.com")``.

        Raises:
            ConnectError: nobody listens there.
            Gone: the TLS handshake failed.
        """
        agent = cls(reactor)
        await TCP4ClientEndpoint(reactor, host, port).connect(_Only(agent))
        if tls is not None:
            await agent.secure(tls)
        return agent

    @classmethod
    async def through(
        cls,
        reactor: IReactor,
        proxy_port: int,
        authority: str,
        *,
        tls: IOpenSSLClientConnectionCreator | None = None,
        fields: FieldsIn = NO_FIELDS,
    ) -> "Agent":
        """Connect through an egress proxy, as apiproxy does.

        Args:
            reactor: the real one.
            proxy_port: where the proxy listens on 127.0.0.1.
            authority: host and port for CONNECT.
            tls: for TLS inside the tunnel; None for a bare tunnel.
            fields: of CONNECT.

        Raises:
            AssertionError: the proxy answered anything but 200.
        """
        agent = await cls.connect(reactor, proxy_port)
        response = await agent.connect_method(authority, fields)
        assert response.status == 200, response.head
        if tls is not None:
            await agent.secure(tls)
        return agent

    async def connect_method(
        self, authority: str, fields: FieldsIn = NO_FIELDS
    ) -> Response:
        """Ask a proxy for a tunnel; its answer."""
        name = authority.encode()
        first = b"CONNECT " + name + b" HTTP/1.1"
        self.write(head(first, [(b"Host", name), *fields]))
        return await self.response(method=b"CONNECT")

    def ask(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        fields: FieldsIn = NO_FIELDS,
        body: bytes | None = None,
        *,
        host: bytes | None = b"localhost",
    ) -> None:
        """Send a request.

        Args:
            method: of the request.
            target: of the request.
            fields: after ``Host``, as they are.
            body: sent with its ``Content-Length``; None for no body.
            host: the value of ``Host``; None for none.
        """
        every = [*([] if host is None else [(b"Host", host)]), *fields]
        if body is not None:
            every.append((b"Content-Length", b"%d" % len(body)))
        self.write(head(method + b" " + target + b" HTTP/1.1", every) + (body or b""))

    async def response(self, method: bytes = b"GET") -> Response:
        """The next answer, with its whole body.

        Args:
            method: what was asked with, because an answer to HEAD has no body.

        Raises:
            Gone: the connection ended before the answer did.
        """
        response, length = await self.response_head(method)
        await response.read_body(self, length)
        return response

    async def response_head(self, method: bytes = b"GET") -> tuple[Response, int]:
        """The head of the next answer; read the rest with ``response.read_body``.

        Returns:
            The answer without its body, and what ``read_body`` wants to know.
        """
        interim = []
        while True:
            response = Response(await self.read_until(b"\r\n\r\n"))
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        bare = method == b"HEAD" or response.status in (101, 204, 304)
        if bare or (method == b"CONNECT" and response.status == 200):
            return response, 0
        return response, response.frame(otherwise="close")

    async def upgrade(
        self,
        target: bytes = b"/",
        fields: FieldsIn = NO_FIELDS,
        *,
        after: bytes = b"",
        host: bytes = b"localhost",
    ) -> Response:
        """Ask for a WebSocket; the answer, which need not be 101.

        Args:
            target: of the request.
            fields: such as ``Sec-WebSocket-Protocol``.
            after: bytes that go out in the same segment as the request.
            host: the value of ``Host``.
        """
        handshake = [
            (b"Host", host),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Version", b"13"),
            (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        first = b"GET " + target + b" HTTP/1.1"
        self.write(head(first, [*handshake, *fields]) + after)
        return await self.response()

    def send_frame(
        self,
        opcode: int = TEXT,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        mask: bool = True,
    ) -> None:
        """Send a WebSocket frame, legal or not."""
        key = secrets.token_bytes(4) if mask else None
        self.write(frame(opcode, payload, fin=fin, rsv=rsv, mask=key))

    async def frame(self) -> Frame:
        """The next WebSocket frame."""
        return await read_frame(self)


class Refused(Exception):
    """The WebSocket was not opened.

    Attributes:
        status: of the answer; None if there was none.
        headers: of the answer, names in lower case; Autobahn joins repeated ones.
        closed: what Autobahn said.
    """

    def __init__(
        self, status: int | None, headers: dict[str, str], closed: SocketClosed
    ) -> None:
        super().__init__(f"{status}: {closed.reason}")
        self.status = status
        self.headers = headers
        self.closed = closed


class SocketAgent(WebSocketClientProtocol):
    """An agent's side of a WebSocket, carried by Autobahn.

    Attributes:
        events: all that happened: ``("open",)``, ``("message", str or bytes)``,
            ``("ping", bytes)``, ``("pong", bytes)``, ``("close", clean, code, reason)``.
        messages: the messages nobody has taken yet.
        response: subprotocol, extensions and headers of the 101.
        closed: how it ended; None as long as it is open.
        deflate: whether permessage-deflate was agreed on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[Any, ...]] = []
        self.messages: list[str | bytes] = []
        self.response: ConnectionResponse | None = None
        self.closed: SocketClosed | None = None
        self.deflate = False
        self._opened = False
        self._bell = Bell()

    @classmethod
    async def connect(
        cls,
        reactor: IReactor,
        port: int,
        path: str = "/",
        *,
        headers: dict[str, str] | None = None,
        protocols: Sequence[str] = (),
        deflate: bool = False,
        origin: str | None = None,
        host: str = "127.0.0.1",
        tls: IOpenSSLClientConnectionCreator | None = None,
    ) -> "SocketAgent":
        """Connect and open a WebSocket.

        Raises:
            Refused: the answer was not 101.
        """
        factory = WebSocketClientFactory(
            f"{'ws' if tls is None else 'wss'}://{host}:{port}{path}",
            origin=origin,
            protocols=list(protocols),
            headers=headers or {},
            reactor=reactor,
        )
        factory.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            failByDrop=False,
            perMessageCompressionOffers=[PerMessageDeflateOffer()] if deflate else [],
            perMessageCompressionAccept=_accept_deflate,
        )
        agent = cls()
        agent.factory = factory
        only: Any = _Only(agent)
        if tls is not None:
            only = TLSMemoryBIOFactory(tls, True, only, reactor)
        await TCP4ClientEndpoint(reactor, host, port).connect(only)
        await agent.until(lambda: agent._opened or agent.closed is not None)
        if not agent._opened:
            assert agent.closed is not None
            # Autobahn makes these attributes when an answer has come.
            words = getattr(agent, "http_status_line", "").split(" ")
            status = int(words[1]) if len(words) > 1 else None
            headers = dict(getattr(agent, "http_headers", {}))
            raise Refused(status, headers, agent.closed)
        return agent

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so.

        Raises:
            Gone: the WebSocket ended and it is still not so.
        """
        while not condition():
            if self.closed is not None:
                raise Gone(str(self.closed))
            await self._bell.heard()

    async def message(self) -> str | bytes:
        """The next message."""
        await self.until(lambda: bool(self.messages))
        return self.messages.pop(0)

    async def ended(self) -> SocketClosed:
        """Wait for the end."""
        await self.until(lambda: self.closed is not None)
        assert self.closed is not None
        return self.closed

    def send(self, message: str | bytes, *, fragment: int | None = None) -> None:
        """Send a message.

        Args:
            message: ``str`` for text and ``bytes`` for binary.
            fragment: bytes in each frame; None for all in one.
        """
        payload = message.encode() if isinstance(message, str) else message
        self.sendMessage(payload, isinstance(message, bytes), fragment)

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping."""
        self.sendPing(payload)

    def end(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close; None for an empty one."""
        if code is None:
            self.sendCloseFrame()
        else:
            self.sendCloseFrame(code=code, reasonUtf8=reason.encode())

    def abort(self) -> None:
        """End the connection with an RST, without a Close."""
        self.dropConnection(abort=True)

    async def stop(self) -> None:
        """End whatever is left of it, and wait; for cleanups."""
        if self.closed is None:
            self.abort()
            await self.ended()

    def onConnect(self, response: ConnectionResponse) -> None:
        """Keep what the 101 said."""
        self.response = response

    def onOpen(self) -> None:
        """It is open."""
        self._opened = True
        self.deflate = self._perMessageCompress is not None
        self._happened("open")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Keep it."""
        message = payload if isBinary else payload.decode()
        self.messages.append(message)
        self._happened("message", message)

    def onPing(self, payload: bytes) -> None:
        """Keep and answer it."""
        super().onPing(payload)
        self._happened("ping", payload)

    def onPong(self, payload: bytes) -> None:
        """Keep it."""
        self._happened("pong", payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Keep how it ended."""
        if self.closed is None:
            self.closed = SocketClosed(wasClean, code, reason)
            self._happened("close", wasClean, code, reason)

    def _happened(self, *event: Any) -> None:
        self.events.append(event)
        self._bell.ring()


def _accept_deflate(response: object) -> PerMessageDeflateResponseAccept | None:
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)
    return None


class _Only(Factory):
    """Gives the one protocol it was made with."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._protocol
