"""Open WebSockets of callers that would be let in no more.

A token is looked at when a request comes. A WebSocket is one request, however long it is open
and however much is asked in it, so whoever opened one in time could ask for days. So once a
tick each of them is held against the list of callers that is in force: its token may have
ended, or stand in the list no longer. An answer over HTTP ends by itself.
"""

from collections.abc import Callable, Iterable, Iterator

from apiproxy.core.errors import CallerExpired
from apiproxy.core.exchange import Exchange
from apiproxy.wire.stopping import Listener, Stopping


class Lapse:
    """Closes them."""

    def __init__(
        self, sites: Callable[[], Iterable[Listener]], stopping: Stopping
    ) -> None:
        """Nothing is closed.

        Args:
            sites: gives the listeners.
            stopping: ends what is under way.
        """
        self._sites = sites
        self._stopping = stopping

    def look(self, now: float) -> None:
        """Close those that are open and should not be (see ``wire.watch``)."""
        lapsed = set(self._lapsed())
        if lapsed:
            self._stopping.stop(lapsed.__contains__, CallerExpired())

    def _lapsed(self) -> Iterator[Exchange]:
        for site in self._sites():
            callers = site.route.callers
            if callers is None:
                continue
            for bridge in site.route.bridges:
                exchange, grant = bridge.exchange, bridge.exchange.grant
                if grant is not None and not callers.keeps(grant, exchange.provider):
                    yield exchange

    def __repr__(self) -> str:
        return "<Lapse>"
