"""One HTTP exchange: bytes both ways, back-pressure, exactly one end.

A relay stands between an agent's request and an upstream line. Who calls it::

    AgentChannel ──body_data, body_ended──▶ Relay ──write──────────▶ UpstreamLine
                 ──agent_full, agent_ready─▶      ──pause, resume──▶
                 ──agent_lost─────────────▶       ──abort──────────▶
                 ◀──write, end_answer──────       ◀─answer_*, line_*─

It takes a warm line or dials one. Until it has a line, the body waits in ``_body``, up to a
bound after which the agent is not read. The request's head goes out with the first of its
body, in one write, and the credential is put in at that moment and kept nowhere.

A warm line can die under a request through nobody's fault; it then does so within a round
trip. As long as nothing of the answer was heard, and ``_body`` still holds all that was sent,
which it does for a few seconds, the request is sent again, once, on a fresh line. Nothing
else is ever sent twice.

A ``Passage`` reads a copy of the answer, behind the agent's back: payload is written first
and looked at then. It may say that a budget is used up; then a stream ends where an event
ends, with the error event that the agent's SDK understands, and upstream is told nothing more
than that we hang up.

Whatever ends it badly, ``_finish`` acts once: the line is given up, the agent gets an error
answer if it has got nothing yet, and is cut off if it has got a part.
"""

from msgspec import structs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from apiproxy.core.chunked import LAST_CHUNK, chunk
from apiproxy.core.errors import (
    AgentGone,
    AgentTooSlow,
    BodyTooLarge,
    InternalError,
    NotConfigured,
    ProxyError,
    UpstreamMalformed,
    UpstreamSilent,
)
from apiproxy.core.exchange import ANSWERING, CLOSED, Exchange
from apiproxy.core.head import CHUNKED, UNTIL_CLOSE
from apiproxy.core.headers import Special, join
from apiproxy.core.usage import AnswerReader
from apiproxy.core.values import Answer, Ask, Fields
from apiproxy.wire.failures import translate_dial
from apiproxy.wire.passage import Passage
from apiproxy.wire.request import AgentRequest
from apiproxy.wire.route import Route
from apiproxy.wire.upstream import UpstreamLine
from apiproxy.wire.watch import Stall

_MAX_HELD = 64 * 1024
"""Bytes of body that wait for a line before the agent is read no more."""

_STALE_SECONDS = 5.0
"""A used line that lived for so long under a request was not stale."""


class Relay:
    """One exchange between an agent's request and an upstream line.

    Attributes:
        exchange: its story.
    """

    def __init__(
        self, route: Route, request: AgentRequest, exchange: Exchange, ask: Ask
    ) -> None:
        self._route = route
        self._passage: Passage | None = None
        self._reader: AnswerReader | Passage | None = None
        self._cutting: ProxyError | None = None
        self._request = request
        self._channel = request.channel
        self._ask = ask
        self._line: UpstreamLine | None = None
        self._dialling: Deferred[None] | None = None
        self._dial_began = 0.0
        self._body: list[bytes] | None = []
        self._body_bytes = 0
        self._reserved = 0
        self._head_sent = False
        self._sent_at = 0.0
        self._retried = False
        self._length = request.length
        self._answer_chunked = False
        self._ends_itself = False
        self._answer_head = b""
        self._upstream_full = False
        self._stall = Stall()
        self.exchange = exchange

    def start(self, passage: Passage | None = None) -> None:
        """Send the request on its way, while its body comes in."""
        self._passage = passage
        if self._length > self._route.limits.body:
            self._finish(BodyTooLarge())
            return
        self._request.server = self
        first = self._channel.take_first_body()
        if first:
            self.body_data(first)
        self._depart()

    def start_whole(self, body: bytes, passage: Passage | None) -> None:
        """Send the request on its way; this is its body, and all of it."""
        self._passage = passage
        if self._length or body:
            self._length = len(body)
        self._request.server = self
        self.exchange.bytes_up = len(body)
        self._body, self._body_bytes = [body] if body else [], len(body)
        self._depart()

    def _depart(self) -> None:
        """Take a line, or dial one."""
        line = self._route.pool.take()
        if line is None:
            self._dial()
        else:
            self._attach(line)

    def refuse(self, error: ProxyError) -> None:
        """Answer without asking upstream."""
        self._finish(error)

    # The line to upstream.

    def _dial(self) -> None:
        self._dial_began = self._route.seconds()
        dialling = self._route.pool.dial()
        story = dialling.addCallbacks(self._dialled, self._dial_failed)
        self._dialling = story.addErrback(self._break)
        if story.called:
            self._dialling = None

    def _dialled(self, line: UpstreamLine) -> None:
        self._dialling = None
        if self.exchange.phase is CLOSED:
            line.abort()
        else:
            self._attach(line, self._route.seconds() - self._dial_began)

    def _dial_failed(self, failure: Failure) -> None:
        self._dialling = None
        error = failure.value
        assert error is not None
        translated = translate_dial(error, tunnelled=self._route.tunnelled)
        if isinstance(translated, InternalError):
            self._route.complain("a line could not be opened", error)
        self._finish(translated)

    def _break(self, failure: Failure) -> None:
        """A bug, in the story of a dial that had gone well."""
        assert failure.value is not None
        self._route.complain("an exchange broke", failure.value)
        self._finish(InternalError())

    def _attach(self, line: UpstreamLine, dial_seconds: float = 0.0) -> None:
        """The line is ours; send what there is of the request."""
        self._line = line
        self._upstream_full = False
        self.exchange.forward(reused=line.used, dial_seconds=dial_seconds)
        line.begin(self, self._ask.method)
        if self._channel.full:
            line.pause()
        body, ended = self._body or [], self._channel.body_left == 0
        if not line.used or not self._may_keep(self._body_bytes):
            self._drop_body()
        if body or ended:
            self._send(*body)
        if ended:
            self._end_request()
        elif self._line is line:
            self._request.want_body()
            if not self._upstream_full:
                self._channel.release()

    def _send(self, *pieces: bytes) -> None:
        """Write body pieces, behind the head if that has not been written."""
        if self._line is None:
            return
        if self._head_sent:
            self._line.write(b"".join(pieces))
            return
        head = self._make_head()
        if head is None:
            self._finish(NotConfigured())
            return
        self._head_sent = True
        self._sent_at = self._route.seconds()
        self._line.write(b"".join([head, *pieces]))

    def _make_head(self) -> bytes | None:
        """The request's head with the credential in it; None if that is gone."""
        ask, provider = self._ask, self._route.provider
        credential = provider.credential_for(ask.method, ask.path)
        field = None if credential is None else credential.field()
        if field is None:
            return None
        return (
            b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b: %b\r\n%bx-request-id: %b\r\n\r\n"
            % (
                ask.method,
                ask.target,
                provider.authority,
                join(ask.fields),
                *field,
                self._framing(),
                self.exchange.id.encode("ascii"),
            )
        )

    def _framing(self) -> bytes:
        """The lines that say how the request goes on after its head."""
        if self._length == CHUNKED:
            return b"Transfer-Encoding: chunked\r\n"
        if self._length or b"content-length" in self._request.special:
            return b"Content-Length: %d\r\n" % self._length
        return b""

    # What the agent's channel tells.

    def body_data(self, payload: bytes) -> None:
        """Payload of the request's body came."""
        self.exchange.bytes_up += len(payload)
        if self.exchange.bytes_up > self._route.limits.body:
            self._finish(BodyTooLarge())
            return
        data = payload
        if self._length == CHUNKED:
            data = chunk(payload)
            self._route.charge(len(payload))
        if self._body is not None:
            self._keep(self._body, data)
        if self._line is not None:
            self._send(data)

    def _keep(self, body: list[bytes], data: bytes) -> None:
        """Keep body bytes: for the line to come, or for a second try."""
        body.append(data)
        self._body_bytes += len(data)
        if self._line is None:
            if self._body_bytes > _MAX_HELD:
                self._channel.hold()
        elif not self._may_keep(len(data)):
            self._drop_body()

    def _may_keep(self, size: int) -> bool:
        """Whether so many more bytes may be kept for a second try; they are reserved."""
        if self._body_bytes > self._route.limits.replay:
            return False
        if not self._route.pool.replay.take(size):
            return False
        self._reserved += size
        return True

    def _drop_body(self) -> None:
        """There will be no second try."""
        self._body = None
        if self._reserved:
            self._route.pool.replay.give(self._reserved)
            self._reserved = 0

    def body_ended(self) -> None:
        """The request's body is complete."""
        if self._line is not None:
            if not self._head_sent:
                self._send()
            self._end_request()

    def _end_request(self) -> None:
        if self._length == CHUNKED:
            self._send(LAST_CHUNK)
        if self._line is not None:
            self._line.end_request()

    def agent_lost(self, error: ProxyError | None) -> None:
        """The agent left, or broke the protocol in its body."""
        self._finish(error or AgentGone())

    def agent_full(self) -> None:
        """The agent does not read as fast as upstream sends."""
        if self._line is not None:
            self._line.pause()

    def agent_ready(self) -> None:
        """The agent reads again."""
        if self._line is not None:
            self._line.resume()

    # What the upstream line tells.

    def line_full(self) -> None:
        """Upstream does not read as fast as the agent sends."""
        self._upstream_full = True
        if self._channel.body_left:
            self._channel.hold()

    def line_ready(self) -> None:
        """Upstream reads again."""
        self._upstream_full = False
        self._channel.release()

    def answer_interim(self, answer: Answer) -> None:
        """A 1xx answer passes, but for the 100 that we have said ourselves."""
        self._drop_body()
        if answer.status != 100 and self._request.head.minor == 1:
            self._channel.write(
                b"HTTP/1.1 %d %b\r\n%b\r\n"
                % (answer.status, answer.reason, join(_without_length(answer.fields)))
            )

    def answer_began(self, answer: Answer, length: int) -> None:
        """The head waits for the first payload, or for the end of this turn."""
        self._drop_body()
        fields = [*answer.fields, (b"x-request-id", self.exchange.id.encode("ascii"))]
        if length in (CHUNKED, UNTIL_CLOSE):
            self._ends_itself = True
            if self._request.head.minor == 1:
                self._answer_chunked = True
                fields.append((b"Transfer-Encoding", b"chunked"))
            else:
                self._request.keep = False
            self._ask = structs.replace(self._ask, fields=[])
            self._request.forget_lines()
        self.exchange.answer(answer)
        self._answer_head = self._request.make_head(
            answer.status, answer.reason, fields
        )
        if self._passage is not None:
            self._reader = self._passage.answered(answer, self._cut, length)

    def answer_data(self, payload: bytes) -> None:
        """Payload of the answer, straight on; then it is looked at."""
        if self._cutting is not None:
            self._end_at_event(payload, self._cutting)
            return
        self.exchange.bytes_down += len(payload)
        data = payload
        if self._answer_chunked:
            data = b"%x\r\n%b\r\n" % (len(payload), payload)
        if self._answer_head:
            data, self._answer_head = self._answer_head + data, b""
        self._channel.write(data)
        if self._reader is not None:
            self._reader.feed(payload)

    def answer_turn(self) -> None:
        """No payload came with the head; it goes out alone."""
        if self._answer_head:
            self._channel.write(self._answer_head)
            self._answer_head = b""

    def answer_ended(self) -> None:
        """The answer is complete, and so is the exchange."""
        self._line = None
        tail = self._answer_head
        if self._answer_chunked:
            tail += LAST_CHUNK
        if tail:
            self._channel.write(tail)
        self._end(None)
        self._channel.end_answer()

    def answer_switched(self, answer: Answer, special: Special, rest: bytes) -> None:
        """Nobody asked for another protocol."""
        self._finish(UpstreamMalformed("The provider switched protocols unasked."))

    def line_lost(self, error: ProxyError) -> None:
        """The line broke; perhaps only because it was stale."""
        line, self._line = self._line, None
        stale = line is not None and line.used and not line.heard
        if not stale or self._retried or self._body is None or self._is_old():
            self._finish(error)
            return
        self._retried = True
        self._route.pool.replay.give(self._reserved)
        self._reserved = 0
        self._route.retried()
        self._head_sent = False
        self._dial()

    def _is_old(self) -> bool:
        """Whether the line lived for so long under the request that it was not stale."""
        age = self._route.seconds() - self._sent_at
        return self._head_sent and age > _STALE_SECONDS

    # The end.

    def stop(self, error: ProxyError) -> None:
        """End it; a stream says why, and if it is in the middle of an event, at its end.

        That end may not come; see ``wire.stopping``.
        """
        passage = self._passage
        if passage is not None:
            self._cut(error)
        if self._cutting is None:
            self._finish(error)

    def halt(self, error: ProxyError) -> None:
        """End it at once."""
        self._finish(error)

    def _cut(self, error: ProxyError) -> None:
        """A stream must not go on: end it where an event ends, which may be here."""
        if self.exchange.phase is not ANSWERING or self._cutting is not None:
            return
        assert self._passage is not None
        self._cutting = error
        if not (self._passage.ends_at_events and self._ends_itself):
            self._finish(error)
        elif self._passage.between_events:
            self._end_stream(error)

    def _end_at_event(self, payload: bytes, error: ProxyError) -> None:
        assert self._passage is not None
        at = self._passage.event_end(payload)
        self._say(payload if at is None else payload[:at])
        if at is None:
            self._cutting = error
        else:
            self._end_stream(error)

    def _say(self, payload: bytes) -> None:
        """Send the last of an answer that is cut, which nobody looks at any more."""
        self._reader = self._cutting = None
        self.answer_data(payload)

    def _end_stream(self, error: ProxyError) -> None:
        """Say why in the dialect of the stream, and end the answer in order."""
        assert self._passage is not None
        ending = self._passage.ending(error)
        if ending is None or not self._ends_itself or self._line is None:
            self._finish(error)
            return
        line, self._line = self._line, None
        line.abort()
        self._say(ending)
        if self._answer_chunked:
            self._channel.write(LAST_CHUNK)
        self._end(error)
        self._channel.end_answer()

    def _end(self, error: ProxyError | None, status: int = 0) -> bool:
        """The story is over; False if it was before."""
        if not self.exchange.close(error, status):
            return False
        if self._passage is not None:
            self._passage.end(error)
            self._reader = None
        return True

    def _finish(self, error: ProxyError) -> None:
        """End badly; only the first call counts."""
        answered = self.exchange.phase >= ANSWERING
        if not self._end(error, self._error_status(error)):
            return
        self._drop_body()
        line, self._line = self._line, None
        if line is not None:
            line.abort()
        if self._dialling is not None:
            self._dialling.cancel()
        if answered:
            self._channel.abort()
        elif not isinstance(error, AgentGone):
            self._answer_error(error)

    def _error_status(self, error: ProxyError) -> int:
        return error.status

    def _answer_error(self, error: ProxyError) -> None:
        fields, body = self._route.error_answer(error, self.exchange.id)
        self._request.answer(self._error_status(error), fields, body)

    def look(self, now: float) -> None:
        """Act on deadlines (see ``wire.watch``)."""
        if self._body is not None and self._is_old():
            self._drop_body()
        error = self._overdue(now)
        if error is not None:
            self._finish(error)

    def _overdue(self, now: float) -> ProxyError | None:
        """Why it has taken too long; None if it has not. A dial keeps its own deadline."""
        exchange, deadlines = self.exchange, self._route.deadlines
        full = self._channel.full
        body_ended = self._channel.body_left == 0
        moved = (exchange.bytes_up, exchange.bytes_down, exchange.phase, body_ended)
        idle = self._stall.seconds((*moved, full, self._upstream_full), now)
        if full:
            return AgentTooSlow(_UNREAD) if idle > deadlines.write_stall else None
        if exchange.phase is ANSWERING:
            return UpstreamSilent() if idle > deadlines.silence else None
        if self._line is None:
            return None
        if body_ended:
            return UpstreamSilent() if idle > deadlines.first_byte else None
        if self._upstream_full:
            return UpstreamSilent(_UNHEARD) if idle > deadlines.write_stall else None
        return AgentTooSlow() if idle > deadlines.body else None

    def __repr__(self) -> str:
        return f"<Relay {self.exchange!r} over {self._line!r}>"


_UNREAD = "The agent stopped reading its answer."
_UNHEARD = "The provider stopped reading."


def _without_length(fields: Fields) -> Fields:
    """A 1xx answer has no body, and must not say how long it is (RFC 9110, section 8.6)."""
    return [line for line in fields if line[0].lower() != b"content-length"]
