"""How much and how long: the numbers one exchange, and all of them, are held to."""

from attrs import frozen

MiB = 1024 * 1024


@frozen(kw_only=True)
class Deadlines:
    """How long we wait; all in seconds.

    Attributes:
        dial: for a TCP connection to the egress proxy, or to upstream without one.
        connect: for the answer to CONNECT.
        tls: for a TLS handshake.
        head: for an agent's request head, from its first byte.
        body: without a byte of an agent's request body while we could take it.
        first_byte: for the first byte of an answer after the request was sent.
        silence: without a byte from upstream in the middle of an answer.
        write_stall: without progress while the other side takes nothing.
        keepalive: for the next request on an agent's idle connection.
        line_idle: an unused upstream line is kept; below what providers allow.
        ping: idle on a WebSocket leg before we send a ping of our own.
    """

    dial: float = 10.0
    connect: float = 30.0
    tls: float = 10.0
    head: float = 10.0
    body: float = 30.0
    first_byte: float = 900.0
    silence: float = 900.0
    write_stall: float = 120.0
    keepalive: float = 120.0
    line_idle: float = 55.0
    ping: float = 60.0


@frozen(kw_only=True)
class Limits:
    """How much we take.

    Attributes:
        body: bytes of one request body.
        head: bytes of one request head.
        fields: header lines of one request.
        message: bytes of one WebSocket message.
        exchanges: exchanges under way at once, over all providers.
        connections: agent connections open at once, over all providers.
        peer: of these, those of one IP address; Unix sockets have none.
        idle_lines: warm upstream lines kept for each provider.
        replay: bytes of a request body kept so that it can be sent again when a reused
            line turns out to be dead.
    """

    body: int = 32 * MiB
    head: int = 32 * 1024
    fields: int = 200
    message: int = 32 * MiB
    exchanges: int = 8192
    connections: int = 16384
    peer: int = 12288
    idle_lines: int = 64
    replay: int = 4 * MiB

    def shown(self) -> dict[str, float]:
        """The limits that an agent may want to know, by name and unit."""
        return {
            "max_body_bytes": self.body,
            "max_head_bytes": self.head,
            "max_header_fields": self.fields,
            "max_message_bytes": self.message,
        }
