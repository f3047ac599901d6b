"""The opening handshakes of a WebSocket. Autobahn lives here only.

Autobahn judges the provider's 101 and answers the agent. Then both of its protocols step
aside, as a tunnel's opener does: the two sides have agreed on the same extension, so what
follows is passed on as it is by ``wire.bridge``, and an idle socket costs 12 kB less.

Neither end reads a head from the network. The agent's request and the provider's 101 were
read by ``core.head``, strictly; what Autobahn gets to see is a short head that we make of the
few lines it needs, so nothing in a strange header can upset it, and its debug log, which
prints whole handshakes, has no credential to print.
"""

from collections.abc import Mapping
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

from apiproxy.core.errors import UpstreamMalformed
from apiproxy.core.headers import Special, join
from apiproxy.core.values import Fields
from apiproxy.wire.transport import Transport

_HANDSHAKE_ANSWER = (
    b"upgrade",
    b"connection",
    b"sec-websocket-accept",
    b"sec-websocket-extensions",
)


class UpstreamSocket(WebSocketClientProtocol):
    """Judges the provider's 101.

    Attributes:
        offered_deflate: whether permessage-deflate was offered.
        refused: what is wrong with the 101; None if nothing is.
    """

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


class _AgreedDeflate(PerMessageDeflateOfferAccept):
    """permessage-deflate, worded as upstream did."""

    def __init__(self, offer: PerMessageDeflateOffer, words: str) -> None:
        super().__init__(offer)  # type: ignore[no-untyped-call]
        self._words = words

    def get_extension_string(self) -> str:
        """What goes into ``Sec-WebSocket-Extensions``."""
        return self._words


class AgentSocket(WebSocketServerProtocol):
    """Answers the agent's request, once upstream has agreed.

    Attributes:
        agreed_protocol: the subprotocol; None for none.
        agreed_extensions: as upstream worded them.
        answer_headers: further header lines of the 101.
    """

    agreed_protocol: str | None = None
    agreed_extensions = ""
    answer_headers: Mapping[str, list[str]] = MappingProxyType({})

    def onConnect(  # type: ignore[override]  # a value may be a list of lines
        self, request: object
    ) -> tuple[str | None, Mapping[str, list[str]]]:
        """What goes into the 101."""
        return self.agreed_protocol, self.answer_headers

    def perMessageCompressionAccept(
        self, offers: list[PerMessageDeflateOffer]
    ) -> PerMessageDeflateOfferAccept:
        """Answer the offer in upstream's own words."""
        return _AgreedDeflate(offers[0], self.agreed_extensions)


class Handshakes:
    """The Autobahn factories, one pair for the process."""

    def __init__(self, reactor: object) -> None:
        self._upstream = WebSocketClientFactory(reactor=reactor)
        self._upstream.protocol = UpstreamSocket
        self._upstream.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0
        )
        self._agent = WebSocketServerFactory(reactor=reactor, server="")
        self._agent.protocol = AgentSocket
        self._agent.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, webStatus=False
        )

    def judge(
        self, line: Transport, key: bytes, offered_deflate: bool, special: Special
    ) -> None:
        """See that the provider's 101 is what was asked for.

        Args:
            line: the connection it came on.
            key: the ``Sec-WebSocket-Key`` that was sent.
            offered_deflate: whether permessage-deflate was offered.
            special: the handshake lines of the 101.

        Raises:
            UpstreamMalformed: it is not.
        """
        fields = [
            (name, value)
            for name in _HANDSHAKE_ANSWER
            for value in special.get(name, ())
        ]
        if not all(value.isascii() for _, value in fields):
            raise UpstreamMalformed
        socket = self._upstream.buildProtocol(line.getPeer())
        assert isinstance(socket, UpstreamSocket)
        socket.offered_deflate = offered_deflate
        socket.makeConnection(line)  # type: ignore[no-untyped-call]
        socket.websocket_key = key
        socket.data = b"HTTP/1.1 101 Switching Protocols\r\n" + join(fields) + b"\r\n"
        socket.processHandshake()  # type: ignore[no-untyped-call]
        if socket.refused is not None:
            raise UpstreamMalformed(f"The provider's 101 is wrong: {socket.refused}")

    def answer(
        self,
        line: Transport,
        special: Special,
        protocol: bytes | None,
        extensions: bytes,
        answer: Fields,
    ) -> None:
        """Answer the agent's request with 101.

        Args:
            line: the connection it came on.
            special: the handshake lines of the request.
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
        socket.makeConnection(line)  # type: ignore[no-untyped-call]
        socket.data = b"GET / HTTP/1.1\r\n" + join(fields) + b"\r\n"
        socket.processHandshake()


def _as_text(fields: Fields) -> dict[str, list[str]]:
    """Header lines as Autobahn wants them; a line that is not ASCII is left out."""
    headers: dict[str, list[str]] = {}
    for name, value in fields:
        if value.isascii() and name.lower() != b"content-length":
            headers.setdefault(name.decode("ascii"), []).append(value.decode("ascii"))
    return headers
