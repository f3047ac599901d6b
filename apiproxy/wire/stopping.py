"""What an operator stops: it ends now, and says so where the agent's client would hear it.

A request that waits for its answer gets the error. A stream ends with the event that the
provider's own clients know, which can only stand between two events; so does a WebSocket,
between two messages. Most of them are there when they are told. One that is not has a moment
to get there, and is cut off when that has passed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import CLOSED, Exchange
from apiproxy.wire.channel import AgentChannel
from apiproxy.wire.entrance import Entrance
from apiproxy.wire.relay import Relay
from apiproxy.wire.route import Route

_MOMENT_SECONDS = 0.08


class Listener(Protocol):
    """A port, as far as something is under way there.

    Attributes:
        route: has the open WebSockets.
        channels: the connections of agents.
    """

    route: Route
    channels: set[AgentChannel]


class Underway(Protocol):
    """Something that can be stopped."""

    @property
    def exchange(self) -> Exchange:
        """Its story."""

    def stop(self, error: ProxyError) -> None:
        """End it as soon as it can say why."""

    def halt(self, error: ProxyError) -> None:
        """End it at once."""


class Stopping:
    """Ends what is under way on all listeners; a ``core.stopping.Stopper``."""

    def __init__(
        self, sites: Callable[[], Iterable[Listener]], clock: IReactorTime
    ) -> None:
        """Nothing is stopped.

        Args:
            sites: gives the listeners.
            clock: for the moment that some of them get.
        """
        self._sites = sites
        self._clock = clock

    def stop(self, match: Callable[[Exchange], bool], error: ProxyError) -> int:
        """End every exchange that is meant; see ``core.stopping.Stopper``."""
        meant = [each for each in self._underway() if match(each.exchange)]
        for each in meant:
            each.stop(error)
        late = [each for each in meant if each.exchange.phase is not CLOSED]
        if late:
            self._clock.callLater(_MOMENT_SECONDS, _halt, late, error)
        return len(meant)

    def _underway(self) -> Iterator[Underway]:
        """All that has not ended."""
        for site in self._sites():
            for channel in site.channels:
                server = None if channel.request is None else channel.request.server
                if isinstance(server, Relay | Entrance):
                    yield server
            for bridge in site.route.bridges:
                if bridge.exchange.phase is not CLOSED:
                    yield bridge

    def __repr__(self) -> str:
        return "<Stopping>"


def _halt(late: Iterable[Underway], error: ProxyError) -> None:
    """They have had their moment."""
    for each in late:
        if each.exchange.phase is not CLOSED:
            each.halt(error)
