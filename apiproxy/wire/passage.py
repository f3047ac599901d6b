"""One demand that was let through, until what it cost is settled.

A passage reads a copy of the answer. Each response that is over becomes a record, which
``Books`` settle; if there is none in the end, what had been set aside is given back. That
happens once, however the exchange ends. An agent that leaves early has cost money as well: what
it has got by then is settled by an estimate.
"""

import re
from collections.abc import Callable
from typing import Protocol

from apiproxy.core.errors import AgentGone, ProxyError, ShuttingDown
from apiproxy.core.exchange import Exchange
from apiproxy.core.usage import AnswerReader, Demand, Record
from apiproxy.core.values import Answer
from apiproxy.policy.ledger import Claim

_LOOK_BYTES = 2048
"""What a response says between two looks at what it has cost so far."""

_EVENT_END = re.compile(rb"(?>\r\n|\n|\r){2}")

Cut = Callable[[ProxyError], None]


class Books(Protocol):
    """Settles what passages tell."""

    def read(self, passage: "Passage", answer: Answer) -> AnswerReader | None:
        """What reads this answer; None if there is nothing in it to be read."""

    def settle(self, passage: "Passage", record: Record) -> None:
        """A response is over."""

    def give_back(self, passage: "Passage") -> None:
        """There was no response."""

    def grow(self, passage: "Passage", record: Record) -> None:
        """A response has become longer; it may have to be cut."""

    def ending(self, passage: "Passage", error: ProxyError) -> bytes | None:
        """How a stream says that it was cut; None if it has no words for that."""


class Passage:
    """One demand that was let through.

    Attributes:
        exchange: it belongs to.
        demand: what is asked.
        claim: what was set aside; None if nothing had to be.
        status: of the answer; 0 before.
        answer: its head; None before.
        started: clock seconds at which it was let through.
        settled: whether it is over.
        cut: ends the response; None where that is not done.
        size: bytes of the answer's body so far, as they came.
    """

    __slots__ = (
        "_books",
        "_done",
        "_reader",
        "_tail",
        "_watched",
        "answer",
        "claim",
        "cut",
        "demand",
        "exchange",
        "looked",
        "settled",
        "size",
        "started",
    )

    def __init__(
        self,
        books: Books,
        exchange: Exchange,
        demand: Demand,
        started: float,
        claim: Claim | None = None,
        done: Callable[[], None] | None = None,
        watched: bool = False,
    ) -> None:
        """A demand that may leave.

        Args:
            books: where it is settled.
            exchange: it belongs to.
            demand: what is asked.
            started: clock seconds.
            claim: what was set aside for it.
            done: told when nothing of it is under way any more.
            watched: whether its response may be cut.
        """
        self._books = books
        self._reader: AnswerReader | None = None
        self._done = done
        self._tail = b""
        self._watched = watched
        self.exchange = exchange
        self.demand = demand
        self.started = started
        self.claim = claim
        self.answer: Answer | None = None
        self.settled = False
        self.cut: Cut | None = None
        self.looked = 0
        self.size = 0

    def answered(self, answer: Answer, cut: Cut) -> "Passage | None":
        """The head of the answer is here.

        Args:
            answer: the head.
            cut: what to call when the response must not go on.

        Returns:
            Itself, if it wants to be fed the body.
        """
        self.answer = answer
        self._reader = self._books.read(self, answer)
        if self._watched:
            self.cut = cut
        return None if self._reader is None else self

    def feed(self, payload: bytes) -> None:
        """The next bytes of the answer's body have gone out."""
        reader = self._reader
        assert reader is not None
        self.size += len(payload)
        reader.feed(payload)
        if self._watched:
            self._tail = (self._tail + payload[-4:])[-4:]
            self._look(reader)

    @property
    def between_events(self) -> bool:
        """Whether the last byte that was fed ended an event of a stream."""
        end = _EVENT_END.search(self._tail)
        return end is not None and end.end() == len(self._tail)

    def event_end(self, payload: bytes) -> int | None:
        """Where in the next bytes of the answer an event ends; None if none does."""
        end = _EVENT_END.search(self._tail + payload)
        if end is None:
            self._tail = (self._tail + payload[-4:])[-4:]
            return None
        return max(end.end() - len(self._tail), 0)

    def _look(self, reader: AnswerReader) -> None:
        running = reader.running
        if running is not None and running.said - self.looked >= _LOOK_BYTES:
            self.looked = running.said
            self._books.grow(self, running)

    def record(self, record: Record) -> None:
        """A response is over (the reader calls this)."""
        self.settled = True
        self._books.settle(self, record)

    def end(self, error: ProxyError | None) -> None:
        """The exchange is over; for this reason, if it was not in order."""
        reader, self._reader = self._reader, None
        self.cut = None
        if reader is not None:
            reader.end("" if error is None else gap(error))
        if not self.settled:
            self.settled = True
            self._books.give_back(self)
        done, self._done = self._done, None
        if done is not None:
            done()
