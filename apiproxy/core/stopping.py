"""An operator's word that something under way is to end now, and what ends it."""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import Exchange
from apiproxy.core.grant import listed

What: TypeAlias = Literal["run", "caller", "exchange", "provider", "all"]


class StopOrder(Struct, frozen=True):
    """What is to end. It can be sent to other processes.

    Attributes:
        what: kind of the name.
        name: of a run, a caller, an exchange (its request id) or a provider; empty for all.
    """

    what: What
    name: str = ""

    def matches(self, exchange: Exchange) -> bool:
        """Whether this exchange is meant."""
        if self.what == "all":
            return True
        if self.what == "exchange":
            return exchange.id == self.name
        if self.what == "caller":
            return self.name in (exchange.caller, listed(exchange.caller))
        return bool(getattr(exchange, self.what) == self.name)


class Stopper(Protocol):
    """Ends what is under way; the wire is one."""

    def stop(self, match: Callable[[Exchange], bool], error: ProxyError) -> int:
        """End every exchange that is meant, now.

        A stream and a WebSocket get the event by which the provider's own clients know that
        it is over; a request that waits for its answer gets the error as its answer.

        Args:
            match: whether an exchange is meant.
            error: why.

        Returns:
            How many have been ended.
        """


class LiveExchange(Struct, frozen=True):
    """An exchange that is under way, as it is shown.

    Attributes:
        id: the request id.
        provider: the listener's name.
        caller: who asked; empty if callers are not told apart.
        run: whose budget it is on.
        model: that was asked for; empty for none.
        transport: ``http`` or ``websocket``.
        method: of the agent's request.
        path: of the agent's request, without the query.
        phase: how far it is.
        status: what the agent got; 0 as long as it got nothing.
        age_seconds: since it began.
        bytes_up: sent to the provider.
        bytes_down: sent to the agent.
    """

    id: str
    provider: str
    caller: str
    run: str
    model: str
    transport: str
    method: str
    path: str
    phase: str
    status: int
    age_seconds: float
    bytes_up: int
    bytes_down: int

    @classmethod
    def of(cls, exchange: Exchange) -> "LiveExchange":
        """As this one is now."""
        return cls(
            id=exchange.id,
            provider=exchange.provider,
            caller=exchange.caller,
            run=exchange.run,
            model=exchange.model,
            transport=exchange.transport,
            method=exchange.method[:32],
            path=exchange.path[:512],
            phase=exchange.phase.name.lower(),
            status=exchange.status,
            age_seconds=round(exchange.age, 3),
            bytes_up=exchange.bytes_up,
            bytes_down=exchange.bytes_down,
        )
