"""Connections on their way from the front to a worker."""

import os
import socket
from typing import Any, cast

from attrs import define
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from apiproxy.wire.reactor import WorkersReactor
from apiproxy.workers.handover import Choice, Inlet, Outlet, label


@define
class Worker:
    """Takes connections as long as it has room."""

    name: str
    load: int = 0
    room: int = 100

    def give(self, connection: socket.socket, label: bytes) -> bool:
        if self.load == self.room:
            return False
        self.load += 1
        return True


class ChoiceTests(SynchronousTestCase):
    def given(self, workers: list[Worker], count: int) -> list[int]:
        """The loads after so many connections, -1 in front if one was not taken."""
        choice = Choice()
        one = cast(socket.socket, None)
        taken = count == sum(choice.give(workers, one, b"") for _ in range(count))
        return ([] if taken else [-1]) + [worker.load for worker in workers]

    def test_each_in_turn(self) -> None:
        """Among equals nobody is preferred."""
        self.assertEqual(
            self.given([Worker("a"), Worker("b"), Worker("c")], 7), [3, 2, 2]
        )

    def test_the_fewest_first(self) -> None:
        """A worker whose connections have gone gets the next ones."""
        self.assertEqual(self.given([Worker("a", 5), Worker("b", 1)], 4), [5, 5])

    def test_turns_go_on_where_connections_are_short(self) -> None:
        """One after the other, not always the first, though all have none each time."""
        choice, workers = Choice(), [Worker("a"), Worker("b")]
        order = []
        for _ in range(4):
            choice.give(workers, cast(socket.socket, None), b"")
            order += [worker.name for worker in workers if worker.load]
            for worker in workers:
                worker.load = 0
        self.assertEqual(order, ["a", "b", "a", "b"])

    def test_who_has_no_room_is_passed_over(self) -> None:
        """And nobody is said to have taken what nobody took."""
        self.assertEqual(self.given([Worker("a", 0, 1), Worker("b", 5)], 4), [1, 8])
        workers = [Worker("a", 0, 1), Worker("b", 0, 1)]
        self.assertEqual(self.given(workers, 3), [-1, 1, 1])


class Reactor:
    """Adopts what it is given, or does not.

    Attributes:
        adopted: peers of the connections, and whose they are.
        refuses: None for a connection, or what is raised.
    """

    def __init__(self) -> None:
        self.adopted: list[tuple[bytes, object]] = []
        self.refuses: object = False
        self.readers: list[object] = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.remove(reader)

    def adoptStreamConnection(self, fd: int, family: int, factory: object) -> object:
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if self.refuses:
            return None
        with socket.fromfd(fd, family, socket.SOCK_STREAM) as mine:
            self.adopted.append((mine.recv(100), factory))
        return mine


class WayTests(SynchronousTestCase):
    def setUp(self) -> None:
        front, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.front, self.worker = front, worker
        self.addCleanup(front.close)
        self.addCleanup(worker.close)
        self.outlet = Outlet(front)
        self.reactor = Reactor()
        self.missed = 0
        self.inlet = Inlet(
            worker,
            {"openai": "its factory"},
            cast(WorkersReactor, self.reactor),
            self.miss,
        )

    def miss(self) -> None:
        self.missed += 1

    def connection(self, data: bytes = b"") -> socket.socket:
        """A connection with something to read in it."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        theirs.sendall(data)
        theirs.close()
        return ours

    def give(self, data: bytes = b"", provider: str = "openai") -> bool:
        connection = self.connection(data)
        return self.outlet.give(connection, label(connection, provider))

    def test_a_connection_arrives(self) -> None:
        """Whose it is, what is in it; no descriptor is left over."""
        verifyObject(IReadDescriptor, self.inlet)
        self.inlet.start()
        self.assertEqual(self.reactor.readers, [self.inlet])
        before = os.listdir("/proc/self/fd")
        for data in (b"one", b"two"):
            self.assertTrue(self.give(data))
        self.assertIsNone(self.inlet.doRead())
        self.assertEqual(
            self.reactor.adopted, [(b"one", "its factory"), (b"two", "its factory")]
        )
        self.assertEqual((self.outlet.handed, self.missed), (2, 0))
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), len(before) + 2)
        self.assertEqual(self.inlet.logPrefix(), "inlet")

    def test_a_turn_is_bounded(self) -> None:
        """Connections do not keep a worker from everything else."""
        for _ in range(70):
            self.assertTrue(self.give())
        self.inlet.doRead()
        self.assertEqual(len(self.reactor.adopted), 64)
        self.inlet.doRead()
        self.assertEqual(len(self.reactor.adopted), 70)

    def test_the_rest(self) -> None:
        """When no more will come, all that are on their way are taken, however many."""
        self.inlet.start()
        for _ in range(70):
            self.give()
        self.inlet.take_rest()
        self.assertEqual(len(self.reactor.adopted), 70)
        self.assertEqual((self.reactor.readers, self.inlet.fileno()), ([], -1))
        self.inlet.take_rest()

    def test_a_worker_that_takes_none(self) -> None:
        """When the way is full the connection stays with the front, and none is lost."""
        given = 0
        while self.give(b"%d" % given):
            given += 1
        self.assertGreater(given, 10)
        self.assertEqual(self.outlet.handed, given)
        while len(self.reactor.adopted) < given:
            self.inlet.doRead()
        self.assertTrue(self.give())

    def test_what_comes_to_nothing(self) -> None:
        """It is told, so that it does not count for ever."""
        for refuses in (True, OSError("the agent left")):
            self.reactor.refuses = refuses
            self.give()
            self.inlet.doRead()
        self.reactor.refuses = False
        self.give(provider="nobody")
        self.front.send(b"\x01openai")  # its descriptor was lost on the way
        self.inlet.doRead()
        self.assertEqual((self.missed, self.reactor.adopted), (4, []))

    def test_a_bug(self) -> None:
        """It costs one connection."""
        self.reactor.refuses = ZeroDivisionError()
        self.give()
        self.assertIsNone(self.inlet.doRead())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.missed, 1)

    def test_a_front_that_is_gone(self) -> None:
        """The way is closed."""
        self.inlet.start()
        self.outlet.close()
        gone: Any = self.inlet.doRead()
        self.assertIsInstance(gone, ConnectionLost)
        self.inlet.connectionLost(Failure(gone))
        self.assertEqual((self.reactor.readers, self.inlet.fileno()), ([], -1))
        self.inlet.stop()

    def test_a_worker_that_is_gone(self) -> None:
        """It takes nothing, and nothing breaks."""
        self.worker.close()
        self.assertFalse(self.give())
        self.assertEqual(self.outlet.handed, 0)

    def test_a_way_that_breaks(self) -> None:
        """The worker hears of it."""
        self.inlet.start()
        self.inlet.stop()
        self.assertIsInstance(self.inlet.doRead(), OSError)
