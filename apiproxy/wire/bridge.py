"""What passes between the two ends of an open WebSocket, and how they close.

Bytes are handed on as they arrive. A ``FrameScanner`` reads each direction, so that we know
where frames end. We speak up ourselves in three cases only, and only between frames: a ping
to a side that has been silent (its pong is taken out again), a Close when the other side is
gone, a Close when we shut down.

How it ends: after a Close has passed, whoever closes the connection first takes the other
with it. An agent that just leaves, by FIN or RST, has ended normally; most do. A provider
that just leaves has not: the agent gets Close 1011, or, in the middle of a frame, a cut.
"""

from collections.abc import Callable

from apiproxy.core.errors import (
    AgentGone,
    ProxyError,
    ShuttingDown,
    UpstreamReset,
    UpstreamSilent,
)
from apiproxy.core.exchange import CLOSED, Exchange
from apiproxy.core.frames import GOING_AWAY, INTERNAL, POLICY, TOO_BIG
from apiproxy.core.limits import Deadlines
from apiproxy.wire.end import End
from apiproxy.wire.transport import Transport
from apiproxy.wire.turns import Turns
from apiproxy.wire.watch import Stall, Watch

_CLOSING_SECONDS = 10.0
"""How long a side may take to hang up after the other is gone."""

_QUIET_SECONDS = 5.0
"""Without a byte for this long, and none owed by upstream, a socket is between two answers."""


class Bridge:
    """An open WebSocket.

    Attributes:
        exchange: its story.
        to_agent: sends bytes to the agent, unless that is gone; as soon as it is open.
        to_upstream: sends bytes to the provider, likewise.
    """

    to_agent: Callable[[bytes], None]
    to_upstream: Callable[[bytes], None]

    def __init__(
        self,
        exchange: Exchange,
        deadlines: Deadlines,
        limit: int,
        random: Callable[[int], bytes],
        watch: Watch,
        bridges: "set[Bridge]",
        agent_left: Callable[[], None],
        charge: Callable[[int], None] = lambda size: None,
    ) -> None:
        """A bridge with no ends yet.

        Args:
            exchange: its story.
            deadlines: how long silence may last, and when to ping.
            limit: bytes a message may have.
            random: gives so many bytes of chance, for masks.
            watch: keeps the deadlines.
            bridges: where it is found while it is open.
            agent_left: told when the agent's connection is gone.
            charge: told how many more bytes have come from the agent, now and then.
        """
        self.exchange = exchange
        self._deadlines = deadlines
        self._watch = watch
        self._bridges = bridges
        self._agent_left = agent_left
        self._charge = charge
        self._charged = 0
        self._agent = End(limit, bytes, self._agent_lost)
        self._upstream = End(limit, lambda: random(4), self._upstream_lost)
        self._stall = Stall()
        self._closing = False
        self._draining = False
        self._turns: Turns | None = None

    def open(
        self,
        agent: Transport,
        upstream: Transport,
        up: bytes,
        down: bytes,
        turns: Turns | None = None,
    ) -> None:
        """Begin to pass bytes.

        Args:
            agent: the agent's connection.
            upstream: the provider's.
            up: what the agent has sent behind its request.
            down: what the provider has sent behind its 101.
            turns: stands in both directions; None if nobody does.
        """
        if turns is not None:
            self._turns = turns
            self._agent.tap, self._upstream.tap = turns.from_agent, turns.from_upstream
        self._watch.add(self)
        self._bridges.add(self)
        self._upstream.join(upstream, self._agent, self._refuse_size)
        self._agent.join(agent, self._upstream, self._refuse_agents_size)
        self.to_agent, self.to_upstream = self._agent.write, self._upstream.write
        if up:
            self._agent.dataReceived(up)
        if down:
            self._upstream.dataReceived(down)

    def _refuse_size(self, why: ProxyError | None = None) -> None:
        reason = b"message too big; see APIPROXY_MAX_MESSAGE_BYTES"
        self.close(TOO_BIG, reason, why=why)

    def _refuse_agents_size(self) -> None:
        """It is a way to leave as any other."""
        self._refuse_size(AgentGone())

    # How it closes.

    def _agent_lost(self) -> None:
        """However it left, it ended normally."""
        self._agent_left()
        self._end(None, why=AgentGone())
        self._upstream.hang_up()
        self._settle()

    def _upstream_lost(self) -> None:
        """In order only after a Close."""
        agent, upstream = self._agent.scanner, self._upstream.scanner
        reset = UpstreamReset("The provider closed the WebSocket unannounced.")
        if agent.closed or upstream.closed or self._closing:
            self._end(None, why=AgentGone() if self._agent.closed_first else reset)
            self._agent.hang_up()
        else:
            self._end(reset)
            self._agent.close(INTERNAL, b"upstream closed the connection")
        self._settle()

    def _settle(self) -> None:
        """The other side has a while to hang up."""
        if not self._closing:
            self._closing = True
            self._stall = Stall()
        if self._agent.gone and self._upstream.gone:
            self._watch.remove(self)
            self._bridges.discard(self)

    def close(
        self,
        code: int,
        reason: bytes,
        error: ProxyError | None = None,
        *,
        between: bool = False,
        why: ProxyError | None = None,
    ) -> None:
        """End it from our side, with a Close to both.

        Args:
            code: of the Close to the agent.
            reason: likewise.
            error: why, if that is not in order.
            between: whether what the agent was sent ends between frames.
            why: what becomes of a response under way, if that is in order; we shut down.
        """
        if self._closing:
            return
        self._end(error, code, why=why or ShuttingDown())
        self._agent.close(code, reason, between=between)
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

    def _end(
        self,
        error: ProxyError | None,
        code: int | None = None,
        *,
        why: ProxyError | None = None,
    ) -> None:
        """Finish the story.

        Args:
            error: why, if that was not in order.
            code: of the Close which passed first.
            why: what becomes of a response under way, if it was.
        """
        exchange, agent, upstream = self.exchange, self._agent, self._upstream
        exchange.bytes_up, exchange.bytes_down = agent.passed, upstream.passed
        if exchange.phase is not CLOSED:
            first = upstream if upstream.closed_first else agent
            codes = (code, first.scanner.close_code, first.other.scanner.close_code)
            exchange.close_code = next((c for c in codes if c is not None), None)
            exchange.close(error)
            turns, self._turns = self._turns, None  # it knows us
            if turns is not None:
                turns.end(error or why)
            self._settle_bytes()

    def _settle_bytes(self) -> None:
        """Tell how many bytes more have come from the agent."""
        more = self._agent.passed - self._charged
        if more:
            self._charged += more
            self._charge(more)

    # What turns may do.

    @property
    def may_speak(self) -> bool:
        """Whether what was sent to the agent ends between messages."""
        return self._upstream.scanner.between_messages

    def hold(self) -> None:
        """Read no more of the agent for now."""
        self._agent.hold()

    def release(self) -> None:
        """Read on."""
        self._agent.release()

    def stop(self, error: ProxyError) -> None:
        """End it now, and say why where the provider's clients would hear it."""
        if self._turns is not None:
            self._turns.stop(error)
        else:
            self.halt(error)

    def halt(self, error: ProxyError) -> None:
        """End it now, with a Close where one can stand."""
        self.close(POLICY, error.code.encode("ascii"), error)

    # Deadlines.

    def look(self, now: float) -> None:
        """Ping who is silent, give up who is dead (see ``wire.watch``)."""
        agent, upstream = self._agent, self._upstream
        self.exchange.bytes_up, self.exchange.bytes_down = agent.passed, upstream.passed
        self._settle_bytes()
        if self._turns is not None:
            self._turns.look()
        if self._closing:
            full = (agent.full, upstream.full)
            limit = self._deadlines.write_stall if any(full) else _CLOSING_SECONDS
            if self._stall.seconds(full, now) > limit:
                self.abort(UpstreamSilent())
            return
        if self._draining and self._is_between_answers(now):
            self.close(GOING_AWAY, b"apiproxy is shutting down")
            return
        if any(self._is_dead(end, now) for end in (agent, upstream)):
            self.abort(UpstreamSilent("One side of the WebSocket has gone silent."))

    def _is_between_answers(self, now: float) -> bool:
        """Whether upstream spoke last, finished what it said, and a while ago."""
        agent, upstream = self._agent, self._upstream
        return (
            not agent.spoke_last
            and upstream.silent_seconds(now) >= _QUIET_SECONDS
            and agent.scanner.between_messages
            and upstream.scanner.between_messages
        )

    def _is_dead(self, end: End, now: float) -> bool:
        """Whether nothing can be hoped for from this end; ping it otherwise."""
        deadlines = self._deadlines
        silent = end.silent_seconds(now)
        if end.other.full:
            # It is not read, so it cannot be heard; the other side is the one that stalls.
            return silent > deadlines.write_stall
        if silent > deadlines.silence:
            return True
        if deadlines.ping:
            end.ping(now, deadlines.ping)
        return False

    def __repr__(self) -> str:
        agent, upstream = self._agent.scanner, self._upstream.scanner
        return f"<Bridge {self.exchange!r} agent {agent!r} upstream {upstream!r}>"
