"""Ports that accept for others."""

import socket

from attrs import define
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.listening import Listening
from apiproxy.workers.doors import Doors
from tests.admin.providers import provider
from tests.kit.workers import FakePort, FakeReactor


@define
class Given:
    """A connection that was handed on."""

    peer: bytes
    label: bytes


class DoorsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.room = 100
        self.full = False
        self.given: list[Given] = []
        self.agents: list[socket.socket] = []
        self.doors = Doors(
            Listening(self.reactor, lambda provider, address: None),  # type: ignore[arg-type]
            self.give,
            lambda: self.full,
            self.reactor,
        )
        self.doors.open(provider("openai", 10000), ("127.0.0.1",))
        self.doors.open(provider("gemini", 10003), ("127.0.0.1", "127.0.0.2"))
        self.addCleanup(self.close)

    def close(self) -> None:
        for agent in self.agents:
            agent.close()

    def give(self, connection: socket.socket, label: bytes) -> bool:
        if len(self.given) >= self.room:
            return False
        self.given.append(Given(connection.recv(10), label))
        return True

    def connect(self, data: bytes, port: int = 0) -> socket.socket:
        """An agent connects; what it sent is there before anybody looks."""
        at = self.reactor.listening[port]
        ours, theirs = socket.socketpair()
        theirs.sendall(data)
        self.agents.append(theirs)
        protocol = at.factory.buildProtocol(None)
        made = at.transport(ours, protocol, ("", 0), at, 0, self.reactor)
        protocol.makeConnection(made)
        return theirs

    def open(self) -> list[bool]:
        """Which ports accept."""
        return [port.open for port in self.reactor.listening]

    def test_nobody_before_there_is_somebody_to_serve(self) -> None:
        """The ports are bound, so agents wait; they come in when it begins."""
        self.assertEqual(self.open(), [False] * 3)
        self.doors.admit()
        self.assertEqual(self.open(), [True] * 3)

    def test_each_connection_is_handed_on(self) -> None:
        """With whose it is; here it is closed, there it is open."""
        self.doors.admit()
        agent = self.connect(b"a")
        self.connect(b"b", 2)
        family = bytes((socket.AF_UNIX,))
        self.assertEqual(
            self.given,
            [Given(b"a", family + b"openai"), Given(b"b", family + b"gemini")],
        )
        self.assertEqual(agent.recv(10), b"")  # the only other end was ours

    def test_too_many(self) -> None:
        """There is no protocol for them, and Twisted closes the connection."""
        self.doors.admit()
        factory = self.reactor.listening[0].factory
        self.assertIsNotNone(factory.buildProtocol(None))
        self.full = True
        self.assertIsNone(factory.buildProtocol(None))

    def test_nobody_has_room(self) -> None:
        """What was accepted is kept in order, and nothing more is accepted."""
        self.doors.admit()
        self.room = 1
        for data in (b"a", b"b", b"c"):
            self.connect(data)
        self.assertEqual((len(self.doors.held), self.open()), (2, [False] * 3))
        self.reactor.advance(0.02)
        self.assertEqual(len(self.doors.held), 2)
        self.room = 2
        self.reactor.advance(0.02)
        self.assertEqual((len(self.doors.held), self.open()), (1, [False] * 3))
        self.room = 100
        self.connect(b"d")  # it was accepted in the same turn as the others
        self.reactor.advance(0.02)
        self.assertEqual([given.peer for given in self.given], [b"a", b"b", b"c", b"d"])
        self.assertEqual((len(self.doors.held), self.open()), (0, [True] * 3))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_the_end(self) -> None:
        """Ports are closed; who was held is let go."""
        self.doors.admit()
        self.room = 0
        agent = self.connect(b"a")
        self.successResultOf(Deferred.fromCoroutine(self.doors.close()))
        self.assertEqual([port.closed for port in self.reactor.listening], [True] * 3)
        agent.settimeout(5)
        with self.assertRaises(ConnectionResetError):  # with its bytes unread
            agent.recv(10)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.successResultOf(Deferred.fromCoroutine(self.doors.close()))

    def test_a_port_of_the_kit(self) -> None:
        """It does not make a connection where there is no protocol."""
        at = self.reactor.listening[0]
        self.assertIsInstance(at, FakePort)
        self.assertEqual(at.getHost().port, 10000)
