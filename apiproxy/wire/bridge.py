"""What passes between two open sockets, and how they close.

Bytes are handed on as they arrive. A ``FrameScanner`` reads each direction, so that we know
where frames end. We speak up ourselves in three cases only, and only between frames: a ping
to a side that has been silent (its pong is taken out again), a Close when the other side is
gone, a Close when we shut down.

How it ends: after a Close has passed, whoever closes the connection first takes the other
with it. An agent that just leaves, by FIN or RST, has ended normally; most do. A provider
that just leaves has not: the agent gets Close 1011, or, in the middle of a frame, a cut.
"""

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from apiproxy.core.errors import ProxyError, UpstreamReset, UpstreamSilent
from apiproxy.core.exchange import Exchange, Phase
from apiproxy.core.frames import FrameScanner, MessageTooLarge
from apiproxy.core.limits import Deadlines, Limits
from apiproxy.wire.watch import Stall, Watch
from apiproxy.wire.websocket import AgentSocket, UpstreamSocket

GOING_AWAY = 1001
TOO_BIG = 1009
INTERNAL = 1011

_CLOSING_SECONDS = 10.0
"""How long a side may take to hang up after the other is gone."""

_QUIET_SECONDS = 1.0
"""Without a byte for this long, a socket is between two answers."""


@implementer(IPushProducer)
class End:
    """One side of a bridge: its socket, and what is known of it.

    Attributes:
        socket: Autobahn's.
        scanner: follows the frames that come from it.
        heard: bytes that came from it.
        full: whether it does not read as fast as the other side sends.
        gone: whether its connection is lost, or cut by us.
    """

    def __init__(self, socket: AgentSocket | UpstreamSocket, limit: int) -> None:
        self.socket = socket
        self.scanner = FrameScanner(limit, self._is_our_pong)
        self.heard = 0
        self.full = False
        self.gone = False
        self.other: End = self
        self._silence = Stall()
        self._pinged = 0
        self._awaited: bytes | None = None

    def _is_our_pong(self, payload: bytes) -> bool:
        return self._awaited is not None and payload == self._awaited

    def silent_seconds(self, now: float) -> float:
        """For how long nothing has come from it."""
        return self._silence.seconds(self.heard, now)

    def ping(self, now: float, every: float) -> None:
        """Ping it if it has been silent for another ``every`` seconds."""
        due = int(self.silent_seconds(now) / every)
        if due == 0:
            self._pinged = 0
        elif due > self._pinged and self.other.scanner.at_boundary:
            self._pinged = due
            self._awaited = b"apiproxy-%d" % self.heard
            self.socket.sendPing(self._awaited)

    def close(self, code: int, reason: bytes) -> None:
        """Say why, if that can be said here, and hang up."""
        if self.gone:
            return
        if self.other.scanner.at_boundary and not self.full:
            if not self.other.scanner.closed:
                self.socket.sendCloseFrame(code, reason)
            self.hang_up()
        else:
            self.cut()

    def cut(self) -> None:
        """Close at once."""
        if not self.gone:
            self.gone = True
            self.socket.line.abortConnection()

    def hang_up(self) -> None:
        """Send what is left and close; what still comes is thrown away."""
        if not self.gone:
            line = self.socket.line
            line.unregisterProducer()
            line.resumeProducing()
            line.loseWriteConnection()

    # Told by this side's connection about its send buffer; it pauses the other side.

    def pauseProducing(self) -> None:
        """This side is full."""
        self.full = True
        self.other.socket.line.pauseProducing()

    def resumeProducing(self) -> None:
        """This side reads again."""
        self.full = False
        self.other.socket.line.resumeProducing()

    def stopProducing(self) -> None:
        """This side's connection is being lost, which the bridge will be told."""


class Bridge:
    """Two open sockets, spliced.

    Attributes:
        exchange: its story.
    """

    def __init__(
        self,
        exchange: Exchange,
        agent: AgentSocket,
        upstream: UpstreamSocket,
        limits: Limits,
        deadlines: Deadlines,
        watch: Watch,
        bridges: "set[Bridge]",
    ) -> None:
        self.exchange = exchange
        self._deadlines = deadlines
        self._watch = watch
        self._bridges = bridges
        self._agent = End(agent, limits.message)
        self._upstream = End(upstream, limits.message)
        self._agent.other, self._upstream.other = self._upstream, self._agent
        self._stall = Stall()
        self._closing: float | None = None
        self._draining = False

    def start(self, from_agent: bytes) -> None:
        """Begin to pass bytes; ``from_agent`` came behind the agent's request."""
        agent, upstream = self._agent.socket, self._upstream.socket
        agent.line.registerProducer(self._agent, True)
        upstream.line.registerProducer(self._upstream, True)
        self._watch.add(self)
        self._bridges.add(self)
        early = agent.start(self._pass_up, self._agent_lost)
        from_upstream = upstream.start(self._pass_down, self._upstream_lost)
        if from_agent or early:
            self._pass_up(from_agent + early)
        if from_upstream:
            self._pass_down(from_upstream)

    def _pass_up(self, data: bytes) -> None:
        """From the agent to upstream."""
        agent = self._agent
        agent.heard += len(data)
        if self._closing is not None:
            return
        try:
            data = agent.scanner.feed(data)
        except MessageTooLarge:
            self._refuse_size()
            return
        self.exchange.bytes_up += len(data)
        self._upstream.socket.line.write(data)

    def _pass_down(self, data: bytes) -> None:
        """From upstream to the agent."""
        upstream = self._upstream
        upstream.heard += len(data)
        if self._closing is not None:
            return
        try:
            data = upstream.scanner.feed(data)
        except MessageTooLarge:
            self._refuse_size()
            return
        self.exchange.bytes_down += len(data)
        self._agent.socket.line.write(data)

    # How it closes.

    def _refuse_size(self) -> None:
        self.close(TOO_BIG, b"message too big; see APIPROXY_MAX_MESSAGE_BYTES")

    def _agent_lost(self) -> None:
        """However it left, it ended normally."""
        self._agent.gone = True
        self._end(None)
        self._upstream.hang_up()
        self._settle()

    def _upstream_lost(self) -> None:
        """In order only after a Close."""
        self._upstream.gone = True
        if self._upstream.scanner.closed or self._closing is not None:
            self._end(None)
            self._agent.hang_up()
        else:
            self._end(UpstreamReset("The provider closed the WebSocket unannounced."))
            self._agent.close(INTERNAL, b"upstream closed the connection")
        self._settle()

    def _settle(self) -> None:
        """The other side has a while to hang up."""
        if self._closing is None:
            self._closing = 0.0
            self._stall = Stall()
        if self._agent.gone and self._upstream.gone:
            self._watch.remove(self)
            self._bridges.discard(self)

    def close(self, code: int, reason: bytes, error: ProxyError | None = None) -> None:
        """End it from our side, with a Close to both."""
        if self._closing is not None:
            return
        self._end(error, code)
        self._agent.close(code, reason)
        self._upstream.close(GOING_AWAY, b"")
        self._settle()

    def abort(self, error: ProxyError) -> None:
        """End it at once."""
        self._end(error)
        self._agent.cut()
        self._upstream.cut()
        self._settle()

    def drain(self) -> None:
        """Close as soon as it is between two answers."""
        self._draining = True

    def _end(self, error: ProxyError | None, code: int | None = None) -> None:
        """Finish the story; the code is that of the Close which passed first."""
        if self.exchange.phase is Phase.CLOSED:
            return
        for end in (self._agent, self._upstream):
            code = code or end.scanner.close_code
        self.exchange.close_code = code
        self.exchange.close(error)

    # Deadlines.

    def look(self, now: float) -> None:
        """Ping who is silent, give up who is dead (see ``wire.watch``)."""
        if self._closing is not None:
            if self._stall.seconds("closing", now) > _CLOSING_SECONDS:
                self.abort(UpstreamSilent())
            return
        quiet = min(self._agent.silent_seconds(now), self._upstream.silent_seconds(now))
        if self._draining and quiet >= _QUIET_SECONDS:
            self.close(GOING_AWAY, b"apiproxy is shutting down")
            return
        for end in (self._agent, self._upstream):
            if self._look_at(end, now):
                return

    def _look_at(self, end: End, now: float) -> bool:
        """Whether this end is dead, and all is over."""
        deadlines = self._deadlines
        silent = end.silent_seconds(now)
        if end.other.full:
            # It is not read, so it cannot be heard; the other side is the one that stalls.
            dead = silent > deadlines.write_stall
        else:
            dead = silent > deadlines.silence
            if deadlines.ping and not dead:
                end.ping(now, deadlines.ping)
        if dead:
            self.abort(UpstreamSilent("One side of the WebSocket has gone silent."))
        return dead

    def __repr__(self) -> str:
        return (
            f"<Bridge {self.exchange!r}"
            f" agent {self._agent.scanner!r} upstream {self._upstream.scanner!r}>"
        )
