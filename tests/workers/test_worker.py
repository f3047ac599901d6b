"""A worker, without a front and without a process."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import ConfigurationError, Origin, Settings
from apiproxy.core.stopping import StopOrder
from apiproxy.ledger.open import InFolder, Nowhere
from apiproxy.policy.rate import RateLimits
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report
from apiproxy.telemetry.tally import Tally
from apiproxy.workers import messages, worker
from apiproxy.workers.handover import Outlet, label
from apiproxy.workers.messages import Message, encode
from apiproxy.workers.shares import SharedCensus, Shares
from apiproxy.workers.worker import Inherited, Worker
from tests.kit.memory import MemoryTransport, get
from tests.kit.workers import FakeReactor, sent
from tests.test_service import settings

ORIGIN = Origin.of({"A": "b"}, None)


class WorkerCase(SynchronousTestCase):
    """A worker that serves, number 1 of two."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.lines: list[bytes] = []
        self.ended = 0
        self.shares = Shares.make(2, RateLimits.size(6, 2))
        self.problems: list[str] = []
        self.next_settings = settings()
        outlet, self.inlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.outlet = Outlet(outlet)
        self.addCleanup(outlet.close)
        self.addCleanup(self.inlet.close)
        self.worker = self.made(settings())
        self.worker.startService()
        self.channel = self.reactor.adopted[0]

    def made(self, chosen: Settings) -> Worker:
        ours, theirs = socket.socketpair()
        theirs.close()
        reactor: Any = self.reactor
        return Worker(
            chosen,
            reactor,
            LineLog(self.lines.append, level="info", now=float),
            Inherited(1, ours, self.inlet, self.shares),
            self.remake,
            self.end,
            dropped=lambda: 2,
        )

    def end(self) -> None:
        self.ended += 1

    def remake(self, origin: Origin) -> Settings:
        self.assertEqual(origin, ORIGIN)
        if self.problems:
            raise ConfigurationError(self.problems)
        return self.next_settings

    def hears(self, message: Message) -> None:
        """The front says something."""
        self.channel.stringReceived(encode(message))

    def said(self) -> list[Message]:
        """What the worker has said since it was last asked about."""
        return sent(self.channel)

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.lines]

    def agent(self) -> MemoryTransport:
        """An agent connects."""
        channel = self.worker.sites["openai"].buildProtocol(None)
        assert channel is not None
        return MemoryTransport(channel, clock=self.reactor)

    def turn(self, seconds: float = 0) -> None:
        for _ in range(5):
            self.reactor.advance(0)
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)


class LifeTests(WorkerCase):
    def test_it_serves(self) -> None:
        """It says so to the front, and to nobody else; it listens on nothing."""
        self.assertEqual(self.said(), [messages.Ready()])
        self.assertEqual((self.reactor.listening, self.events()), ([], []))
        agent = self.agent()
        agent.deliver(get("/reflect"))
        self.assertTrue(agent.written.startswith(b"HTTP/1.1 200 "))
        self.assertEqual(self.shares.agents, 1)

    def test_it_takes_connections(self) -> None:
        """That come by the inlet; those that come to nothing do not count."""
        (inlet,) = self.reactor.getReaders()
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        with ours:
            self.outlet.give(ours, label(ours, "openai"))
            self.outlet.give(ours, label(ours, "a-provider-that-is-gone"))
        inlet.doRead()
        self.assertEqual(len(self.reactor.adopted), 2)
        self.assertEqual((self.shares.agents, self.shares.left(1)), (1, 1))

    def test_limits_of_all(self) -> None:
        """What others have under way counts here, too."""
        other = SharedCensus(self.shares, 0)
        site = self.worker.sites["openai"]
        self.assertIsNone(site.busy())
        other.agent_came()
        self.assertIs(self.worker.census.agents, 1)
        self.assertIsInstance(self.worker.census, SharedCensus)

    def test_a_stop(self) -> None:
        """The front hears the last figures and how it ended; nothing is logged here."""
        self.said()
        self.hears(messages.Drain())
        self.assertEqual(self.ended, 1)
        stopping = self.worker.stopService()
        self.turn(0.2)
        self.assertEqual(self.said(), [messages.Leaving()])
        self.hears(messages.NoMore())
        self.turn(0.3)
        last, drained = self.said()
        assert isinstance(last, messages.Telling)
        self.assertEqual((last.round, last.report.log_lines_dropped), (0, 2))
        self.assertEqual(drained, messages.Drained(in_order=True))
        self.assertNoResult(stopping)
        self.channel.connectionLost()
        self.successResultOf(stopping)
        self.assertEqual((self.events(), self.reactor.getReaders()), ([], []))

    def test_connections_on_their_way_when_it_stops(self) -> None:
        """They were given before the front knew; they are served, what they asked included."""
        stopping = self.worker.stopService()
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        with ours:
            self.outlet.give(ours, label(ours, "openai"))
        self.assertEqual(len(self.reactor.adopted), 1)
        self.hears(messages.NoMore())
        self.hears(messages.NoMore())
        self.assertEqual(len(self.reactor.adopted), 2)
        agent = self.reactor.adopted[1]
        agent.dataReceived(get("/reflect"))
        self.assertIn(b"HTTP/1.1 200 ", agent.transport.value())
        agent.connectionLost(Failure(connectionDone.value))
        self.turn(1.5)
        self.successResultOf(stopping)

    def test_a_front_that_does_not_let_it_go(self) -> None:
        """It is not waited for, for more than a second."""
        stopping = self.worker.stopService()
        self.turn(2.5)
        self.assertIn(messages.Drained(in_order=True), self.said())
        self.successResultOf(stopping)

    def test_a_hurry(self) -> None:
        """What is under way is told, and ended."""
        agent = self.agent()
        agent.deliver(get())
        self.hears(messages.Hurry())
        self.assertEqual(self.ended, 1)
        stopping = self.worker.stopService()
        self.hears(messages.NoMore())
        self.turn(0.5)
        self.assertIn(b"shutting_down", agent.written)
        self.assertIn(messages.Drained(in_order=False), self.said())
        self.turn(1)
        self.successResultOf(stopping)

    def test_the_front_is_gone(self) -> None:
        """Then it ends, in order."""
        stopping = self.worker.stopService()
        self.channel.connectionLost()
        self.assertEqual(self.ended, 1)
        self.turn(0.5)
        self.successResultOf(stopping)


class FiguresTests(WorkerCase):
    def asked(self, target: str = "/metrics") -> tuple[MemoryTransport, int]:
        """An agent that asks for figures, and the question that goes to the front."""
        self.said()
        agent = self.agent()
        agent.deliver(get(target))
        self.assertEqual(agent.written, b"")
        (asking,) = self.said()
        assert isinstance(asking, messages.Asking)
        return agent, asking.id

    def whole(self) -> Report:
        tallies = {"openai": Tally(requests={("GET", 2): 41})}
        return Report(version="1", uptime=9.0, tallies=tallies, keys={"complete": True})

    def test_figures_of_all(self) -> None:
        """They come from the front; here they are shown."""
        agent, number = self.asked()
        self.hears(messages.Told(number + 100, self.whole()))
        self.assertEqual(agent.written, b"")
        self.hears(messages.Told(number, self.whole()))
        self.assertIn(b'"requests_total:openai:GET:2xx":41', agent.written)
        self.hears(messages.Told(number, self.whole()))
        agent, number = self.asked("/health")
        self.hears(messages.Told(number, self.whole()))
        self.assertIn(b'"key_validation":{"complete":true}', agent.written)
        self.assertIn(b'"total_requests":41', agent.written)

    def test_its_own_figures(self) -> None:
        """The front gets them when it asks."""
        self.said()
        self.hears(messages.Tell(5))
        (telling,) = self.said()
        assert isinstance(telling, messages.Telling)
        self.assertEqual(telling.round, 5)
        self.assertEqual(telling.report.log_lines_dropped, 2)
        self.assertEqual(telling.report.keys["complete"], False)

    def test_a_front_that_does_not_answer(self) -> None:
        """Who asked gets an error after some seconds."""
        agent, number = self.asked()
        self.turn(2.9)
        self.assertEqual(agent.written, b"")
        self.turn(0.2)
        self.assertTrue(agent.written.startswith(b"HTTP/1.1 500 "))
        self.assertIn(b"did not answer in time", agent.written)
        self.hears(messages.Told(number, self.whole()))

    def test_an_agent_that_does_not_wait(self) -> None:
        """Its question is forgotten."""
        agent, number = self.asked()
        agent.close()
        self.hears(messages.Told(number, self.whole()))
        self.turn(4)
        self.assertEqual(agent.written, b"")


class OperatorTests(WorkerCase):
    """What an operator wants; the front has the socket."""

    def made(self, chosen: Settings) -> Worker:
        return super().made(settings(APIPROXY_CONTROL_SOCKET="/run/control"))

    def test_what_is_under_way(self) -> None:
        """It is told, and ended, and that is told as well."""
        self.said()
        agent = self.agent()
        agent.deliver(get())
        self.hears(messages.Show(1))
        (shown,) = self.said()
        assert isinstance(shown, messages.Shown)
        self.assertEqual((shown.id, len(shown.exchanges)), (1, 1))
        self.hears(messages.Stop(2, StopOrder("run", "another")))
        self.hears(messages.Stop(3, StopOrder("all")))
        told = [messages.Stopped(2, 0), messages.Stopped(3, 1)]
        self.assertEqual(self.said(), told)
        self.assertIn(b"stopped_by_operator", agent.written)

    def test_a_cap_that_was_set(self) -> None:
        """It looks into the ledger at once."""
        looked: list[bool] = []
        self.patch(self.worker._books, "look_at_caps", lambda: looked.append(True))
        self.hears(messages.NewCap())
        self.assertEqual(looked, [True])

    def test_no_socket(self) -> None:
        """Then nobody asks, and there is nothing to tell."""
        self.worker._roster = None
        self.said()
        self.hears(messages.Show(1))
        self.assertEqual(self.said(), [messages.Shown(1, [])])


class LedgerTests(WorkerCase):
    def test_the_ledger_of_all(self) -> None:
        """It is where the front says."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        inherited = Inherited(1, ours, theirs, self.shares)
        self.assertEqual(inherited.common.ledger, Nowhere())
        inherited.ledger = "/a/folder"
        common = inherited.common
        self.assertEqual(common.ledger, InFolder(Path("/a/folder")))
        self.assertEqual((common.worker, common.workers), (1, 2))


class KeyTests(WorkerCase):
    def test_the_front_says_when(self) -> None:
        """And hears what came out."""
        for refused in (True, False):
            self.next_settings = settings(APIPROXY_VALIDATE_KEYS="warn")
            self.hears(messages.Reload(7, ORIGIN))
            check: Deferred[None] = Deferred()

            def start(
                providers: object,
                rejected: Callable[[], None],
                refused: bool = refused,
                check: "Deferred[None]" = check,
            ) -> "Deferred[None]":
                if refused:
                    rejected()
                return check

            self.worker.keycheck.start = start  # type: ignore[method-assign]
            self.said()
            self.hears(messages.TryKeys(7))
            self.assertEqual(self.said(), [])
            self.worker.keycheck.complete = True
            check.callback(None)
            keys = {"complete": True, "results": {}}
            self.assertEqual(self.said(), [messages.KeysTried(7, keys, refused)])

    def test_a_check_that_is_given_up(self) -> None:
        """By a reload or a stop: nothing was found out, and nothing is said."""
        self.next_settings = settings(APIPROXY_VALIDATE_KEYS="strict")
        self.hears(messages.Reload(7, ORIGIN))
        check: Deferred[None] = Deferred()
        self.worker.keycheck.start = lambda *_: check  # type: ignore[method-assign]
        self.said()
        self.hears(messages.TryKeys(1))
        check.cancel()
        self.assertEqual(self.said(), [])

    def test_nobody_should(self) -> None:
        """Then there is nothing to hear."""
        self.said()
        self.hears(messages.TryKeys(1))
        self.assertEqual(self.said(), [])


class ReloadTests(WorkerCase):
    def test_other_settings(self) -> None:
        """They are in force when the front hears of it; it is the front that says so."""
        self.said()
        self.next_settings = settings(APIPROXY_MAX_BODY_BYTES="77")
        self.hears(messages.Reload(7, ORIGIN))
        self.assertEqual(self.said(), [messages.Reloaded(7, ok=True)])
        self.assertEqual(self.worker.sites["openai"].limits.body, 77)
        self.assertEqual(self.events(), [])

    def test_settings_that_make_no_sense_by_now(self) -> None:
        """They were good when the front read them; the old ones stay, and it is logged."""
        self.said()
        before = self.worker.settings
        self.problems = ["one", "two"]
        self.hears(messages.Reload(7, ORIGIN))
        self.assertEqual(self.said(), [messages.Reloaded(7, ok=False)])
        self.assertEqual(self.events(), ["reload", "reload"])
        self.assertIs(self.worker.settings, before)

    def test_a_bug(self) -> None:
        """The front hears that the settings are not in force."""
        self.said()
        self.next_settings = cast(Settings, None)
        self.hears(messages.Reload(7, ORIGIN))
        self.assertEqual(self.said(), [messages.Reloaded(7, ok=False)])
        self.assertEqual(len(self.flushLoggedErrors()), 1)


class InheritedTests(SynchronousTestCase):
    def test_it_is_taken_from_where_it_is(self) -> None:
        """Nothing of it goes on to a process that this one might start."""
        here, there = socket.socketpair()
        inlet, outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        shares = Shares.make(2)
        for end in (here, there, inlet, outlet):
            self.addCleanup(end.close)
        self.patch(worker, "CHANNEL_FD", os.dup(here.fileno()))
        self.patch(worker, "INLET_FD", os.dup(inlet.fileno()))
        self.patch(worker, "SHARES_FD", os.dup(shares.fd))
        taken = Inherited.take(1)
        self.assertEqual((taken.number, taken.shares.workers), (1, 2))
        self.assertEqual(taken.channel.family, socket.AF_UNIX)
        self.assertEqual(taken.inlet.type, socket.SOCK_SEQPACKET)
        self.assertFalse(
            taken.channel.get_inheritable() or taken.inlet.get_inheritable()
        )
        taken.channel.close()
        taken.inlet.close()
        taken.shares.close()

    def test_it_is_not_there(self) -> None:
        """Somebody has started a worker by hand."""
        self.patch(worker, "CHANNEL_FD", 1_000_000)
        self.assertRaises(OSError, Inherited.take, 0)
