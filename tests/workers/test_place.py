"""A worker's place: its process, and the next one."""

import errno
import os
import socket
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.workers.line import Duties
from apiproxy.workers.messages import Drain, Ready, Tell
from apiproxy.workers.place import Ending, Place
from apiproxy.workers.shares import SharedCensus, Shares
from tests.kit.workers import FakeWorkers


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.workers = FakeWorkers()
        self.addCleanup(self.workers.close)
        self.shares = Shares.make(2)
        self.losses: list[Any] = []
        self.replace = True
        self.place = Place(
            1, self, self.shares, self.workers.as_reactor, self.workers.launch
        )

    def duties(self, place: Place) -> Duties:
        def ready(_: Ready) -> None:
            place.ready = True

        return {Ready: ready}

    def lost(self, place: Place, how: Ending) -> bool:
        self.losses.append((how.exitCode, how.signal))
        return self.replace

    def connection(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        return ours

    def test_a_worker(self) -> None:
        """It is started with its number and the ends of both lines, and can be talked to."""
        self.assertFalse(self.place.running)
        self.place.send(Tell(1))  # to nobody
        self.assertFalse(self.place.give(self.connection(), b"x"))
        self.assertEqual((self.place.load, self.place.pid), (0, None))
        self.assertEqual(repr(self.place), "<Place 1 empty, 0 agents>")
        self.place.start()
        self.assertEqual(self.workers.processes[0].number, 1)
        self.assertEqual((self.place.running, self.place.pid), (True, 100))
        self.assertEqual(repr(self.place), "<Place 1 starting, 0 agents>")
        self.workers.says(Ready())
        self.assertTrue(self.place.ready)
        self.place.send(Drain())
        self.assertEqual(self.workers.heard(), [Drain()])
        self.assertEqual(repr(self.place), "<Place 1 ready, 0 agents>")

    def test_its_load(self) -> None:
        """What was given to it and has not left, whether it has looked at it or not."""
        self.place.start()
        for _ in range(3):
            self.assertTrue(self.place.give(self.connection(), b"\x01openai"))
        self.assertEqual(self.place.load, 3)
        census = SharedCensus(self.shares, 1)
        census.agent_came()
        self.assertEqual(self.place.load, 3)
        census.agent_left()
        self.assertEqual(self.place.load, 2)

    def test_it_ends(self) -> None:
        """Once all that it said has been heard it is lost, and what it had is forgotten."""
        self.place.start()
        self.place.give(self.connection(), b"\x01openai")
        SharedCensus(self.shares, 1).agent_came()
        self.workers.processes[0].end(signal=9)
        self.assertEqual((self.losses, self.place.running), ([], True))
        self.workers.channel().connectionLost(Failure(connectionDone.value))
        self.assertEqual(self.losses, [(None, 9)])
        self.assertFalse(self.place.running)
        self.assertEqual((self.place.load, self.shares.agents), (0, 0))

    def test_the_other_order(self) -> None:
        """A worker that hangs up is not ready any more, and lost when it ends."""
        self.place.start()
        self.workers.says(Ready())
        self.workers.channel().connectionLost(Failure(connectionDone.value))
        self.assertEqual((self.place.ready, self.losses), (False, []))
        self.workers.processes[0].end()
        self.assertEqual(self.losses, [(0, None)])

    def test_the_next_one(self) -> None:
        """It is started after a pause, which grows with each, up to ten seconds."""
        pauses = []
        self.place.start()
        for number in range(1, 11):
            pauses.append(self.place.pause)
            self.workers.dies(code=3)
            self.assertEqual(len(self.workers.processes), number)
            self.workers.reactor.advance(pauses[-1] - 0.01)
            self.assertEqual(len(self.workers.processes), number)
            self.workers.reactor.advance(0.02)
            self.assertEqual(len(self.workers.processes), number + 1)
        self.assertEqual(pauses[:3] + pauses[-2:], [0.1, 0.2, 0.4, 10.0, 10.0])
        self.assertEqual(self.place.restarts, 10)
        self.workers.reactor.advance(10)
        self.workers.dies(code=3)
        self.workers.reactor.advance(0.1)  # it had lived for long enough
        self.assertEqual(len(self.workers.processes), 12)

    def test_no_next_one(self) -> None:
        """If it is not wanted, or not any more."""
        self.place.retire()
        self.place.start()
        self.workers.dies()
        self.place.retire()
        self.workers.reactor.advance(60)
        self.assertEqual(len(self.workers.processes), 1)
        self.replace = False
        self.place.start()
        self.workers.dies()
        self.workers.reactor.advance(60)
        self.assertEqual(len(self.workers.processes), 2)

    def test_it_is_killed(self) -> None:
        """Whatever it does; and if it has ended, nothing happens."""
        self.place.kill()
        self.place.start()
        self.place.kill()
        process = self.workers.processes[0]
        process.gone = True
        self.place.kill()
        self.assertEqual(process.signals, ["KILL"])
        process.gone = False  # for the end of the test

    def test_it_cannot_be_started(self) -> None:
        """It is tried again."""
        self.workers.fails = OSError(errno.EAGAIN, "no process left")
        self.place.start()
        self.assertEqual(self.losses, [])
        self.workers.channel().connectionLost(Failure(connectionDone.value))
        self.assertEqual(self.losses, [(None, None)])
        self.workers.fails = None
        self.workers.reactor.advance(0.1)
        self.assertEqual(len(self.workers.processes), 1)

    def test_no_file_is_left_for_it(self) -> None:
        """Likewise."""

        def none_left(*_: object) -> None:
            raise OSError(errno.EMFILE, "too many open files")

        self.patch(socket, "socketpair", none_left)
        self.place.start()
        self.assertEqual(self.losses, [(None, None)])

    def test_no_file_is_left_for_the_line_to_it(self) -> None:
        """Likewise; nothing stays open, and the place is not taken for one that runs."""

        def none_left(*_: object) -> None:
            raise OSError(errno.EMFILE, "too many open files")

        before = len(os.listdir("/proc/self/fd"))
        patch = self.patch(self.workers.reactor, "adoptStreamConnection", none_left)
        self.place.start()
        patch.restore()
        self.assertEqual(self.losses, [(None, None)])
        self.assertEqual((self.place.running, self.place.load), (False, 0))
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.workers.reactor.advance(0.1)
        self.assertEqual(len(self.workers.processes), 1)
        self.assertTrue(self.place.running)
