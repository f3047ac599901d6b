"""The two ends of a WebSocket. Autobahn lives here only.

Autobahn does both handshakes, and makes the pings and closes we send of our own accord. When
a socket is open its bytes do not go through Autobahn's parser: the two sides have agreed on
the same extension, so ``dataReceived`` hands them to ``on_bytes`` as they are (``wire.bridge``
says what happens to them).

Neither end reads a head from the network. The agent's request and the provider's 101 were
read by ``core.head``, strictly; what Autobahn gets to see is a short head that we make of the
few lines it needs, so nothing in a strange header can upset it, and its debug log, which
prints whole handshakes, has no credential to print.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from apiproxy.core.errors import UpstreamMalformed
from apiproxy.core.headers import Special, join
from apiproxy.core.values import Fields
from apiproxy.wire.transport import Transport, transport_of

_HANDSHAKE_ANSWER = (
    b"upgrade",
    b"connection",
    b"sec-websocket-accept",
    b"sec-websocket-extensions",
)


class _Socket:
    """What both ends have in common; comes before Autobahn's class.

    Attributes:
        on_bytes: takes what arrives on the open socket.
        on_lost: told when the connection is gone.
    """

    on_bytes: Callable[[bytes], None] | None = None
    on_lost: Callable[[], None] | None = None
    data: bytes

    @property
    def line(self) -> Transport:
        """The connection below."""
        return transport_of(self)  # type: ignore[arg-type]  # both ends are Protocols

    def dataReceived(self, data: bytes) -> None:
        """Bytes of an open socket; they wait until somebody takes them."""
        if self.on_bytes is None:
            self.data += data
        else:
            self.on_bytes(data)

    def processData(self) -> bool:
        """Autobahn's parser stays out of it."""
        return False

    def start(
        self, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]
    ) -> bytes:
        """Take what arrives from now on; returns what has arrived before."""
        self.on_bytes, self.on_lost = on_bytes, on_lost
        early, self.data = self.data, b""
        return early


class UpstreamSocket(_Socket, WebSocketClientProtocol):  # type: ignore[misc]
    """The provider's end, made of a connection on which 101 has been answered."""

    offered_deflate = False
    refused: str | None = None

    def startHandshake(self) -> None:
        """The request has gone out already."""

    def perMessageCompressionAccept(
        self, response: PerMessageDeflateResponse
    ) -> PerMessageDeflateResponseAccept | None:
        """What the provider chose is right if the agent had offered it."""
        if not self.offered_deflate:
            return None
        return PerMessageDeflateResponseAccept(response)

    def failHandshake(self, reason: str) -> None:
        """The provider's 101 is not what RFC 6455 wants."""
        self.refused = reason

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the bridge."""
        super().connectionLost(reason)
        if self.on_lost is not None:
            self.on_lost()


class _AgreedDeflate(PerMessageDeflateOfferAccept):
    """permessage-deflate, worded as upstream did."""

    def __init__(self, offer: PerMessageDeflateOffer, words: str) -> None:
        super().__init__(offer)  # type: ignore[no-untyped-call]
        self._words = words

    def get_extension_string(self) -> str:
        """What goes into ``Sec-WebSocket-Extensions``."""
        return self._words


class AgentSocket(_Socket, WebSocketServerProtocol):  # type: ignore[misc]
    """The agent's end, made of its connection once upstream has agreed."""

    agreed_protocol: str | None = None
    agreed_extensions = ""
    answer_headers: Mapping[str, list[str]] = MappingProxyType({})

    def onConnect(  # type: ignore[override]  # a value may be a list of lines
        self, request: object
    ) -> tuple[str | None, Mapping[str, list[str]]]:
        """What goes into the 101: upstream's subprotocol and header lines."""
        return self.agreed_protocol, self.answer_headers

    def perMessageCompressionAccept(
        self, offers: list[PerMessageDeflateOffer]
    ) -> PerMessageDeflateOfferAccept:
        """Answer the offer in upstream's own words."""
        return _AgreedDeflate(offers[0], self.agreed_extensions)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the bridge."""
        super().connectionLost(reason)
        if self.on_lost is not None:
            self.on_lost()


class SocketFactories:
    """The Autobahn factories, one pair for the process."""

    def __init__(self, reactor: object) -> None:
        self._upstream = WebSocketClientFactory(reactor=reactor)
        self._upstream.protocol = UpstreamSocket
        self._upstream.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            failByDrop=False,
        )
        self._agent = WebSocketServerFactory(reactor=reactor, server="")
        self._agent.protocol = AgentSocket
        self._agent.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            failByDrop=False,
            webStatus=False,
        )

    def open_upstream(
        self, line: Transport, key: bytes, offered_deflate: bool, special: Special
    ) -> UpstreamSocket:
        """Make a connection that has answered 101 the provider's end.

        Args:
            line: the connection; it becomes the socket's.
            key: the ``Sec-WebSocket-Key`` that was sent.
            offered_deflate: whether permessage-deflate was offered.
            special: the handshake lines of the 101.

        Raises:
            UpstreamMalformed: the 101 is not what was asked for.
        """
        socket = self._upstream.buildProtocol(line.getPeer())
        assert isinstance(socket, UpstreamSocket)
        socket.offered_deflate = offered_deflate
        line.protocol = socket
        socket.makeConnection(line)  # type: ignore[no-untyped-call]
        socket.websocket_key = key
        fields = [
            (name, value)
            for name in _HANDSHAKE_ANSWER
            for value in special.get(name, ())
        ]
        socket.data = b"HTTP/1.1 101 Switching Protocols\r\n" + join(fields) + b"\r\n"
        if not all(value.isascii() for _, value in fields):
            raise UpstreamMalformed
        socket.processHandshake()  # type: ignore[no-untyped-call]
        if socket.refused is not None:
            raise UpstreamMalformed(f"The provider's 101 is wrong: {socket.refused}")
        return socket

    def open_agent(
        self,
        line: Transport,
        special: Special,
        protocol: bytes | None,
        extensions: bytes,
        answer: Fields,
    ) -> AgentSocket:
        """Make the agent's connection its end; the 101 goes out.

        Args:
            line: the connection; it becomes the socket's.
            special: the handshake lines of the agent's request.
            protocol: the subprotocol agreed upstream.
            extensions: the extensions agreed upstream, as worded there.
            answer: further header lines for the 101.
        """
        socket = self._agent.buildProtocol(line.getPeer())
        assert isinstance(socket, AgentSocket)
        socket.agreed_extensions = extensions.decode("ascii")
        socket.answer_headers = _as_text(answer)
        fields: Fields = [
            (b"Host", b"agent"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Version", b"13"),
            (b"Sec-WebSocket-Key", special[b"sec-websocket-key"][0]),
        ]
        if protocol is not None:
            socket.agreed_protocol = protocol.decode("ascii")
            fields.append((b"Sec-WebSocket-Protocol", protocol))
        if extensions:
            fields.append((b"Sec-WebSocket-Extensions", b"permessage-deflate"))
        line.protocol = socket
        socket.makeConnection(line)  # type: ignore[no-untyped-call]
        socket.data = b"GET / HTTP/1.1\r\n" + join(fields) + b"\r\n"
        socket.processHandshake()
        return socket


def _as_text(fields: Fields) -> dict[str, list[str]]:
    """Header lines as Autobahn wants them; a line that is not ASCII is left out."""
    headers: dict[str, list[str]] = {}
    for name, value in fields:
        if value.isascii() and name.lower() != b"content-length":
            headers.setdefault(name.decode("ascii"), []).append(value.decode("ascii"))
    return headers
