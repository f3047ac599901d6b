"""The way from one listener to its provider: what every exchange on it shares."""

from collections.abc import Callable, Sequence

from attrs import define, field

from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import (
    NOBODY,
    Complain,
    Crowd,
    Exchange,
    Guard,
    Observers,
)
from apiproxy.core.grant import Gate, Grant
from apiproxy.core.limits import Deadlines, Limits
from apiproxy.core.values import Fields
from apiproxy.policy.visitors import Visitors
from apiproxy.providers.base import Provider
from apiproxy.wire.bridge import Bridge
from apiproxy.wire.metering import Metering
from apiproxy.wire.peers import Peers
from apiproxy.wire.pool import Pool
from apiproxy.wire.watch import Watch
from apiproxy.wire.websocket import Handshakes


@define(kw_only=True)
class Route:
    """One provider, the lines to it, and the rules of the way.

    Attributes:
        provider: who is at the other end.
        pool: lines to it.
        tunnelled: whether an egress proxy stands between.
        limits: how much an exchange may use.
        deadlines: how long its phases may last.
        websocket: whether WebSockets are carried.
        guards: asked in this order before anything leaves.
        observers: told of the phases of each exchange.
        seconds: the clock.
        new_id: makes a request id.
        random: gives so many bytes of chance.
        watch: keeps the deadlines.
        handshakes: opens WebSockets.
        complain: told of bugs.
        census: counts what is under way, on all routes; also one of the observers.
        metering: lets requests pass and keeps the books; None where nobody counts.
        run: whose budget all of it is on.
        retried: told of each exchange that needs a second line.
        visitors: tells requests of web pages from those of agents; None lets all in.
        callers: lets callers in; None where nobody is asked who it is.
        peers: who holds how many connections, on all routes.
        draining: whether we are about to stop.
        bridges: the open WebSockets.
    """

    provider: Provider
    pool: Pool
    tunnelled: bool
    limits: Limits
    deadlines: Deadlines
    websocket: bool = True
    guards: Sequence[Guard] = ()
    observers: Observers = NOBODY
    seconds: Callable[[], float]
    new_id: Callable[[], str]
    random: Callable[[int], bytes]
    watch: Watch
    handshakes: Handshakes
    complain: Complain
    census: Crowd
    metering: Metering | None = None
    run: str = ""
    retried: Callable[[], None] = lambda: None
    visitors: Visitors | None = None
    callers: Gate | None = None
    peers: Peers = field(factory=Peers)
    draining: bool = field(default=False, init=False)
    bridges: set[Bridge] = field(factory=set, init=False)

    def exchange(
        self,
        request_id: str,
        method: bytes,
        path: bytes,
        *,
        websocket: bool,
        grant: Grant | None = None,
    ) -> Exchange:
        """Begin an exchange; ``path`` is the agent's, without the query."""
        exchange = Exchange(
            request_id,
            self.provider.name,
            method.decode("ascii"),
            path.decode("ascii"),
            seconds=self.seconds,
            observers=self.observers,
            complain=self.complain,
            transport="websocket" if websocket else "http",
            grant=grant,
        )
        exchange.run = exchange.run or self.run
        return exchange

    def charge(self, size: int) -> None:
        """An agent has sent so many bytes that nobody had been told of before."""
        if self.metering is not None:
            self.metering.rates.charge(self.provider.name, size)

    def agent_left(self, peer: str) -> None:
        """A connection of an agent, or the WebSocket that it became, is over."""
        self.census.agent_left()
        self.peers.left(peer)

    def error_answer(self, error: ProxyError, request_id: str) -> tuple[Fields, bytes]:
        """An error in the provider's dialect: the header lines and the body."""
        fields: Fields = [
            (b"Content-Type", b"application/json"),
            (b"x-request-id", request_id.encode("ascii")),
            (b"x-apiproxy-error", error.code.encode("ascii")),
            *error.fields,
        ]
        if not error.retriable:
            fields.append((b"x-should-retry", b"false"))
        return fields, self.provider.dialect.render(error, request_id)
