"""The control socket of several processes, with workers that are no processes."""

import os
from pathlib import Path
from time import time
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import Settings
from apiproxy.core.exchange import Exchange
from apiproxy.core.stopping import LiveExchange, StopOrder
from apiproxy.ledger.memory import MemoryLedger
from apiproxy.ledger.open import InFolder, LedgerPlace
from apiproxy.policy.ledger import LedgerUnavailable, Standing
from apiproxy.policy.rate import RateLimits
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report
from apiproxy.workers import control
from apiproxy.workers.control import FrontControl
from apiproxy.workers.messages import Message, NewCap, Show, Stop
from apiproxy.workers.office import Crew
from apiproxy.workers.questions import Questions
from apiproxy.workers.shares import Shares
from tests.kit.workers import FakeReactor
from tests.test_service import settings


class Member:
    """A worker."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.told: list[Message] = []

    def send(self, message: Message) -> None:
        self.told.append(message)


def live(id: str, age: float) -> LiveExchange:
    """An exchange under way."""
    clock = iter((0.0, age))
    return LiveExchange.of(Exchange(id, "a", "GET", "/", seconds=clock.__next__))


class LaterLedger(MemoryLedger):
    """One that is on another host."""

    waiting: "Deferred[None]"

    def set_cap(self, *args: Any) -> Any:
        super().set_cap(*args)
        self.waiting = Deferred()
        return self.waiting


class FrontControlTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.members = [Member(0), Member(1)]
        self.questions = Questions(self.reactor)
        self.drained = 0
        self.ledger: MemoryLedger = MemoryLedger(time)
        self.path = os.path.abspath(self.mktemp())
        self.patch(control, "open_ledger", lambda *_, **__: self.ledger)

    def drain(self) -> None:
        self.drained += 1

    def made(self, chosen: Settings, place: LedgerPlace) -> FrontControl:
        size = RateLimits.size(len(chosen.providers), 2)
        self.shares = Shares.make(2, size)
        self.addCleanup(self.shares.close)
        reactor: Any = self.reactor
        crew = Crew(
            settings=lambda: chosen,
            members=lambda: self.members,
            shares=self.shares,
            whole=lambda: succeed(Report(version="1", uptime=0.0)),
            drain=self.drain,
            reread=lambda: ["nonsense"],
        )
        log = LineLog(lambda line: None, level="error", now=float)
        made = FrontControl(self.path, crew, place, self.questions, reactor, log)
        made.open()
        return made

    def opened(self, **variables: str) -> FrontControl:
        return self.made(settings(**variables), InFolder(Path("/nowhere")))

    def test_what_is_under_way(self) -> None:
        """That of all workers, the oldest first."""
        asked = self.opened().sources.exchanges()
        self.assertEqual(self.members[0].told, [Show(1)])
        self.questions.heard(0, 1, [live("young", 1), live("old", 9)])
        self.questions.heard(1, 1, [live("middle", 5)])
        assert isinstance(asked, Deferred)
        ids = [each.id for each in self.successResultOf(asked)]
        self.assertEqual(ids, ["old", "middle", "young"])

    def test_stop(self) -> None:
        """Every worker ends what it has of it; they are added up."""
        order = StopOrder("run", "r1")
        asked = self.opened().sources.stop(order)
        self.assertEqual([each.told for each in self.members], [[Stop(1, order)]] * 2)
        self.questions.heard(0, 1, 2)
        self.questions.heard(1, 1, 3)
        assert isinstance(asked, Deferred)
        self.assertEqual(self.successResultOf(asked), 5)

    def test_budgets(self) -> None:
        """They are those of the workers' ledger; of a new cap the workers are told."""
        sources = self.opened(AWF_MAX_RUNS="5").sources
        self.assertEqual(sources.configured("run:r1", "runs"), 5)
        sources.set_cap("run:r1", "runs", 7, None)
        self.assertEqual(sources.standings(), [Standing("run:r1", "runs", cap=7)])
        self.assertEqual([each.told for each in self.members], [[NewCap()]] * 2)

    def test_a_ledger_on_another_host(self) -> None:
        """The workers are told when the cap is there."""
        self.ledger = LaterLedger(time)
        sources = self.opened().sources
        done = sources.set_cap("run:r1", "runs", 7, None)
        self.assertEqual(self.members[0].told, [])
        self.ledger.waiting.callback(None)
        assert isinstance(done, Deferred)
        self.successResultOf(done)
        self.assertEqual(self.members[0].told, [NewCap()])

    def test_nothing_is_counted(self) -> None:
        """Then there are no budgets, and an operator is told that none can be set."""
        sources = self.opened(APIPROXY_METERING="off").sources
        self.assertEqual(sources.standings(), [])
        with self.assertRaises(LedgerUnavailable) as caught:
            sources.set_cap("run:r1", "runs", 7, None)
        self.assertIn("APIPROXY_METERING", str(caught.exception))
        self.assertEqual(self.members[0].told, [])

    def test_the_rest(self) -> None:
        """Rate limits are those of all; a drain begins when that has been said."""
        made = self.opened(AWF_RATE_LIMIT_RPM="10", AWF_RATE_LIMIT_ENABLED="1")
        chosen = settings(AWF_RATE_LIMIT_RPM="10", AWF_RATE_LIMIT_ENABLED="1")
        names = [provider.name for provider in chosen.providers]
        for worker in range(2):
            RateLimits(
                chosen.rules.rates,
                self.shares.rings,
                names,
                time,
                worker=worker,
                workers=2,
            ).admit("openai")
        sources = made.sources
        rates: Any = sources.rates()
        self.assertEqual(rates["openai"]["rpm"]["remaining"], 8)
        coverage = sources.coverage()
        assert isinstance(coverage, Deferred)
        self.assertEqual(self.successResultOf(coverage), {})
        self.assertEqual(sources.settings()["workers"], 1)
        self.assertEqual((sources.run(), sources.reload()), ("default", ["nonsense"]))
        sources.drain()
        self.assertEqual(self.drained, 0)
        self.reactor.advance(1)
        self.assertEqual(self.drained, 1)
        self.successResultOf(Deferred.fromCoroutine(made.close()))
