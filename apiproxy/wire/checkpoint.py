"""Where an agent's messages on a WebSocket are judged before they go on.

As long as no rule has to see a message, there is no checkpoint. From the first message on
that one has to see, whole messages are taken out of the agent's bytes, judged one after the
other, and passed on as they came. One that is refused does not pass. Pings and Closes do not
wait.

A message that was compressed with what came before in mind (RFC 7692, section 7.2.3.2)
cannot be left out: upstream would not understand the next one. So after a refusal on such
a socket the agent's messages go on uncompressed, each in a frame of our own making.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from apiproxy.core.errors import BodyUnreadable, InternalError, Overloaded, ProxyError
from apiproxy.core.exchange import Complain, Exchange
from apiproxy.core.frames import INTERNAL, TRY_LATER, text_frame
from apiproxy.core.messages import Message, MessageReader
from apiproxy.core.sieve import ControlSieve
from apiproxy.core.usage import Demand
from apiproxy.wire.failures import ours
from apiproxy.wire.metering import Metering
from apiproxy.wire.passage import Passage
from apiproxy.wire.unasked import Unasked
from apiproxy.wire.waiting import Waiting


class Socket(Protocol):
    """The bridge, as it is seen from here."""

    def to_upstream(self, data: bytes) -> None:
        """Send bytes to the provider."""

    def close(self, code: int, reason: bytes, error: ProxyError | None = None) -> None:
        """End it with a Close to both sides."""

    def hold(self) -> None:
        """Read no more of the agent for now."""

    def release(self) -> None:
        """Read on."""


class Conversation(Protocol):
    """What is said in both directions of the socket."""

    @property
    def ending(self) -> ProxyError | None:
        """Why it is about to be closed; None if it is not."""

    def demand(self, message: Message) -> Demand | None:
        """What a message asks; None if nobody can tell."""

    def unsay(self) -> None:
        """The message that was asked about last does not go upstream."""

    def let_in(self, passage: Passage) -> None:
        """A demand goes upstream."""

    def welcome(self, passage: Passage) -> None:
        """A response may be that is there already."""

    def turn_away(self, error: ProxyError) -> None:
        """Tell the agent that a message does not pass."""

    def stop(self, error: ProxyError) -> None:
        """Say why, and close."""


class Checkpoint:
    """The agent's direction of one socket on which messages are judged."""

    def __init__(
        self,
        metering: Metering,
        exchange: Exchange,
        socket: Socket,
        conversation: Conversation,
        reader: MessageReader,
        mask: Callable[[], bytes],
        complain: Complain,
        *,
        chained: bool,
    ) -> None:
        """Nothing waits.

        Args:
            metering: lets demands pass, or not.
            exchange: the socket's story.
            socket: the bridge.
            conversation: is told what was let in.
            reader: reads what the agent says; it stands between two messages.
            mask: makes the mask of a frame of ours toward the provider.
            complain: told of bugs.
            chained: whether a message may be compressed with earlier ones in mind.
        """
        self._metering = metering
        self._exchange = exchange
        self._socket = socket
        self._conversation = conversation
        self._mask = mask
        self._complain = complain
        self._chained = chained
        self._reframe = False
        self._sieve = ControlSieve()
        self._waiting = Waiting(reader, metering.held, socket)
        self._asking: Deferred[None] | None = None
        self._unasked = Unasked(
            metering, exchange, conversation.welcome, conversation.stop, complain
        )

    def feed(self, data: bytes) -> None:
        """Take whole messages out of the stream; control frames go on."""
        control, data = self._sieve.feed(data)
        if data and self._conversation.ending is None:
            self._waiting.keep(data)
            self._advance()
        if control:
            self._socket.to_upstream(control)
        if self._sieve.closed:
            self.drop()
        if not self._waiting.weigh():
            self._overflow()

    def meet(self, demand: Demand) -> None:
        """Have a response judged that is there already, and that nobody has asked for."""
        if self._conversation.ending is None:
            self._unasked.meet(demand)

    def drop(self) -> None:
        """Forget what has not gone upstream; the agent is about to leave."""
        self._waiting.drop()
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def end(self) -> None:
        """The socket is closed; nothing is judged any more."""
        self.drop()
        self._waiting.end()
        self._unasked.end()

    def _overflow(self) -> None:
        """More waits than may be held, here and on all other sockets."""
        self.drop()
        self._socket.close(TRY_LATER, b"too much is held", Overloaded(_HELD))

    # One message after the other.

    def _advance(self) -> None:
        """Judge what waits, one after the other."""
        queue, conversation = self._waiting.queue, self._conversation
        while queue and self._asking is None and conversation.ending is None:
            raw, message = self._waiting.next()
            if message is None:
                self._socket.to_upstream(raw)
            else:
                self._judge(raw, message)
        if self._asking is None:
            self._waiting.judged()

    def _judge(self, raw: bytes, message: Message) -> None:
        demand = self._conversation.demand(message)
        tools = self._metering.refuse_tools(self._exchange, message.payload or b"")
        if tools is not None:
            self._conversation.unsay()
            self._refuse(tools)
        elif demand is None:
            self._refuse(_unreadable(message.gap))
        elif demand.unreadable:
            self._conversation.unsay()
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
        conversation = self._conversation
        passage = await self._metering.admit(self._exchange, demand)
        if conversation.ending is not None:
            conversation.unsay()
            passage.end(conversation.ending)
            return
        edited = await self._metering.edited_message(passage, message.payload)
        passage.cut = conversation.stop
        conversation.let_in(passage)
        if edited is message.payload:
            self._pass(raw, message)
        else:
            self._reframe = self._reframe or self._chained
            self._socket.to_upstream(text_frame(edited, self._mask()))

    def _refused(self, failure: Failure) -> None:
        self._conversation.unsay()
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
        self._socket.close(INTERNAL, b"internal error", InternalError())

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
        self._conversation.turn_away(error)

    def __repr__(self) -> str:
        return f"<Checkpoint {len(self._waiting.queue)} waiting>"


def _unreadable(why: str) -> BodyUnreadable:
    return BodyUnreadable(
        f"A message could not be read: {why}.", details={"reason": why}
    )


_HELD = "Too many messages are held at once; see APIPROXY_MAX_HELD_BYTES."
