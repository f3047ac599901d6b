"""The agent's side of HTTP/1.1.

A channel reads one request at a time: its head whole, its body as it comes. While a request
is being served the bytes behind it wait, up to a bound, so pipelined requests are answered in
order. Reading goes on even then, because that is the only way to notice that the agent left.

The channel knows nothing of upstream. It gives each ``AgentRequest`` to its site, and tells
whoever serves it (a ``Server``) of body bytes, of back-pressure and of the agent's departure.
An answer ends in one of three ways: the connection is kept for the next request; it is closed
after what the agent is still sending has been read and thrown away for a while, because an
early close would destroy the answer on its way (RFC 9112, section 9.6); or it is aborted,
which is how an agent learns that an answer was cut off.

Anything that is not HTTP as ``core.head`` has it is refused and the connection closed; what
cannot be parsed is never passed on, and a connection is never used again after an error.
"""

import re
import typing
from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from apiproxy.core.chunked import ChunkedError, ChunkedReader
from apiproxy.core.errors import (
    AgentTooSlow,
    HeadTooLarge,
    InternalError,
    MalformedRequest,
    ProxyError,
)
from apiproxy.core.familiar import Familiar
from apiproxy.core.head import (
    CHUNKED,
    END,
    RequestHead,
    parse_request,
    refuse_partial_head,
    request_length,
)
from apiproxy.core.headers import (
    Special,
    join,
    sort_request,
)
from apiproxy.core.limits import Deadlines, Limits
from apiproxy.core.values import Fields
from apiproxy.wire.atonce import sender
from apiproxy.wire.reason import reason_phrase
from apiproxy.wire.request import MAX_DRAINED, AgentRequest
from apiproxy.wire.transport import Transport, transport_of, tune
from apiproxy.wire.watch import Stall

_MAX_WAITING = 64 * 1024
"""Bytes read ahead of the request that is being served."""

_DRAIN_SECONDS = 30.0

_TURN_SECONDS = 0.005
"""For how long the pipelined requests of one agent may keep all others waiting."""

_EMPTY_LINES = re.compile(rb"\A(?:\r\n)++")


class ChannelSite(typing.Protocol):
    """What a channel needs of its site."""

    limits: Limits
    deadlines: Deadlines
    familiar: Familiar

    def serve(self, request: AgentRequest) -> None:
        """Serve a request: set its ``server``, or answer at once."""

    def refuse_head(self, channel: "AgentChannel", error: ProxyError) -> None:
        """Answer something that never became a request; the channel closes."""

    def channel_made(self, channel: "AgentChannel") -> None:
        """An agent connected."""

    def channel_lost(self, channel: "AgentChannel") -> None:
        """Its connection is gone."""

    def channel_given(self, channel: "AgentChannel") -> None:
        """Its connection is a WebSocket now."""

    def later(self, act: Callable[[], None]) -> None:
        """Act in the next turn of the loop."""

    def complain(self, sentence: str, error: BaseException) -> None:
        """A bug, contained."""


@implementer(IPushProducer)
class AgentChannel(Protocol):
    """One connection of an agent.

    Attributes:
        peer: IP address of the agent; empty on a Unix socket.
        request: the request being served, or None.
        body_left: bytes of its body to come, 0 when it has come whole; ``CHUNKED`` for an
            unknown number.
        full: whether the agent does not read as fast as we write.
    """

    _line: Transport
    _send: Callable[[bytes], None]

    def __init__(
        self, site: ChannelSite, seconds: Callable[[], float], peer: str = ""
    ) -> None:
        self._site = site
        self.peer = peer
        self._seconds = seconds
        self._buffer = b""
        self._chunked: ChunkedReader | None = None
        self._advancing = False
        self._closing = False
        self._reading = True
        self._drained: int | None = None
        self._since = seconds()
        self._stall = Stall()
        self._written = 0
        self.body_left = 0
        self.full = False
        self.request: AgentRequest | None = None

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, or only for the agent to hang up."""
        return self.request is None and not self._closing

    # What the connection calls.

    def connectionMade(self) -> None:
        """An agent connected."""
        self._line = line = transport_of(self)
        tune(line)
        self._send = sender(line)
        line.registerProducer(self, True)
        self._site.channel_made(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the agent."""
        if self._drained is not None:
            self._drain(len(data))
            return
        if self._buffer:
            self._buffer += data
        else:
            self._buffer = data
            if self.request is None and data.strip(b"\r\n"):
                self._since = self._seconds()
        self._advance()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The agent left, or we closed."""
        self._site.channel_lost(self)
        self._buffer = b""
        request, self.request = self.request, None
        if request is not None and request.server is not None:
            server, request.server = request.server, None  # so that nothing lives on
            server.agent_lost(None)

    def pauseProducing(self) -> None:
        """The agent does not read as fast as we write."""
        self.full = True
        if self.request is not None and self.request.server is not None:
            self.request.server.agent_full()

    def resumeProducing(self) -> None:
        """The agent reads again."""
        self.full = False
        if self.request is not None and self.request.server is not None:
            self.request.server.agent_ready()
        elif self._closing:
            self.linger()
        else:
            self._advance()

    def stopProducing(self) -> None:
        """The connection is being lost, which ``connectionLost`` will tell."""

    # Requests.

    def _advance(self) -> None:
        """Do what can be done with the bytes there are, but not for long at a time."""
        if self._advancing:
            return
        self._advancing = True
        began = self._seconds()
        try:
            while self._buffer and self._step():
                if self.request is None and self._seconds() - began > _TURN_SECONDS:
                    self._site.later(self._advance)
                    break
        except ProxyError as error:
            self._fail(error)
        except ChunkedError:
            self._fail(MalformedRequest("The chunked body is not well-formed."))
        except Exception as error:
            self._site.complain("a request could not be read", error)
            self._fail(InternalError())
        finally:
            self._advancing = False
        if self._buffer or not self._reading:
            self._regulate()

    def _step(self) -> bool:
        """One step; False when more bytes or another event are needed."""
        if self._drained is not None or self._closing:
            return False
        if self.request is None:
            return not self.full and self._begin_request()
        if self.body_left:
            self._take_body()
            return True
        return False

    def _begin_request(self) -> bool:
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):  # RFC 9112, section 2.2
            buffer = self._buffer = _EMPTY_LINES.sub(b"", buffer, 1)
        end = buffer.find(END)
        if end < 0:
            refuse_partial_head(buffer, self._site.limits.head)
            return False
        if end > self._site.limits.head:
            raise HeadTooLarge
        familiar = self._site.familiar
        most = self._site.limits.fields
        head = parse_request(buffer[: end + 2], most, familiar.split)
        self._buffer = buffer[end + 4 :]
        fields, special = sort_request(head.fields, familiar.kind)
        length = request_length(head.minor, special)
        _check_host(head, special)
        self.body_left = length
        self._chunked = ChunkedReader(extensions=False) if length == CHUNKED else None
        self.request = AgentRequest(self, head, fields, special, length)
        self._site.serve(self.request)
        return True

    def _take_body(self) -> None:
        """Hand on the payload that is there."""
        if self._chunked is not None:
            payload = self._chunked.feed(self._buffer)
            self._buffer = self._chunked.rest
            ended = self._chunked.ended
        else:
            payload = self._buffer[: self.body_left]
            self._buffer = self._buffer[len(payload) :]
            ended = len(payload) == self.body_left
            self.body_left -= len(payload)
        if ended:
            self.body_left, self._chunked = 0, None
        server = self.request.server if self.request is not None else None
        if server is None:
            if ended:
                self.request, self._since = None, self._seconds()
            return
        if payload:
            server.body_data(payload)
        if ended and self.request is not None and self.request.server is server:
            server.body_ended()

    def take_first_body(self) -> bytes:
        """What of a counted body came with its head, so that both can be sent as one.

        Only whoever begins to serve the request may call this; what it returns is not
        told again. A chunked body comes by ``body_data`` alone.
        """
        if self._chunked is not None or not self.body_left:
            return b""
        payload = self._buffer[: self.body_left]
        self._buffer = self._buffer[len(payload) :]
        self.body_left -= len(payload)
        return payload

    def _fail(self, error: ProxyError) -> None:
        """The agent broke the protocol."""
        self._buffer = b""
        request = self.request
        if request is None:
            self._site.refuse_head(self, error)
            return
        request.keep = False
        if request.server is not None:
            request.server.agent_lost(error)
        else:
            self.abort()

    # Answers.

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        self._written += 1
        self._send(data)

    def end_answer(self) -> None:
        """The answer has been written whole."""
        request, self.request = self.request, None
        if request is None:
            return
        request.server = None
        self._since = self._seconds()
        if not request.keep:
            self.linger()
        else:
            if self.body_left:
                self.request = request  # its body is thrown away as it comes
            if self._buffer:
                self._advance()
            elif not self._reading:
                self._regulate()

    def answer_unparsed(self, status: int, fields: Fields, body: bytes) -> None:
        """Answer what could not be read as a request, and close."""
        fields = [
            *fields,
            (b"Content-Length", b"%d" % len(body)),
            (b"Connection", b"close"),
        ]
        self.write(
            b"HTTP/1.1 %d %b\r\n%b\r\n%b"
            % (status, reason_phrase(status), join(fields), body)
        )
        self.linger()

    def linger(self) -> None:
        """Close, but let the answer reach an agent that is still sending."""
        if self._drained is not None:
            return
        self._buffer = b""
        self._closing = self.full
        if self._closing:  # when what is buffered has gone out
            return
        self._drained = 0
        self._since = self._seconds()
        line = self._line
        line.unregisterProducer()
        line.resumeProducing()
        line.loseWriteConnection()

    def _drain(self, size: int) -> None:
        assert self._drained is not None
        self._drained += size
        if self._drained > MAX_DRAINED:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._line.abortConnection()

    def close(self) -> None:
        """Close as soon as what is left has been sent, or at once in mid-request."""
        if self.idle:
            self._line.unregisterProducer()
            self._line.loseConnection()
        else:
            self.abort()

    def give_away(self) -> tuple[Transport, bytes]:
        """Part with the connection, for another protocol to take.

        Returns:
            The connection, and the bytes that came behind the request.
        """
        self._site.channel_given(self)
        request, self.request = self.request, None
        if request is not None:
            request.server = None  # so that nothing lives on
        rest, self._buffer = self._buffer, b""
        line = self._line
        line.unregisterProducer()
        self._set_reading(True)
        return line, rest

    # Back-pressure and deadlines.

    def hold(self) -> None:
        """Read no more of the request for now."""
        self._set_reading(False)

    def release(self) -> None:
        """Read on."""
        self._set_reading(True)
        self._regulate()

    def _regulate(self) -> None:
        """Read ahead of what can be served only up to a bound."""
        request = self.request
        if request is not None and self.body_left:
            if request.server is None:
                self._set_reading(True)
            return  # else whoever serves it holds and releases
        waiting = request is not None or self.full
        reading = not waiting or len(self._buffer) <= _MAX_WAITING
        if reading != self._reading:
            self._set_reading(reading)

    def _set_reading(self, reading: bool) -> None:
        if reading != self._reading and self._drained is None:
            self._reading = reading
            if reading:
                self._line.resumeProducing()
            else:
                self._line.pauseProducing()

    def look(self, now: float) -> None:
        """Act on deadlines (see ``wire.watch``)."""
        if self._drained is not None:
            if now - self._since > _DRAIN_SECONDS:
                self.abort()
        elif self.request is not None and self.request.server is not None:
            self.request.server.look(now)
        elif self.request is not None or self.full:
            figure = (self._written, self.body_left, self.full)
            if self._stall.seconds(figure, now) > self._site.deadlines.write_stall:
                self.abort()
        elif self._buffer and now - self._since > self._site.deadlines.head:
            self._buffer = b""
            self._site.refuse_head(self, AgentTooSlow(_SLOW_HEAD))
        elif now - self._since > self._site.deadlines.keepalive:
            self.abort()

    def __repr__(self) -> str:
        if self._drained is not None:
            return "<AgentChannel closing>"
        if self.request is None:
            return f"<AgentChannel waiting, {len(self._buffer)} bytes>"
        return f"<AgentChannel serving {self.request.head.method.decode()}>"


_SLOW_HEAD = "The request head did not arrive in time; see APIPROXY_HEAD_SECONDS."


def _check_host(head: RequestHead, special: Special) -> None:
    """Exactly one Host on HTTP/1.1, at most one on HTTP/1.0 (RFC 9112, section 3.2)."""
    hosts = len(special.get(b"host", ()))
    if hosts > 1 or (hosts == 0 and head.minor == 1):
        raise MalformedRequest("There must be exactly one Host header.")
    expected = special.get(b"expect")
    if expected is not None and [e.lower() for e in expected] != [b"100-continue"]:
        raise MalformedRequest("The only expectation understood is 100-continue.")
