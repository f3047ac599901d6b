"""The turns of a conversation on one open WebSocket: each request in it, and each response.

A socket is opened once and used for an hour, so what is true of its upgrade says little. Every
message that asks a model for a response is a demand of its own, and every response a record.
``Turns`` stands in both directions of a bridge:

- From upstream, bytes go on at once; then a copy is read for responses that are over. Most
  messages are a piece of an answer, or of sound, and are known by a look at their bytes.
- From the agent they go on at once, too, unless a rule has to see a request first. Then
  whole messages are taken out, judged one after the other, and passed on as they came. One
  that is refused does not pass: the agent gets the error event that its client understands,
  between two messages of the provider, and the socket lives on. Pings and Closes do not wait.
  Live has no event for that, and its clients fail at ours or wait for ever: it is closed.

A message that was compressed with what came before in mind (RFC 7692, section 7.2.3.2)
cannot be left out: upstream would not understand the next one. So after a refusal on such
a socket the agent's messages go on uncompressed, each in a frame of our own making.

Several responses may be under way at once. Which of them a record is of is known from what
asked for it, the very ``Demand``, for that is the only thing that all dialects have.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import structs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from apiproxy.core.deflate import DeflateTerms
from apiproxy.core.errors import BodyUnreadable, InternalError, Overloaded, ProxyError
from apiproxy.core.exchange import Complain, Exchange
from apiproxy.core.frames import text_frame
from apiproxy.core.messages import Message, MessageReader
from apiproxy.core.sieve import ControlSieve
from apiproxy.core.usage import Demand, Record
from apiproxy.core.values import Ask
from apiproxy.providers.endings import live_close
from apiproxy.providers.usage.asked import asks_nothing
from apiproxy.wire.failures import ours
from apiproxy.wire.metering import Metering
from apiproxy.wire.passage import Passage, gap
from apiproxy.wire.unasked import Unasked
from apiproxy.wire.waiting import Waiting

_POLICY = 1008
"""Close code of a socket whose response was cut (RFC 6455, section 7.4.1)."""

_MASKED, _RESERVED = 0x80, 0x70
"""Bits of the second and of the first byte of a frame (RFC 6455, section 5.2)."""

_INTERNAL = 1011
_TRY_LATER = 1013

_MOST_OPEN = 128
"""Requests that were let through and have no response yet; more than a reader remembers.

Live may be asked as often as an agent likes while it speaks."""


class Socket(Protocol):
    """The bridge, as turns see it."""

    def to_agent(self, data: bytes) -> None:
        """Send bytes to the agent."""

    def to_upstream(self, data: bytes) -> None:
        """Send bytes to the provider."""

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

    def hold(self) -> None:
        """Read no more of the agent for now."""

    def release(self) -> None:
        """Read on."""


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
        self._ruled = metering.holds(exchange)
        self._wordless = metering.only_closes(ask)
        self._exchange = exchange
        self._socket = socket
        self._mask = mask
        self._complain = complain
        self._reader = metering.follow(exchange, ask, self._settle)
        deflate = DeflateTerms.read(extensions, from_agent=True)
        self._chained = deflate is not None and deflate.takeover
        self._reframe = False
        self._asked = MessageReader(deflate, limit)
        answers = DeflateTerms.read(extensions, from_agent=False)
        self._told = MessageReader(answers, limit)
        self._told_bytes = 0
        self._told_between = True
        self._holding = False
        self._between = True
        self._sieve = ControlSieve()
        self._waiting = Waiting(self._asked, metering.held, socket)
        self._asking: Deferred[None] | None = None
        self._open: list[Passage] = []
        self._begun = 0
        self._unasked = Unasked(metering, exchange, self._welcome, self.stop, complain)
        self._unsaid: list[bytes] = []
        self._ending: ProxyError | None = None
        self._overdue = False

    # From the agent.

    def from_agent(self, data: bytes, whole: int = 0) -> None:
        """Bytes from the agent.

        Args:
            data: they.
            whole: where the payload begins, if they are one message and nothing else.
        """
        if self._holding or (self._between and (self._ruled or self._metering.capped)):
            self._holding = True
            self._hold(data)
            return
        self._socket.to_upstream(data)
        if (
            whole
            and self._between
            and data[1] & _MASKED
            and not data[0] & _RESERVED
            and asks_nothing(data, whole)
        ):
            return
        for message in self._asked.feed(data):
            demand = self._demand(message)
            if demand is not None and demand.inference:
                self._let_in(self._metering.note(self._exchange, demand))
        self._between = self._asked.clear == len(data)

    def _demand(self, message: Message) -> Demand | None:
        """What a message asks; None if nobody can tell."""
        return None if message.payload is None else self._reader.asked(message.payload)

    def _hold(self, data: bytes) -> None:
        """Take whole messages out of the stream; control frames go on."""
        control, data = self._sieve.feed(data)
        if data and self._ending is None:
            self._waiting.keep(data)
            self._advance()
        if control:
            self._socket.to_upstream(control)
        if self._sieve.closed:
            self._drop()
        if not self._waiting.weigh():
            self._overflow()

    def _advance(self) -> None:
        """Judge what waits, one after the other."""
        queue = self._waiting.queue
        while queue and self._asking is None and self._ending is None:
            raw, message = self._waiting.next()
            if message is None:
                self._socket.to_upstream(raw)
            else:
                self._judge(raw, message)

    def _overflow(self) -> None:
        """More waits than may be held, here and on all other sockets."""
        self._drop()
        self._socket.close(_TRY_LATER, b"too much is held", Overloaded(_HELD))

    def _drop(self) -> None:
        """Forget what has not gone upstream; the agent is about to leave."""
        self._waiting.drop()
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _judge(self, raw: bytes, message: Message) -> None:
        demand = self._demand(message)
        tools = self._metering.refuse_tools(self._exchange, message.payload or b"")
        if tools is not None:
            self._reader.refused()
            self._refuse(tools)
        elif demand is None:
            self._refuse(_unreadable(message.gap))
        elif demand.unreadable:
            self._reader.refused()
            self._refuse(_unreadable(demand.unreadable))
        elif demand.inference:
            self._ask(raw, message, demand)
        else:
            self._pass(raw, message)

    def _ask(self, raw: bytes, message: Message, demand: Demand) -> None:
        story = self._enter(raw, message, demand)
        asking = Deferred.fromCoroutine(story).addCallbacks(
            lambda _: self._go_on(), self._refused
        )
        over = asking.addErrback(self._break)
        if not over.called:
            self._asking = over

    async def _enter(self, raw: bytes, message: Message, demand: Demand) -> None:
        """Let a request pass, or refuse it."""
        assert message.payload is not None
        passage = await self._metering.admit(self._exchange, demand)
        if self._ending is not None:
            self._reader.refused()
            passage.end(self._ending)
            return
        edited = await self._metering.edited_message(passage, message.payload)
        passage.cut = self.stop
        self._let_in(passage)
        if edited is message.payload:
            self._pass(raw, message)
        else:
            self._reframe = self._reframe or self._chained
            self._socket.to_upstream(text_frame(edited, self._mask()))

    def _refused(self, failure: Failure) -> None:
        self._reader.refused()
        if failure.check(CancelledError):
            return
        self._refuse(ours(failure, self._complain, "a message could not be judged"))
        self._go_on()

    def _go_on(self) -> None:
        """The question was answered; on with what waits, unless that is going on."""
        if self._asking is not None:
            self._asking = None
            self._advance()
            if not self._waiting.weigh():
                self._overflow()

    def _break(self, failure: Failure) -> None:
        """A bug, behind a message that had been judged."""
        assert failure.value is not None
        self._complain("a message could not be passed on", failure.value)
        self._socket.close(_INTERNAL, b"internal error", InternalError())

    def _pass(self, raw: bytes, message: Message) -> None:
        """Let a message go on, as it came if upstream can understand it so."""
        if not self._reframe:
            self._socket.to_upstream(raw)
        elif message.payload is not None:
            frame = text_frame(message.payload, self._mask(), message.opcode)
            self._socket.to_upstream(frame)

    def _refuse(self, error: ProxyError) -> None:
        """Answer a message that does not pass."""
        self._reframe = self._reframe or self._chained
        self._metering.refused(self._exchange, error)
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
        if whole and self._told_between and not data[0] & _RESERVED:
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
            if self._holding and self._begun != self._reader.begun:
                self._begun = self._reader.begun
                self._look_for_new()
        if self._holding and self._metering.cuts:
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
            if self._ending is None:
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
        if self._ending is not None:
            self._close(self._ending, between=True)

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

    def _let_in(self, passage: Passage) -> None:
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
        if self._holding and self._ending is None:
            self._unasked.meet(demand)

    def _welcome(self, passage: Passage) -> None:
        """A response may be that is there already, if it is not over yet."""
        if any(passage.demand is one for one, _ in self._reader.under_way):
            passage.cut = self.stop
            self._let_in(passage)
        else:
            passage.end(None)

    # The end.

    def stop(self, error: ProxyError) -> None:
        """Say why, and close."""
        if self._ending is None:
            self._ending = error
            self._say(error)

    def look(self) -> None:
        """Close, if the provider has not come to the end of a message for a while."""
        if self._ending is not None:
            if self._overdue:
                self._close(self._ending, between=False)
            self._overdue = True

    def _close(self, error: ProxyError, *, between: bool) -> None:
        code, reason = _POLICY, error.code.encode("ascii")
        if self._wordless:
            code, reason = live_close(error)
        self._socket.close(code, reason, error, between=between)

    def end(self, error: ProxyError | None) -> None:
        """The socket is closed."""
        self._drop()
        self._waiting.end()
        self._holding = False  # nothing is judged any more
        self._unasked.end()
        self._reader.end(gap(error))
        self._end_all(error)

    def _end_all(self, error: ProxyError | None) -> None:
        open, self._open = self._open, []
        for passage in open:
            passage.end(error)

    def __repr__(self) -> str:
        return (
            f"<Turns {len(self._open)} under way, {len(self._waiting.queue)} waiting>"
        )


def _has_worked(demand: Demand, record: Record) -> bool:
    """Whether a model has worked, perhaps for a message that asked it not to."""
    return demand.inference or (record.usage is not None and record.usage.output > 0)


def _unreadable(why: str) -> BodyUnreadable:
    return BodyUnreadable(
        f"A message could not be read: {why}.", details={"reason": why}
    )


_HELD = "Too many messages are held at once; see APIPROXY_MAX_HELD_BYTES."
