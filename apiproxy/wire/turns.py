"""The turns of a conversation on one open WebSocket: each request in it, and each response.

A socket is opened once and used for an hour, so what is true of its upgrade says little. Every
message that asks a model for a response is a demand of its own, and every response a record.
``Turns`` stands in both directions of a bridge:

- From upstream, bytes go on at once; then a copy is read for responses that are over.
- From the agent they go on at once, too, unless a rule has to see a request first. Then
  whole messages are taken out, judged one after the other, and passed on as they came. One
  that is refused does not pass: the agent gets the error event that its client understands,
  between two messages of the provider, and the socket lives on.

A message that was compressed with what came before in mind (RFC 7692, section 7.2.3.2)
cannot be left out: upstream would not understand the next one. So after a refusal on such
a socket the agent's messages go on uncompressed, each in a frame of our own making.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from apiproxy.core.deflate import DeflateTerms
from apiproxy.core.errors import BodyUnreadable, InternalError, ProxyError
from apiproxy.core.exchange import Complain, Exchange
from apiproxy.core.frames import text_frame
from apiproxy.core.messages import Message, MessageReader
from apiproxy.core.usage import Demand, Record
from apiproxy.core.values import Ask
from apiproxy.wire.metering import Metering
from apiproxy.wire.passage import Passage, gap

_POLICY = 1008
"""Close code of a socket whose response was cut (RFC 6455, section 7.4.1)."""


class Socket(Protocol):
    """The bridge, as turns see it."""

    def to_agent(self, data: bytes) -> None:
        """Send bytes to the agent."""

    def to_upstream(self, data: bytes) -> None:
        """Send bytes to the provider."""

    @property
    def may_speak(self) -> bool:
        """Whether what was sent to the agent ends between messages."""

    def close(self, code: int, reason: bytes, error: ProxyError | None = None) -> None:
        """End it with a Close to both sides."""

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
        self._exchange = exchange
        self._socket = socket
        self._mask = mask
        self._complain = complain
        self._reader = metering.follow(ask, self._settle)
        deflate = DeflateTerms.read(extensions, from_agent=True)
        self._chained = deflate is not None and deflate.takeover
        self._reframe = False
        self._asked = MessageReader(deflate, limit)
        answers = DeflateTerms.read(extensions, from_agent=False)
        self._told = MessageReader(answers, limit)
        self._gated = False
        self._whole = True
        self._held = b""
        self._queue: deque[tuple[bytes, Message | None]] = deque()
        self._asking: Deferred[None] | None = None
        self._open: list[Passage] = []
        self._unsaid: list[bytes] = []
        self._ending: ProxyError | None = None

    # From the agent.

    def from_agent(self, data: bytes) -> None:
        """Bytes from the agent."""
        if self._whole and not self._gated:
            self._gated = self._metering.gates
        if self._gated:
            self._hold(data)
            return
        self._socket.to_upstream(data)
        for message in self._asked.feed(data):
            demand = self._demand(message)
            if demand is not None and demand.inference:
                self._open.append(self._metering.note(self._exchange, demand))
        self._whole = self._asked.clear == len(data)

    def _demand(self, message: Message) -> Demand | None:
        """What a message asks; None if nobody can tell."""
        return None if message.payload is None else self._reader.asked(message.payload)

    def _hold(self, data: bytes) -> None:
        """Take whole messages out of the stream, and what stands between them."""
        messages = self._asked.feed(data)
        before = len(self._held)
        held, start = self._held + data, 0
        for message in messages:
            end = before + message.end
            self._queue.append((held[start:end], message))
            start = end
        clear = before + self._asked.clear
        if clear > start:
            self._queue.append((held[start:clear], None))
            start = clear
        self._held = held[start:]
        self._advance()

    def _advance(self) -> None:
        """Judge what waits, one after the other."""
        while self._queue and self._asking is None and self._ending is None:
            raw, message = self._queue.popleft()
            if message is None:
                self._socket.to_upstream(raw)
            else:
                self._judge(raw, message)

    def _judge(self, raw: bytes, message: Message) -> None:
        demand = self._demand(message)
        if demand is None or demand.unreadable:
            why = message.gap if demand is None else demand.unreadable
            self._refuse(BodyUnreadable(f"A message could not be read: {why}."))
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
            self._socket.hold()

    async def _enter(self, raw: bytes, message: Message, demand: Demand) -> None:
        """Let a request pass, or refuse it."""
        assert message.payload is not None
        passage = await self._metering.admit(self._exchange, demand)
        passage.cut = self.stop
        self._open.append(passage)
        edited = await self._metering.edited_message(passage, message.payload)
        if edited is message.payload:
            self._pass(raw, message)
        else:
            self._reframe = self._reframe or self._chained
            self._socket.to_upstream(text_frame(edited, self._mask()))

    def _refused(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        error = failure.value
        if not isinstance(error, ProxyError):
            assert error is not None
            self._complain("a message could not be judged", error)
            error = InternalError()
        self._reader.refused()
        self._refuse(error)
        self._go_on()

    def _go_on(self) -> None:
        """The question was answered; on with what waits, unless that is going on."""
        if self._asking is not None:
            self._asking = None
            self._socket.release()
            self._advance()

    def _break(self, failure: Failure) -> None:
        """A bug, behind a message that had been judged."""
        assert failure.value is not None
        self._complain("a message could not be passed on", failure.value)
        self._socket.close(1011, b"internal error", InternalError())

    def _pass(self, raw: bytes, message: Message) -> None:
        """Let a message go on, as it came if upstream can understand it so."""
        if not self._reframe:
            self._socket.to_upstream(raw)
        elif message.payload is not None:
            frame = text_frame(message.payload, self._mask())
            self._socket.to_upstream(frame)

    def _refuse(self, error: ProxyError) -> None:
        """Answer a message that does not pass."""
        self._reframe = self._reframe or self._chained
        self._say(error)

    # From upstream.

    def from_upstream(self, data: bytes) -> None:
        """Bytes from the provider: they go on, then they are looked at."""
        if self._unsaid:
            self._say_between(data)
            return
        self._socket.to_agent(data)
        self._read(data)

    def _read(self, data: bytes) -> None:
        """Look at bytes from the provider."""
        for message in self._told.feed(data):
            if message.payload is not None:
                self._reader.told(message.payload)
        if self._gated and self._metering.cuts:
            self._look()

    def _look(self) -> None:
        """See what the responses under way have cost so far."""
        for passage, record in zip(self._open, self._reader.running, strict=False):
            passage.look(record)

    def _say_between(self, data: bytes) -> None:
        """Say what had to wait for the end of a message, if there is one in this."""
        self._read(data)
        end = max(self._told.clear, 0)
        self._socket.to_agent(data[:end])
        if end:
            self._say_all()
        if self._ending is None or not end:
            self._socket.to_agent(data[end:])

    def _say(self, error: ProxyError) -> None:
        """Tell the agent why, between two messages of the provider."""
        event = self._metering.refusal_event(self._exchange, error)
        self._unsaid.append(text_frame(event, b""))
        if self._socket.may_speak:
            self._say_all()

    def _say_all(self) -> None:
        unsaid, self._unsaid = self._unsaid, []
        self._socket.to_agent(b"".join(unsaid))
        if self._ending is not None:
            code = self._ending.code.encode("ascii")
            self._socket.close(_POLICY, code, self._ending)

    def _settle(self, record: Record) -> None:
        """A response is over; the oldest request that waits for one has it."""
        passage = self._open.pop(0) if self._open else None
        if passage is None:
            passage = self._metering.note(self._exchange, Demand(True))
        passage.record(record)
        passage.end(None)

    # The end.

    def stop(self, error: ProxyError) -> None:
        """Say why, and close."""
        if self._ending is None:
            self._ending = error
            self._say(error)

    def end(self, error: ProxyError | None) -> None:
        """The socket is closed."""
        if self._asking is not None:
            self._asking.cancel()
        self._queue.clear()
        self._held = b""
        self._reader.end(gap(error))
        for passage in self._open:
            passage.end(error)
        self._open = []

    def __repr__(self) -> str:
        return f"<Turns {len(self._open)} under way, {len(self._queue)} waiting>"
