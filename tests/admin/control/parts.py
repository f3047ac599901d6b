"""A service as the control socket sees it."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from apiproxy.admin.control.sources import Sources
from apiproxy.core.exchange import Exchange
from apiproxy.core.stopping import LiveExchange, StopOrder
from apiproxy.policy.ledger import Later, LedgerUnavailable, Standing


class Service:
    """Notes what it is told to do.

    Attributes:
        story: what it was told.
        standings: what its ledger has.
        later: whether answers come later: then they wait here until they are wanted.
        away: whether its ledger is.
        problems: of its settings.
    """

    def __init__(self) -> None:
        self.story: list[object] = []
        self.logged: list[dict[str, object]] = []
        self.standings = [Standing("run:r1", "runs", 3, 1)]
        self.caps = {("run:r1", "runs"): 5}
        self.later: list[tuple[Deferred[Any], object]] | None = None
        self.away = False
        self.problems: Sequence[str] = ()
        self.sources = Sources(
            run=lambda: "r1",
            exchanges=lambda: [LiveExchange.of(self.exchange())],
            standings=lambda: self.known(list(self.standings)),
            configured=lambda account, measure: self.caps.get((account, measure)),
            set_cap=self.set_cap,
            rates=lambda: {"openai": {"enabled": True}},
            coverage=lambda: self.known({"openai": {}}),
            settings=lambda: {"workers": 1},
            stop=self.stop,
            drain=lambda: self.story.append("drain"),
            reload=lambda: self.known(self.problems),
        )

    def log(self, level: str, event: str, /, **fields: object) -> None:
        """As ``LineLog.log``."""
        self.logged.append({"level": level, "event": event, **fields})

    def exchange(self) -> Exchange:
        return Exchange("id-1", "openai", "POST", "/v1/responses", seconds=float)

    def known(self, value: Any) -> Later[Any]:
        """The value now or later."""
        if self.later is None:
            return value
        waiting: Deferred[Any] = Deferred()
        self.later.append((waiting, value))
        return waiting

    def tell(self) -> None:
        """All that waits becomes known, and all that waits after that."""
        while self.later:
            waiting, value = self.later.pop(0)
            waiting.callback(value)

    def set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None
    ) -> Later[None]:
        if self.away:
            raise LedgerUnavailable("the ledger is away")
        self.story.append((account, measure, cap, until))
        others = [
            one
            for one in self.standings
            if (one.account, one.measure) != (account, measure)
        ]
        self.standings = [*others, Standing(account, measure, 3, 1, cap, until)]
        return self.known(None)

    def stop(self, order: StopOrder) -> Later[int]:
        self.story.append(order)
        return self.known(int(order.matches(self.exchange())))
