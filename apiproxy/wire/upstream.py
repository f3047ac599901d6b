"""One line to a provider: HTTP/1.1 over TLS.

A line carries one exchange at a time. It finds the head of the answer, knows by its framing
where the answer ends, and hands the payload to its sink as it arrives; nothing is gathered.
It can be told to stop reading, and be aborted at any moment, which Twisted's own HTTP client
cannot. When an answer has ended in order and nothing speaks against it, the line goes back
to its pool (``wire.pool``).

A provider may close an idle line at any time, also while a request is on its way to it. So a
line knows whether it has carried an exchange before (``used``) and whether any byte of the
present answer has come (``heard``): only a used line on which nothing was heard may be
replaced by a fresh one, once, by whoever holds the request.
"""

import typing
from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from apiproxy.core.chunked import ChunkedError, ChunkedReader
from apiproxy.core.errors import (
    InternalError,
    ProxyError,
    UpstreamMalformed,
    UpstreamReset,
)
from apiproxy.core.exchange import Complain
from apiproxy.core.familiar import Familiar
from apiproxy.core.head import (
    CHUNKED,
    END,
    UNTIL_CLOSE,
    AnswerHead,
    answer_length,
    parse_answer,
)
from apiproxy.core.headers import Special, connection_options, sort_answer
from apiproxy.core.values import Answer
from apiproxy.wire.transport import Transport, transport_of, tune

_MAX_HEAD = 64 * 1024


class AnswerSink(typing.Protocol):
    """Takes what a line has to say; after ``answer_ended`` or ``line_lost``, no more."""

    def answer_interim(self, answer: Answer) -> None:
        """A 1xx answer other than 101 came; the real one follows."""

    def answer_began(self, answer: Answer, length: int) -> None:
        """The head came; ``answer.fields`` are those that pass, ``length`` is framing."""

    def answer_data(self, payload: bytes) -> None:
        """Payload came."""

    def answer_turn(self) -> None:
        """All that was there has been told; what was held back can go out."""

    def answer_ended(self) -> None:
        """The answer is complete. The line is no longer the sink's."""

    def answer_switched(self, answer: Answer, special: Special, rest: bytes) -> None:
        """101: from ``rest`` on the connection speaks another protocol."""

    def line_lost(self, error: ProxyError) -> None:
        """The line broke before the answer was complete."""

    def line_full(self) -> None:
        """Upstream does not read as fast as we write."""

    def line_ready(self) -> None:
        """Upstream reads again."""


@implementer(IPushProducer)
class UpstreamLine(Protocol):
    """One connection to a provider.

    Attributes:
        used: whether it has carried an exchange before the present one.
        heard: whether a byte of the present answer has come.
        idle_since: clock seconds at which it was given back to the pool.
    """

    _line: Transport

    def __init__(
        self,
        give_back: Callable[["UpstreamLine"], None],
        forget: Callable[["UpstreamLine"], None],
        complain: Complain,
        familiar: Familiar,
    ) -> None:
        self._familiar = familiar
        self._give_back = give_back
        self._forget = forget
        self._complain = complain
        self._sink: AnswerSink | None = None
        self._method = b""
        self._request_ended = False
        self._head = b""
        self._begun = False
        self._keep = False
        self._left = 0
        self._chunked: ChunkedReader | None = None
        self._paused = False
        self.used = False
        self._asked = False
        self.heard = False
        self.idle_since = 0.0

    # What the exchange calls.

    def begin(self, sink: AnswerSink, method: bytes) -> None:
        """Carry an exchange; its bytes follow by ``write``."""
        self._sink = sink
        self._method = method
        self._request_ended = False
        self._head = b""
        self._begun = False
        self._asked = False
        self.heard = False

    def write(self, data: bytes) -> None:
        """Send bytes of the request, framed."""
        self._asked = True
        self._line.write(data)

    def end_request(self) -> None:
        """The request has been written whole; only then may the line be used again."""
        self._request_ended = True

    def abort(self) -> None:
        """Drop the exchange and the connection, at once."""
        self._sink = None
        self._forget(self)
        self._line.abortConnection()

    def pause(self) -> None:
        """Read no more of the answer."""
        self._paused = True
        self._line.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._line.resumeProducing()

    def hand_over(self) -> Transport:
        """Give the connection away, after ``answer_switched``."""
        self._sink = None
        self._forget(self)
        line = self._line
        line.unregisterProducer()
        return line

    # What the connection calls.

    def connectionMade(self) -> None:
        """Be told when the connection's buffer is full."""
        self._line = line = transport_of(self)
        tune(line)
        line.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """The connection's buffer is full."""
        if self._sink is not None:
            self._sink.line_full()

    def resumeProducing(self) -> None:
        """The connection's buffer has room."""
        if self._sink is not None:
            self._sink.line_ready()

    def stopProducing(self) -> None:
        """The connection is being lost, which ``connectionLost`` will tell."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes of an answer; on an idle line, of nothing we want."""
        sink = self._sink
        if sink is None:
            self.abort()
            return
        if not self._asked:  # it cannot be for us, whatever it is
            self._lose(UpstreamReset())
            return
        self.heard = True
        try:
            if self._begun:
                self._take(sink, data)
            else:
                self._take_head(sink, data)
        except ProxyError as error:
            self._lose(error)
        except ChunkedError:
            self._lose(UpstreamMalformed())
        except Exception as error:
            self._complain("an answer could not be carried", error)
            self._lose(InternalError())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Which may be the end of an answer, or of an idle line."""
        self._forget(self)
        sink, self._sink = self._sink, None
        if sink is None:
            return
        until_close = self._begun and self._left == UNTIL_CLOSE
        if until_close and reason.check(*_ORDERLY):
            sink.answer_ended()
        else:
            sink.line_lost(UpstreamReset())

    def _lose(self, error: ProxyError) -> None:
        sink, self._sink = self._sink, None
        self._line.abortConnection()
        if sink is not None:
            sink.line_lost(error)

    # The answer.

    def _take_head(self, sink: AnswerSink, data: bytes) -> None:
        if self._head:
            data = self._head + data
            self._head = b""
        while self._sink is sink:
            end = data.find(END)
            if end < 0:
                self._head = data
                if len(data) > _MAX_HEAD or not b"HTTP/1.".startswith(data[:7]):
                    raise UpstreamMalformed
                return
            head = parse_answer(data[: end + 2], self._familiar.split)
            data = data[end + 4 :]
            if head.status >= 200:
                self._begin_answer(sink, head, data)
                return
            fields, special = sort_answer(head.fields, self._familiar.kind)
            answer = Answer(head.status, head.reason, fields)
            if head.status == 101:
                sink.answer_switched(answer, special, data)
                return
            sink.answer_interim(answer)

    def _begin_answer(self, sink: AnswerSink, head: AnswerHead, rest: bytes) -> None:
        fields, special = sort_answer(head.fields, self._familiar.kind)
        self._frame(head, special)
        left = self._left
        sink.answer_began(Answer(head.status, head.reason, fields), left)
        if self._sink is sink and (rest or left == 0):
            if len(rest) == left:  # all of it, as short answers mostly come
                self._take_counted(sink, rest)
            else:
                self._take(sink, rest)
        if self._sink is sink:
            sink.answer_turn()

    def _frame(self, head: AnswerHead, special: Special) -> None:
        self._begun = True
        self._left = answer_length(self._method, head.status, head.minor, special)
        self._chunked = (
            ChunkedReader(extensions=True) if self._left == CHUNKED else None
        )
        self._keep = (
            head.minor == 1
            and self._left != UNTIL_CLOSE
            and not (
                b"connection" in special and b"close" in connection_options(special)
            )
        )

    def _take(self, sink: AnswerSink, data: bytes) -> None:
        """The next bytes of the body, in whichever framing."""
        if self._chunked is not None:
            payload = self._chunked.feed(data)
            if payload:
                sink.answer_data(payload)
            if self._chunked.ended:
                self._end(sink, bool(self._chunked.rest))
        elif self._left == UNTIL_CLOSE:
            sink.answer_data(data)
        else:
            self._take_counted(sink, data)

    def _take_counted(self, sink: AnswerSink, data: bytes) -> None:
        excess = len(data) > self._left
        if excess:
            data = data[: self._left]
        self._left -= len(data)
        if data:
            sink.answer_data(data)
        if not self._left:
            self._end(sink, excess)

    def _end(self, sink: AnswerSink, excess: bool) -> None:
        """The answer is complete; keep the line if nothing speaks against it."""
        if self._sink is not sink:
            return
        self._sink = None
        self.used = True
        self._chunked = None
        # What a record behind the last one holds would be the next exchange's answer.
        excess = excess or getattr(self._line, "undelivered", False)
        if self._keep and self._request_ended and not excess:
            self._give_back(self)
        else:
            self._line.abortConnection()
        sink.answer_ended()

    def __repr__(self) -> str:
        what = "idle" if self._sink is None else f"carrying {self._method.decode()}"
        return f"<UpstreamLine {'used' if self.used else 'fresh'} {what}>"


_ORDERLY = (type(connectionDone.value),)
