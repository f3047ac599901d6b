"""The turns of a conversation on one open WebSocket: each request in it, and each response.

A socket is opened once and used for an hour, so what is true of its upgrade says little. Every
message that asks a model for a response is a demand of its own, and every response a record.
``Turns`` stands in both directions of a bridge:

- From upstream, bytes go on at once; then a copy is read for responses that are over. Most
  messages are a piece of an answer, or of sound, and are known by a look at their bytes.
- From the agent they go on at once, too, unless a rule has to see a request first: then they
  are judged in ``wire.checkpoint``. One that is refused does not pass: the agent gets the
  error event that its client understands, between two messages of the provider, and the
  socket lives on. Live has no event for that, and its clients fail at ours or wait for ever:
  it is closed.

Several responses may be under way at once. Which of them a record is of is known from what
asked for it, the very ``Demand``, for that is the only thing that all dialects have.
"""

from collections.abc import Callable, Sequence
from typing import Protocol
from weakref import WeakMethod

from msgspec import structs

from apiproxy.core.deflate import DeflateTerms
from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import Complain, Exchange
from apiproxy.core.frames import MASKED, POLICY, RESERVED, text_frame
from apiproxy.core.messages import Message, MessageReader
from apiproxy.core.usage import Demand, Record
from apiproxy.core.values import Ask
from apiproxy.providers.endings import live_close
from apiproxy.providers.usage.asked import asks_nothing
from apiproxy.wire.checkpoint import Checkpoint, Socket as AgentsWay
from apiproxy.wire.metering import Metering
from apiproxy.wire.passage import Passage, gap

_MOST_OPEN = 128
"""Requests that were let through and have no response yet; more than a reader remembers.

Live may be asked as often as an agent likes while it speaks."""


class Socket(AgentsWay, Protocol):
    """The bridge, as turns see it."""

    def to_agent(self, data: bytes) -> None:
        """Send bytes to the agent."""

    @property
    def may_speak(self) -> bool:
        """Whether what was sent to the agent ends between messages."""

    def close(
        self,
        code: int,
        reason: bytes,
        error: ProxyError | None = None,
        *,
        between: bool = False,
    ) -> None:
        """End it with a Close to both sides; ``between`` if the agent's may go out here."""


class Turns:
    """Both directions of one open WebSocket."""

    def __init__(
        self,
        metering: Metering,
        exchange: Exchange,
        ask: Ask,
        socket: Socket,
        extensions: bytes,
        limit: int,
        mask: Callable[[], bytes],
        complain: Complain,
    ) -> None:
        """A socket on which nothing was said.

        Args:
            metering: lets demands pass, and settles them.
            exchange: the socket's story.
            ask: the request that opened it.
            socket: the bridge.
            extensions: those that were agreed on, as the 101 words them.
            limit: bytes that a message may have.
            mask: makes the mask of a frame of ours toward the provider.
            complain: told of bugs.
        """
        self._metering = metering
        self._accounts = metering.accounts
        self._ruled = metering.holds(exchange)
        self._wordless = metering.only_closes(ask)
        self._exchange = exchange
        self._socket = socket
        self._mask = mask
        self._complain = complain
        self._reader = metering.follow(exchange, ask, _weakly(self._settle))
        deflate = DeflateTerms.read(extensions, from_agent=True)
        self._chained = deflate is not None and deflate.takeover
        self._asked = MessageReader(deflate, limit)
        answers = DeflateTerms.read(extensions, from_agent=False)
        self._told = MessageReader(answers, limit)
        self._told_bytes = 0
        self._told_between = True
        self._between = True
        self._checkpoint: Checkpoint | None = None
        self._excused = False
        self._open: list[Passage] = []
        self._begun = 0
        self._unsaid: list[bytes] = []
        self.ending: ProxyError | None = None
        self._overdue = False

    # From the agent.

    def from_agent(self, data: bytes, whole: int = 0) -> None:
        """Bytes from the agent.

        Args:
            data: they.
            whole: where the payload begins, if they are one message and nothing else.
        """
        checkpoint = self._checkpoint
        if checkpoint is None and (self._ruled or self._accounts.capped):
            checkpoint = self._set_up()
        if checkpoint is not None and self._between:  # and so it stays from here on
            checkpoint.feed(data)
            return
        self._socket.to_upstream(data)
        if (
            whole
            and self._between
            and data[1] & MASKED
            and not data[0] & RESERVED
            and asks_nothing(data, whole)
        ):
            return
        for message in self._asked.feed(data):
            demand = self.demand(message)
            if demand is not None and demand.inference:
                if checkpoint is None or self._excused:
                    self.let_in(self._metering.note(self._exchange, demand))
                else:
                    checkpoint.meet(demand)
            self._excused = False
        self._between = self._asked.clear == len(data)

    def _set_up(self) -> Checkpoint:
        """From now on a rule has to see requests.

        The message under way passes, for it was begun before. If another one begins before
        bytes come that begin with a message, it can only be judged, not held; if it may not
        be, the socket is closed.
        """
        self._excused = not self._between
        self._checkpoint = checkpoint = Checkpoint(
            self._metering,
            self._exchange,
            self._socket,
            self,
            self._asked,
            self._mask,
            self._complain,
            chained=self._chained,
        )
        return checkpoint

    def demand(self, message: Message) -> Demand | None:
        """What a message asks; None if nobody can tell."""
        return None if message.payload is None else self._reader.asked(message.payload)

    def unsay(self) -> None:
        """The message that was asked about last does not go upstream."""
        self._reader.refused()

    def turn_away(self, error: ProxyError) -> None:
        """Tell the agent that a message does not pass."""
        (self.stop if self._wordless else self._say)(error)

    # From upstream.

    def from_upstream(self, data: bytes, whole: int = 0) -> None:
        """Bytes from the provider: they go on, then they are looked at.

        Args:
            data: they.
            whole: where the payload begins, if they are one message and nothing else.
        """
        if self._unsaid:
            self._say_between(data)
            return
        self._socket.to_agent(data)
        if whole and self._told_between and not data[0] & RESERVED:
            for sign in self._reader.signs:
                if data.find(sign) >= 0:
                    break
            else:
                self._told_bytes += len(data)
                self._reader.passed(len(data) - whole)
                return
        self._read(self._feed(data), len(data))

    def _feed(self, data: bytes) -> Sequence[Message]:
        """The messages that end in these bytes and matter."""
        told, before = self._told, self._told.skipped
        told.markers = self._reader.signs
        messages = told.feed(data)
        self._told_between = told.clear == len(data)
        if told.skipped > before:
            self._reader.passed(told.skipped - before)
        return messages

    def _read(self, messages: Sequence[Message], size: int) -> None:
        """Look at what has come from the provider."""
        self._told_bytes += size
        for message in messages:
            if message.payload is not None:
                self._reader.told(message.payload)
            if self._checkpoint is not None and self._begun != self._reader.begun:
                self._begun = self._reader.begun
                self._look_for_new()
        if self._checkpoint is not None and self._metering.cuts:
            self._look()

    def _look(self) -> None:
        """See what the responses under way have cost so far."""
        for demand, record in self._reader.under_way:
            for passage in self._open:
                if passage.demand is demand:
                    passage.look(record)

    def _say_between(self, data: bytes) -> None:
        """Say what had to wait for the end of a message, if there is one in this."""
        messages = self._feed(data)
        end = max(self._told.clear, 0)
        self._socket.to_agent(data[:end])
        if end or self._socket.may_speak:
            self._say_all()
            if self.ending is None:
                self._socket.to_agent(data[end:])
        else:
            self._socket.to_agent(data)
        self._read(messages, len(data))

    def _say(self, error: ProxyError) -> None:
        """Tell the agent why, between two messages of the provider."""
        if self._wordless:
            self._unsaid.append(b"")  # what there is to say is in the Close
        else:
            event = self._metering.refusal_event(self._exchange, error)
            self._unsaid.append(text_frame(event, b""))
        if self._socket.may_speak:
            self._say_all()

    def _say_all(self) -> None:
        unsaid, self._unsaid = self._unsaid, []
        self._socket.to_agent(b"".join(unsaid))
        if self.ending is not None:
            self._close(self.ending, between=True)

    def _settle(self, record: Record) -> None:
        """A response is over, and so is the passage of what asked for it."""
        demand = self._reader.answered
        passage = self._passage_of(demand)
        if passage is None:
            passage = self._metering.note(self._exchange, demand or Demand(True))
            if demand is not None and _has_worked(demand, record):
                self._meet(structs.replace(demand, inference=True))
        passage.size, self._told_bytes = self._told_bytes, 0
        passage.record(record)
        passage.end(None)
        if not self._reader.waiting and not self._reader.running:
            self._end_all(None)  # what asked during a response has become a part of it

    def let_in(self, passage: Passage) -> None:
        """One more under way; one too many ends the oldest."""
        if len(self._open) >= _MOST_OPEN:
            self._open.pop(0).end(None)
        self._open.append(passage)

    def _passage_of(self, demand: Demand | None) -> Passage | None:
        """The one that this demand was let through by; None if nobody had asked."""
        for at, passage in enumerate(self._open):
            if passage.demand is demand:
                return self._open.pop(at)
        return None

    # What nobody has asked for.

    def _look_for_new(self) -> None:
        """See whether what has begun was let through."""
        known = [passage.demand for passage in self._open]
        for demand, _ in self._reader.under_way:
            if demand.inference and not any(demand is one for one in known):
                self._meet(demand)

    def _meet(self, demand: Demand) -> None:
        """Have a response judged that is there already."""
        if self._checkpoint is not None:
            self._checkpoint.meet(demand)

    def welcome(self, passage: Passage) -> None:
        """A response may be that is there already, if it is not over yet."""
        if any(passage.demand is one for one, _ in self._reader.under_way):
            passage.cut = self.stop
            self.let_in(passage)
        else:
            passage.end(None)

    # The end.

    def stop(self, error: ProxyError) -> None:
        """Say why, and close."""
        if self.ending is None:
            self.ending = error
            self._say(error)

    def look(self) -> None:
        """Close, if the provider has not come to the end of a message for a while."""
        if self.ending is not None:
            if self._overdue:
                self._close(self.ending, between=False)
            self._overdue = True

    def _close(self, error: ProxyError, *, between: bool) -> None:
        code, reason = POLICY, error.code.encode("ascii")
        if self._wordless:
            code, reason = live_close(error)
        self._socket.close(code, reason, error, between=between)

    def end(self, error: ProxyError | None) -> None:
        """The socket is closed."""
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None:
            checkpoint.end()
        self._reader.end(gap(error))
        self._end_all(error)

    def _end_all(self, error: ProxyError | None) -> None:
        open, self._open = self._open, []
        for passage in open:
            passage.end(error)

    def __repr__(self) -> str:
        judged = "" if self._checkpoint is None else f", {self._checkpoint!r}"
        return f"<Turns {len(self._open)} under way{judged}>"


def _weakly(settle: Callable[[Record], None]) -> Callable[[Record], None]:
    """The same method, for our own reader, which would otherwise keep us alive."""
    known = WeakMethod(settle)

    def tell(record: Record) -> None:
        method = known()
        if method is not None:
            method(record)

    return tell


def _has_worked(demand: Demand, record: Record) -> bool:
    """Whether a model has worked, perhaps for a message that asked it not to."""
    return demand.inference or (record.usage is not None and record.usage.output > 0)
