"""One demand that was let through, until what it cost is settled.

A passage reads a copy of the answer. A response that is over becomes a record, which ``Books``
settle; if there is none in the end, what had been set aside is given back. That happens
once, however the exchange ends. A short answer for which nothing was set aside is only kept:
``Books`` read it later, with others like it, which costs half.

An agent that leaves early has cost money as well: what it has got by then is settled by an
estimate, and so is an answer that it did not wait for.
"""

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from apiproxy.core.errors import (
    AgentGone,
    ProxyError,
    ShuttingDown,
    Stopped,
    UpstreamSilent,
)
from apiproxy.core.exchange import Exchange
from apiproxy.core.head import UNTIL_CLOSE
from apiproxy.core.inflate import read_codings
from apiproxy.core.usage import AnswerReader, Demand, Record
from apiproxy.core.values import Answer, first, joined
from apiproxy.policy.ledger import Claim
from apiproxy.providers.calls import Shape
from apiproxy.providers.endings import stream_ending
from apiproxy.providers.usage.answer import open_answer
from apiproxy.providers.usage.billing import read_billing
from apiproxy.providers.usage.kept import MOST_KEPT, Kept, is_document

_LOOK_BYTES = 2048
"""What a response says between two looks at what it has cost so far."""

_EVENT_END = re.compile(rb"(?>\r\n|\n|\r){2}")
_EVENT_ENDS = (b"\n\n", b"\r\r", b"\n\r", b"\n\r\n", b"\r\r\n")
_LONGEST_END = 4

_WORKING = (AgentGone, ShuttingDown, Stopped, UpstreamSilent)
"""After these, the provider may well go on with an answer of which nothing was seen."""

Cut = Callable[[ProxyError], None]
"""Ends a response in the middle."""


def gap(error: ProxyError | None) -> str:
    """Why a response was not read to its end, as ``Record.gap`` words it."""
    if error is None:
        return ""
    if isinstance(error, AgentGone):
        return "agent_gone"
    return "shutdown" if isinstance(error, ShuttingDown) else error.code


class Books(Protocol):
    """Settles what passages tell."""

    def settle(self, passage: "Passage", told: Record | Kept) -> None:
        """A response is over, which may still have to be read."""

    def give_back(self, passage: "Passage", status: int) -> None:
        """There was no response; the status is that of the provider's answer, or 0."""

    def grow(self, passage: "Passage", record: Record) -> None:
        """A response has become longer; it may have to be cut."""

    def refused(self, exchange: Exchange, error: ProxyError) -> None:
        """A rule, a limit or a budget has refused what an agent asked."""


class Passage:
    """One demand that was let through.

    Attributes:
        exchange: it belongs to.
        demand: what is asked.
        shape: the dialect of the answer; None where that does not matter.
        claim: what was set aside; None if nothing had to be.
        watched: whether its response may be cut.
        cut: ends the response; None where that is not done.
        started: clock seconds at which it was let through.
        ended: clock seconds at which it was settled; 0 before.
        size: bytes of the answer, where the exchange has several.
        initiator: what Copilot is told of who asks; None where no account of Copilot pays.
    """

    __slots__ = (
        "_answer",
        "_books",
        "_carried",
        "_give_back",
        "_leave",
        "_looked",
        "_reader",
        "_seconds",
        "_settled",
        "_status",
        "_tail",
        "claim",
        "cut",
        "demand",
        "ended",
        "exchange",
        "initiator",
        "shape",
        "size",
        "started",
        "watched",
    )

    def __init__(
        self,
        books: Books,
        exchange: Exchange,
        demand: Demand,
        seconds: Callable[[], float],
        shape: Shape | None = None,
    ) -> None:
        """A demand that may leave.

        Args:
            books: where it is settled.
            exchange: it belongs to.
            demand: what is asked.
            seconds: the clock.
            shape: the dialect of the answer.
        """
        self._books = books
        self._seconds = seconds
        self._reader: AnswerReader | None = None
        self._leave: Callable[[], None] | None = None
        self._carried: Callable[[bool], None] | None = None
        self._give_back: Callable[[], None] | None = None
        self._tail = b""
        self._looked = 0
        self._settled = False
        self._status = 0
        self._answer: Answer | None = None
        self.exchange = exchange
        self.demand = demand
        self.shape = shape
        self.claim: Claim | None = None
        self.watched = False
        self.cut: Cut | None = None
        self.started = seconds()
        self.ended = 0.0
        self.size = 0
        self.initiator: str | None = None

    def hold_to(
        self, claim: Claim | None, leave: Callable[[], None], *, watched: bool
    ) -> None:
        """It was let through by rules.

        Args:
            claim: what was set aside.
            leave: gives its place back.
            watched: whether its response may be cut.
        """
        self.claim = claim
        self._leave = leave
        self.watched = watched and claim is not None

    def carry(self, over: Callable[[bool], None]) -> None:
        """Its request carries something; ``over`` is told whether that has left."""
        self._carried = over

    def own(self, give_back: Callable[[], None]) -> None:
        """Its request's body is held in memory until there is an answer."""
        self._give_back = give_back

    # An answer over HTTP.

    def answered(
        self, answer: Answer, cut: Cut, length: int = UNTIL_CLOSE
    ) -> "AnswerReader | Passage | None":
        """The head of the answer is here.

        Args:
            answer: the head.
            cut: what to call when the response must not go on.
            length: of its body: bytes, ``CHUNKED`` or ``UNTIL_CLOSE``.

        Returns:
            What wants to be fed the body; None if nobody does.
        """
        self._answer = answer
        self._status = status = answer.status
        if self._give_back is not None:
            self._let_go()
        demand = self.demand
        if self.claim is None and demand.inference and 200 <= status < 300:
            fields = answer.fields
            if 0 <= length <= MOST_KEPT or (
                length < 0 and not demand.stream and is_document(fields)
            ):
                self._reader = reader = Kept(demand, fields, self.record)
                return reader
        self._reader = open_answer(
            demand, status, answer.fields, self.record, self.watched
        )
        # A document has cost all that it will before the first of it is here.
        watched = self.watched and (self._has_events or demand.stream)
        if not watched or self._reader is None:
            return self._reader
        self.cut = cut
        return self

    def billing(self) -> Mapping[str, object] | None:
        """What the answer tells of the account that pays; None for nothing."""
        return None if self._answer is None else read_billing(self._answer.fields)

    @property
    def _has_events(self) -> bool:
        assert self._answer is not None
        kind = first(self._answer.fields, b"content-type") or b""
        return kind.lower().startswith(b"text/event-stream")

    def feed(self, data: bytes) -> None:
        """The next bytes of a watched answer's body have gone out."""
        reader = self._reader
        if reader is not None:
            reader.feed(data)
            self._tail = (self._tail + data[-_LONGEST_END:])[-_LONGEST_END:]
            running = reader.running
            if running is not None:
                self.look(running)

    @property
    def ends_at_events(self) -> bool:
        """Whether the answer is a stream that can be ended where an event ends."""
        if self._answer is None or not self._has_events:
            return False
        return not read_codings(joined(self._answer.fields, b"content-encoding"))

    @property
    def between_events(self) -> bool:
        """Whether the last byte that went out ended an event of a stream, or was no byte."""
        if self.ends_at_events and not self.exchange.bytes_down:
            return True
        reader = self._reader
        return self._tail.endswith(_EVENT_ENDS) or (
            reader is not None and reader.can_end
        )

    def event_end(self, data: bytes) -> int | None:
        """Where in the next bytes of the body an event ends; None if none does."""
        before = len(self._tail)
        for end in _EVENT_END.finditer(self._tail + data):
            if end.end() > before:
                return end.end() - before
        self._tail = (self._tail + data[-_LONGEST_END:])[-_LONGEST_END:]
        return None

    def ending(self, error: ProxyError) -> bytes | None:
        """How the stream says that it was cut; None if it has no words for that."""
        if self.shape is None or not self.ends_at_events:
            return None
        running = None if self._reader is None else self._reader.running
        return stream_ending(self.shape, error, self.exchange.id, running)

    # Responses.

    def look(self, running: Record) -> None:
        """See what the response under way has cost, if it has grown enough."""
        if self.watched and running.said - self._looked >= _LOOK_BYTES:
            self._looked = running.said
            self._books.grow(self, running)

    def record(self, record: Record) -> None:
        """A response is over."""
        if not self._settled:
            self._settled = True
            self.ended = self._seconds()
            self._books.settle(self, record)

    def end(self, error: ProxyError | None) -> None:
        """The exchange is over; for this reason, if it was not in order."""
        reader, self._reader = self._reader, None
        self.cut = None
        try:
            if reader is not None:
                if error is None and isinstance(reader, Kept) and reader.whole:
                    self._settled = True
                    self.ended = self._seconds()
                    self._books.settle(self, reader)
                else:
                    reader.end(gap(error))
            if self._carried is not None:
                self._carried(self.exchange.forwarded is not None)
                self._carried = None
            if not self._settled:
                self._end_unanswered(error)
        finally:
            # Memory and place belong to others now, also if a bug of ours comes between.
            if self._give_back is not None:
                self._let_go()
            leave, self._leave = self._leave, None
            if leave is not None:
                leave()

    def _let_go(self) -> None:
        """The body is needed no more."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def _end_unanswered(self, error: ProxyError | None) -> None:
        """No response was told of; there may be one all the same."""
        exchange, demand = self.exchange, self.demand
        asked = exchange.forwarded is not None and demand.inference
        if asked and not self._status and isinstance(error, _WORKING):
            self.record(Record(gap=gap(error)))  # counted as what is usual
        else:
            self._settled = True
            self._books.give_back(self, self._status)

    def __repr__(self) -> str:
        return f"<Passage {self.demand.model} {'over' if self._settled else 'open'}>"
