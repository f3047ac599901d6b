"""The front, with workers that are no processes."""

import json
import os
import socket
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import Origin, Settings
from apiproxy.listening import PortTaken
from apiproxy.outside import Outside
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report
from apiproxy.telemetry.tally import Tally
from apiproxy.workers import folder, messages
from apiproxy.workers.front import Front
from apiproxy.workers.messages import Message
from apiproxy.workers.place import EXIT_UNUSABLE
from tests.kit.workers import FakeWorkers
from tests.test_service import settings


class FrontCase(SynchronousTestCase):
    """A front of two workers that have been started."""

    def setUp(self) -> None:
        self.workers = FakeWorkers()
        self.reactor = self.workers.reactor
        self.addCleanup(self.workers.close)
        os.makedirs(place := self.mktemp())
        self.patch(folder, "PLACES", (place,))
        self.lines: list[bytes] = []
        self.notified: list[str] = []
        self.given_up = 0
        self.origin = Origin.of({"A": "b"}, None)

    def front(self, **variables: str) -> Front:
        self.settings = settings(APIPROXY_WORKERS="2", **variables)
        self.made = Front(
            self.settings,
            self.workers.as_reactor,
            LineLog(self.lines.append, level="info", now=float),
            self.workers.launch,
            lambda: self.origin,
            Outside(
                notify=self.notified.append,
                dropped=lambda: 3,
                give_up=self.give_up,
            ),
        )
        return self.made

    def serve(self, origin: Origin) -> messages.Serve:
        """What a worker is told that asks."""
        return messages.Serve(origin, self.made.office.ledger)

    def give_up(self) -> None:
        self.given_up += 1

    def started(self, **variables: str) -> Front:
        """One whose workers are ready."""
        front = self.front(**variables)
        front.startService()
        for at in range(2):
            self.workers.says(messages.Begin(), at)
            self.assertEqual(self.workers.heard(at), [self.serve(self.origin)])
        for at in range(2):
            self.workers.says(messages.Ready(), at)
        return front

    def stopped(self) -> "Deferred[None]":
        stopping = self.made.stopService()
        self.reactor.advance(0)
        return stopping

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.lines) if line["event"] == event]

    def heard(self, at: int = -1) -> list[str]:
        """The names of what a worker was told."""
        return [type(message).__name__ for message in self.workers.heard(at)]

    def accepting(self) -> set[bool]:
        return {port.open for port in self.reactor.listening}

    def connect(self, port: int = 0) -> bool:
        """An agent connects; whether it is let in."""
        at = self.reactor.listening[port]
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        protocol = at.factory.buildProtocol(None)
        if protocol is None:
            ours.close()
            return False
        protocol.makeConnection(at.transport(ours, protocol, ("", 0), at, 0, None))
        return True


class StartTests(FrontCase):
    def test_it_is_up_when_all_workers_are(self) -> None:
        """Then agents are let in, the service manager is told, and it is said, once."""
        front = self.front()
        front.privilegedStartService()
        self.assertEqual(len(self.logged("listening")), 6)
        self.assertEqual(self.workers.processes, [])
        front.startService()
        self.assertEqual([each.number for each in self.workers.processes], [0, 1])
        self.workers.says(messages.Ready(), 1)
        self.assertEqual((self.notified, self.accepting()), ([], {False}))
        self.workers.says(messages.Ready(), 0)
        self.assertEqual((self.notified, self.accepting()), (["READY=1"], {True}))
        (up,) = [line for line in self.logged("startup") if line["level"] == "info"]
        self.assertEqual((up["message"], up["workers"]), ("apiproxy is up", 2))

    def test_a_port_that_is_taken(self) -> None:
        """No worker is started for that."""

        def taken(*_: object, **__: object) -> None:
            raise CannotListenError("", 10000, OSError("taken"))

        self.patch(self.reactor, "listenTCP", taken)
        self.assertRaises(PortTaken, self.front().startService)
        self.assertEqual(self.workers.processes, [])

    def test_a_worker_whose_settings_make_no_sense(self) -> None:
        """At start, that ends the service; later it is tried again."""
        self.front().startService()
        self.workers.dies(0, code=EXIT_UNUSABLE)
        self.assertEqual(self.given_up, 1)
        self.reactor.advance(60)
        self.assertEqual(len(self.workers.processes), 2)

    def test_a_worker_that_breaks_at_start(self) -> None:
        """Another is tried, whatever its exit code; it is the settings that end it all."""
        for code, signal in ((0, 11), (1, None)):
            self.setUp()
            self.breaks(code, signal)

    def breaks(self, code: int, signal: int | None) -> None:
        self.front().startService()
        self.workers.dies(0, code=code, signal=signal)
        self.reactor.advance(0.1)
        self.assertEqual((self.given_up, len(self.workers.processes)), (0, 3))
        self.workers.says(messages.Ready(), 1)
        self.workers.says(messages.Ready(), 2)
        self.assertEqual(self.notified, ["READY=1"])


class ConnectionTests(FrontCase):
    def test_each_gets_its_half(self) -> None:
        """And the limit holds for both together."""
        front = self.started(APIPROXY_MAX_CONNECTIONS="4")
        self.assertEqual([self.connect() for _ in range(5)], [True] * 4 + [False])
        self.assertEqual([place.load for place in front.places], [2, 2])

    def test_a_worker_is_lost(self) -> None:
        """It is logged and replaced; its connections count no more, others get the next."""
        front = self.started(APIPROXY_MAX_CONNECTIONS="4")
        for _ in range(4):
            self.connect()
        self.workers.dies(0, signal=9)
        (line,) = self.logged("worker_lost")
        shown = [line[name] for name in ("worker", "signal", "exit_code", "level")]
        self.assertEqual(shown, [0, 9, None, "error"])
        self.assertEqual(line["restart_seconds"], 0.1)
        self.assertTrue(self.connect())
        self.assertEqual([place.load for place in front.places], [0, 3])
        self.reactor.advance(0.1)
        self.workers.says(messages.Ready())
        self.connect()
        self.assertEqual([place.load for place in front.places], [1, 3])

    def test_no_worker_is_there(self) -> None:
        """Agents wait outside until there is one, and a service that is up stays up."""
        self.started()
        self.workers.dies(0, code=1)
        self.assertEqual(self.accepting(), {True})
        self.workers.dies(1, code=1)
        self.assertEqual((self.accepting(), self.given_up), ({False}, 0))
        self.connect()  # it was accepted in the same moment
        self.reactor.advance(0.1)
        self.workers.says(messages.Ready())
        self.assertEqual(self.accepting(), {True})
        self.assertEqual(sum(place.load for place in self.made.places), 1)
        self.assertEqual(self.notified, ["READY=1"])

    def test_a_worker_that_is_stuck(self) -> None:
        """It gets nothing more as long as it does not answer, unless all are stuck."""
        front = self.started()
        self.reactor.advance(5)  # all are asked for their figures
        (tell,) = self.workers.heard(1)
        assert isinstance(tell, messages.Tell)
        answer = messages.Telling(tell.round, Report(version="1", uptime=1.0))
        self.workers.says(answer, 1)
        self.reactor.advance(1)
        for _ in range(4):
            self.connect()
        self.assertEqual([place.load for place in front.places], [0, 4])
        self.workers.says(answer, 0)
        for _ in range(4):
            self.connect()
        self.assertEqual([place.load for place in front.places], [4, 4])
        self.reactor.advance(5)
        self.reactor.advance(1)
        for _ in range(2):
            self.connect()
        self.assertEqual([place.load for place in front.places], [5, 5])

    def test_a_worker_that_is_stuck_for_long(self) -> None:
        """It is killed, so that another can take its place."""
        self.started()
        for _ in range(7):
            self.reactor.advance(5)
            for told in self.workers.heard(1):
                assert isinstance(told, messages.Tell)
                report = Report(version="1", uptime=1.0)
                self.workers.says(messages.Telling(told.round, report), 1)
            self.reactor.advance(0)
        (line,) = self.logged("worker_stuck")
        self.assertEqual((line["worker"], line["level"]), (0, "error"))
        signals = [process.signals for process in self.workers.processes]
        self.assertEqual(signals, [["KILL"], []])

    def test_a_worker_that_leaves(self) -> None:
        """It gets nothing more."""
        front = self.started()
        self.workers.says(messages.Leaving(), 0)
        self.assertEqual(self.workers.heard(0)[-1], messages.NoMore())
        for _ in range(2):
            self.connect()
        self.assertEqual([place.load for place in front.places], [0, 2])
        self.workers.says(messages.Leaving(), 1)
        self.assertEqual(self.accepting(), {False})


class FiguresTests(FrontCase):
    def test_who_asks_gets_those_of_all(self) -> None:
        """With those of the front: how many there are, and how many were replaced."""
        self.started()
        self.workers.dies(0, signal=9)
        self.reactor.advance(0.1)
        self.workers.says(messages.Ready())
        for at in (1, 2):
            self.workers.heard(at)
        self.workers.says(messages.Asking(7), 2)
        for at, number in ((1, 2), (2, 3)):
            (tell,) = self.workers.heard(at)
            assert isinstance(tell, messages.Tell)
            tallies = {"openai": Tally(requests={("GET", 2): number})}
            report = Report(
                version="1", uptime=1.0, tallies=tallies, log_lines_dropped=1
            )
            self.workers.says(messages.Telling(tell.round, report), at)
        (told,) = self.workers.heard(2)
        assert isinstance(told, messages.Told)
        whole = told.report
        self.assertEqual(told.id, 7)
        self.assertEqual(whole.tallies["openai"].requests, {("GET", 2): 5})
        self.assertEqual((whole.workers, whole.restarts), (2, 1))
        self.assertEqual(whole.log_lines_dropped, 5)
        self.assertEqual(whole.keys, {"complete": False, "results": {}})
        self.assertEqual(self.workers.heard(1), [])


class KeyTests(FrontCase):
    def tried(self, how: str, *, refused: bool) -> None:
        self.started(APIPROXY_VALIDATE_KEYS=how)
        (asked,) = self.workers.heard(0)
        self.assertEqual(self.heard(1), [])
        self.workers.says(self.answer(asked, refused=refused), 0)

    def answer(self, asked: Message, *, refused: bool) -> Message:
        assert isinstance(asked, messages.TryKeys)
        keys = {"complete": True, "results": {"openai": {"status": "x"}}}
        return messages.KeysTried(asked.id, keys, refused)

    def test_one_worker_tries_them(self) -> None:
        """If anybody should."""
        self.started(APIPROXY_VALIDATE_KEYS="off")
        self.assertEqual([self.heard(0), self.heard(1)], [[], []])

    def test_only_strict_ends_the_service(self) -> None:
        """And only if a key is refused."""
        for how, refused, given_up in (
            ("warn", True, 0),
            ("strict", False, 0),
            ("strict", True, 1),
        ):
            self.setUp()
            self.tried(how, refused=refused)
            self.assertEqual(self.given_up, given_up)
            said = self.logged("key_validation_strict_exit")
            self.assertEqual(len(said), given_up)

    def test_a_stop_is_not_hurried(self) -> None:
        """By a key that is refused when it is under way."""
        self.started(APIPROXY_VALIDATE_KEYS="strict")
        (asked,) = self.workers.heard(0)
        stopping = self.stopped()
        self.workers.says(self.answer(asked, refused=True), 0)
        self.assertEqual(self.given_up, 0)
        self.assertEqual(self.logged("key_validation_strict_exit"), [])
        for at in (0, 1):
            self.workers.dies(at)
        self.successResultOf(stopping)


class ReloadTests(FrontCase):
    def test_it_is_over_when_all_have_done_it(self) -> None:
        """Then it is said, and the service manager told; keys are tried again, by one."""
        front = self.started(APIPROXY_VALIDATE_KEYS="strict")
        for at in (0, 1):
            self.workers.heard(at)
        new = settings(
            APIPROXY_WORKERS="3",
            APIPROXY_VALIDATE_KEYS="strict",
            APIPROXY_MAX_CONNECTIONS="1",
            APIPROXY_GEMINI_PORT="off",
            APIPROXY_VERTEX_PORT="17",
        )
        self.origin = Origin.of({"A": "c"}, None)
        front.reload(new)
        self.assertEqual(self.notified[1:], ["RELOADING=1"])
        for at in (0, 1):
            told = [messages.Reload(1, self.origin)]
            self.assertEqual(self.workers.heard(at), told)
        self.workers.says(messages.Reloaded(1, ok=True), 0)
        self.assertEqual(self.logged("reload"), [])
        self.workers.says(messages.Reloaded(1, ok=True), 1)
        self.assertEqual(self.notified[1:], ["RELOADING=1", "READY=1"])
        said = [line["message"] for line in self.logged("reload")]
        self.assertEqual(said.count("its listener changes only by a restart"), 2)
        self.assertIn("the number of workers changes only by a restart", said)
        self.assertEqual(said[-1], "settings are in force")
        (asked,) = self.workers.heard(0)
        assert isinstance(asked, messages.TryKeys)
        self.workers.says(messages.KeysTried(asked.id, {}, True), 0)
        self.assertEqual(self.given_up, 0)
        self.assertEqual([self.connect(), self.connect()], [True, False])
        listens = {one.name: one.port for one in front.settings.providers}
        self.assertEqual((listens["gemini"], listens["vertex"]), (10003, 10005))
        self.assertEqual(front.settings.workers, 2)

    def test_a_worker_that_ends_meanwhile(self) -> None:
        """Nobody waits for it."""
        front = self.started()
        front.reload(self.settings)
        self.workers.says(messages.Reloaded(1, ok=True), 0)
        self.workers.dies(1, signal=9)
        self.assertEqual(self.logged("reload")[-1]["message"], "settings are in force")

    def test_the_next_worker_has_what_is_in_force(self) -> None:
        """What has been read and accepted, not what files hold when it starts."""
        self.started()
        inforce, self.origin = self.origin, Origin.of({"A": "nonsense"}, None)
        self.workers.dies(0, signal=9)
        self.reactor.advance(0.1)
        self.workers.says(messages.Begin())
        self.assertEqual(self.workers.heard(), [self.serve(inforce)])

    def test_two_in_a_row(self) -> None:
        """Only the second counts; answers to the first are none to it."""
        front = self.started()
        front.reload(self.settings)
        front.reload(self.settings)
        for at in (0, 1):
            self.workers.says(messages.Reloaded(1, ok=True), at)
        self.assertEqual(self.notified[1:], ["RELOADING=1", "RELOADING=1"])
        for at in (0, 1):
            self.workers.says(messages.Reloaded(2, ok=True), at)
        self.assertEqual(self.notified[-1], "READY=1")
        said = [line["message"] for line in self.logged("reload")]
        self.assertEqual(said.count("settings are in force"), 1)

    def test_a_worker_that_could_not(self) -> None:
        """It is named, ends in order, and is replaced; nothing is said to be in force."""
        front = self.started()
        front.reload(self.settings)
        for at in (0, 1):
            self.workers.heard(at)
        self.workers.says(messages.Reloaded(1, ok=False), 0)
        self.workers.says(messages.Reloaded(1, ok=True), 1)
        (line,) = self.logged("reload")
        self.assertEqual((line["level"], line["worker"]), ("error", 0))
        self.assertEqual([self.heard(0), self.heard(1)], [["Drain"], []])
        self.assertEqual([place.ready for place in front.places], [False, True])
        self.assertEqual(self.notified[-1], "READY=1")
        self.workers.dies(0)
        self.reactor.advance(0.1)
        self.assertEqual(len(self.workers.processes), 3)

    def test_a_worker_that_did_not_answer(self) -> None:
        """It is named, killed, and replaced; nothing is said to be in force."""
        front = self.started()
        front.reload(self.settings)
        self.workers.says(messages.Reloaded(1, ok=True), 0)
        self.reactor.advance(10)
        (line,) = self.logged("reload")
        self.assertEqual((line["level"], line["worker"]), ("error", 1))
        self.assertEqual(self.workers.processes[1].signals, ["KILL"])

    def test_a_stop_overtakes_it(self) -> None:
        """Nobody is waited for, and nobody killed."""
        front = self.started()
        front.reload(self.settings)
        stopping = self.stopped()
        self.reactor.advance(10)
        self.assertEqual(self.workers.processes[1].signals, [])
        for at in (0, 1):
            self.workers.dies(at)
        self.successResultOf(stopping)

    def test_before_it_is_up(self) -> None:
        """The service manager is not told that it is ready when it is not."""
        front = self.front()
        front.startService()
        self.workers.says(messages.Begin(), 0)
        self.workers.heard(0)
        self.origin = Origin.of({"A": "c"}, None)
        front.reload(self.settings)
        self.assertEqual([self.heard(0), self.heard(1)], [["Reload"], []])
        self.workers.says(messages.Reloaded(1, ok=True), 0)
        self.assertEqual(self.notified, [])
        self.workers.says(messages.Begin(), 1)
        self.assertEqual(self.workers.heard(1), [self.serve(self.origin)])

    def test_settings_of_another_shape(self) -> None:
        """A provider that is gone keeps its listener and loses its key."""
        front = self.started()
        front.reload(evolve(self.settings, providers=()))
        self.assertEqual(len(front.settings.providers), 6)
        self.assertEqual(front.settings.secrets, [])
        self.assertIsInstance(front.settings, Settings)


class StopTests(FrontCase):
    def test_workers_stop_first(self) -> None:
        """Nobody is let in meanwhile; it ends when they have."""
        self.started()
        stopping = self.stopped()
        self.assertEqual({port.closed for port in self.reactor.listening}, {True})
        self.assertEqual([self.heard(0), self.heard(1)], [["Drain"], ["Drain"]])
        self.assertEqual(self.notified[1:], ["STOPPING=1"])
        self.workers.says(messages.Leaving(), 0)
        self.workers.says(messages.Drained(True), 0)
        self.workers.dies(0)
        self.assertNoResult(stopping)
        self.workers.says(messages.Drained(True), 1)
        self.workers.dies(1)
        self.successResultOf(stopping)
        messages_ = [line["message"] for line in self.logged("shutdown")]
        self.assertEqual(messages_, ["draining", "all exchanges ended"])
        self.assertEqual(self.logged("worker_lost"), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_live_exchanges_were_aborted(self) -> None:
        """In one of them is enough; so is one that ended in another way."""
        for drained, code in ((False, 0), (True, 3)):
            self.setUp()
            self.started()
            stopping = self.stopped()
            self.workers.says(messages.Drained(True), 0)
            self.workers.says(messages.Drained(drained), 1)
            self.workers.dies(0, code=code)
            self.workers.dies(1)
            self.successResultOf(stopping)
            last = self.logged("shutdown")[-1]["message"]
            self.assertEqual(last, "live exchanges were aborted")

    def test_figures_during_a_stop(self) -> None:
        """Who asks, of the agents that are still served, gets those of all that run."""
        self.started()
        stopping = self.stopped()
        for at in (0, 1):
            self.workers.says(messages.Leaving(), at)
            self.workers.heard(at)
        self.workers.says(messages.Asking(3), 0)
        for at in (0, 1):
            (tell,) = self.workers.heard(at)
            assert isinstance(tell, messages.Tell)
            report = Report(version="1", uptime=1.0)
            self.workers.says(messages.Telling(tell.round, report), at)
        (told,) = self.workers.heard(0)
        assert isinstance(told, messages.Told)
        self.assertEqual((told.id, told.report.workers), (3, 2))
        for at in (0, 1):
            self.workers.dies(at)
        self.successResultOf(stopping)

    def test_a_hurry(self) -> None:
        """Workers are told, and killed if that does not help."""
        front = self.started()
        stopping = self.stopped()
        front.hurry()
        self.assertEqual(self.heard(0), ["Drain", "Hurry"])
        self.reactor.advance(5)
        self.assertEqual([p.signals for p in self.workers.processes], [["KILL"]] * 2)
        for at in (0, 1):
            self.workers.dies(at, signal=9)
        self.successResultOf(stopping)
        front.hurry()

    def test_a_hurry_that_comes_early(self) -> None:
        """Two quick signals are two."""
        front = self.started()
        front.hurry()
        self.assertNoResult(self.stopped())
        self.assertEqual(self.heard(0), ["Hurry"])

    def test_a_worker_that_does_not_end(self) -> None:
        """It is killed when the grace and a little more are over."""
        self.started(APIPROXY_GRACE_SECONDS="7")
        stopping = self.stopped()
        self.workers.dies(0)
        self.reactor.advance(11.9)
        self.assertEqual(self.workers.processes[1].signals, [])
        self.reactor.advance(0.1)
        self.assertEqual(self.workers.processes[1].signals, ["KILL"])
        self.workers.dies(1, signal=9)
        self.successResultOf(stopping)

    def test_before_there_are_workers(self) -> None:
        """It ends at once, and starts none."""
        front = self.front()
        waiting: list[Any] = []
        self.patch(self.reactor, "callWhenRunning", waiting.append)
        front.startService()
        self.successResultOf(self.stopped())
        waiting[0]()
        self.assertEqual(self.workers.processes, [])

    def test_a_worker_between_two_lives(self) -> None:
        """It is not started again; one that gets ready too late serves nobody."""
        front = self.started()
        self.workers.dies(0, signal=9)
        stopping = self.stopped()
        self.workers.says(messages.Ready(), 1)
        self.assertFalse(front.places[1].ready)
        self.workers.dies(1)
        self.successResultOf(stopping)
        self.reactor.advance(60)
        self.assertEqual(len(self.workers.processes), 2)
