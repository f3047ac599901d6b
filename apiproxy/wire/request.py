"""One request of an agent, and the way to answer it."""

import typing

from msgspec import structs

from apiproxy.core.errors import ProxyError
from apiproxy.core.head import RequestHead
from apiproxy.core.headers import Special, connection_options, join, wants_websocket
from apiproxy.core.values import Fields
from apiproxy.wire.reason import reason_phrase
from apiproxy.wire.transport import Transport

MAX_DRAINED = 1024 * 1024
"""Bytes of an unwanted request body that are read and thrown away."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Server(typing.Protocol):
    """Serves one request; is told what happens on the agent's side."""

    def body_data(self, payload: bytes) -> None:
        """Payload of the request's body came."""

    def body_ended(self) -> None:
        """The request's body is complete."""

    def agent_lost(self, error: ProxyError | None) -> None:
        """The agent left; or, with an error, broke the protocol and gets that answer."""

    def agent_full(self) -> None:
        """The agent does not read as fast as we write."""

    def agent_ready(self) -> None:
        """The agent reads again."""

    def look(self, now: float) -> None:
        """Act on deadlines (see ``wire.watch``)."""


class Channel(typing.Protocol):
    """The connection a request came on, as whoever serves it sees it.

    Attributes:
        body_left: bytes of the body to come, 0 when it has come whole; ``CHUNKED`` for an
            unknown number.
        full: whether the agent does not read as fast as we write.
        peer: IP address of the agent; empty on a Unix socket.
    """

    body_left: int
    full: bool
    peer: str

    def take_first_body(self) -> bytes:
        """What of a counted body came with its head; asked once, at the beginning."""

    def write(self, data: bytes) -> None:
        """Send bytes of the answer."""

    def end_answer(self) -> None:
        """The answer has been written whole."""

    def hold(self) -> None:
        """Read no more of the request for now."""

    def release(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """Close at once."""

    def give_away(self) -> tuple[Transport, bytes]:
        """Part with the connection, and with the bytes behind the request."""


class AgentRequest:
    """One request of an agent, and the way to answer it.

    Attributes:
        channel: the connection it came on.
        head: as received.
        fields: the lines that pass to upstream.
        special: values of the lines that do not, by lower-case name.
        length: bytes of body announced, or ``CHUNKED``.
        keep: whether the connection may be kept afterwards.
        server: who serves it; None while nobody does.
    """

    __slots__ = (
        "_expects",
        "channel",
        "fields",
        "head",
        "keep",
        "length",
        "server",
        "special",
    )

    def __init__(
        self,
        channel: Channel,
        head: RequestHead,
        fields: Fields,
        special: Special,
        length: int,
    ) -> None:
        self.channel = channel
        self.head = head
        self.fields = fields
        self.special = special
        self.length = length
        self.keep = head.minor == 1 and not (
            b"connection" in special and b"close" in connection_options(special)
        )
        self._expects = b"expect" in special and head.minor == 1
        self.server: Server | None = None

    def forget_lines(self) -> None:
        """Free the header lines, which a long answer would keep for nothing."""
        self.fields, self.special = [], {}
        self.head = structs.replace(self.head, fields=[])

    @property
    def wants_websocket(self) -> bool:
        """Whether this is a WebSocket handshake."""
        return b"upgrade" in self.special and wants_websocket(self.special)

    def want_body(self) -> None:
        """Tell an agent that waits for it to send the body (RFC 9110, section 10.1.1)."""
        if self._expects:
            self._expects = False
            if self.channel.body_left:
                self.channel.write(_CONTINUE)

    def make_head(self, status: int, reason: bytes, fields: Fields) -> bytes:
        """The bytes of an answer's head, which also settle whether we keep the connection.

        Args:
            status: of the answer.
            reason: the phrase.
            fields: all lines but ``Connection``, framing included.
        """
        if self.keep and self.channel.body_left and not self._can_drain():
            self.keep = False
        if status == 408 and self.channel.body_left:
            # Whoever sent half a body so slowly is not waited for again.
            self.keep = False
        close = b"" if self.keep else b"Connection: close\r\n"
        return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (status, reason, join(fields), close)

    def _can_drain(self) -> bool:
        """Whether the rest of the body is known to be short, so that we can wait for it."""
        return not self._expects and 0 <= self.channel.body_left <= MAX_DRAINED

    def answer(self, status: int, fields: Fields, body: bytes) -> None:
        """Answer whole; for HEAD pass the body too, only its length is sent."""
        fields = [*fields, (b"Content-Length", b"%d" % len(body))]
        head = self.make_head(status, reason_phrase(status), fields)
        self.channel.write(head if self.head.method == b"HEAD" else head + body)
        self.channel.end_answer()
