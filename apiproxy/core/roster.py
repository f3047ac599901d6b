"""Which exchanges are under way: kept only where somebody may ask."""

from itertools import islice

from apiproxy.core.exchange import ASKED, Exchange, Lives
from apiproxy.core.stopping import LiveExchange

MOST_SHOWN = 4096
"""Exchanges that are shown; the oldest, which are the ones somebody wonders about."""


class Roster(Lives):
    """The observer that knows all live exchanges."""

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
        """The oldest of them as they are now, the oldest first."""
        return [LiveExchange.of(each) for each in islice(self._live, MOST_SHOWN)]

    def __repr__(self) -> str:
        return f"<Roster of {len(self._live)}>"
