"""Which exchanges are under way: kept only where somebody may ask."""

from apiproxy.core.exchange import ASKED, CLOSED, Exchange
from apiproxy.core.stopping import LiveExchange


class Roster:
    """The observer that knows all live exchanges."""

    phases = (ASKED, CLOSED)

    def __init__(self) -> None:
        """Nothing is under way."""
        # By themselves: their ids are chosen by agents, and two may have the same.
        self._live: dict[Exchange, None] = {}

    def observe(self, exchange: Exchange) -> None:
        """Take it in, and out."""
        if exchange.phase is ASKED:
            self._live[exchange] = None
        else:
            self._live.pop(exchange, None)

    def shown(self) -> list[LiveExchange]:
        """All of them as they are now, the oldest first."""
        return [LiveExchange.of(exchange) for exchange in self._live]

    def __repr__(self) -> str:
        return f"<Roster of {len(self._live)}>"
