"""Dispatching readiness directly: as Twisted does it, in fewer steps."""

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.wire.dispatch import dispatch_directly


class Watched:
    """A socket of a pair, and what the reactor did with it."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.socket, self.peer = socket.socketpair()
        test.addCleanup(self.socket.close)
        test.addCleanup(self.peer.close)
        self.did: list[str] = []
        self.lost: type[BaseException] | None = None
        self.on_read: Callable[[], Any] = lambda: None
        self.on_write: Callable[[], Any] = lambda: None

    def fileno(self) -> int:
        """Its descriptor."""
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """Whose turn it is."""
        return "watched"

    def doRead(self) -> Any:
        """It can be read."""
        self.did.append("read")
        self.socket.recv(100)
        return self.on_read()

    def doWrite(self) -> Any:
        """It can be written."""
        self.did.append("write")
        return self.on_write()

    def connectionLost(self, reason: Any) -> None:
        """It is gone."""
        self.lost = reason.type


class DispatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = EPollReactor()
        self.addCleanup(self.reactor._poller.close)
        self.assertTrue(dispatch_directly(self.reactor))

    def watched(self) -> Watched:
        """A socket that the reactor reads."""
        watched = Watched(self)
        self.reactor.addReader(watched)
        self.addCleanup(self.reactor.removeReader, watched)
        return watched

    def test_reading_and_writing(self) -> None:
        """Each when it is possible; both at once take Twisted's way."""
        watched = self.watched()
        watched.peer.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual(watched.did, ["read"])
        self.reactor.addWriter(watched)
        self.reactor.doIteration(0)
        self.assertEqual(watched.did, ["read", "write"])
        watched.peer.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual(watched.did, ["read", "write", "read", "write"])
        self.reactor.removeWriter(watched)

    def test_nothing_is_watched(self) -> None:
        """The loop turns all the same."""
        self.reactor.removeAll()
        self.reactor.doIteration(0)

    def test_a_socket_that_is_lost_by_what_it_read(self) -> None:
        """It is told why, and watched no more."""
        watched = self.watched()
        watched.on_read = ConnectionDone
        watched.peer.send(b"x")
        self.reactor.doIteration(0)
        self.assertIs(watched.lost, ConnectionDone)
        self.assertNotIn(watched, self.reactor.getReaders())

    def test_a_socket_that_is_lost_by_what_it_wrote(self) -> None:
        """Likewise."""
        watched = self.watched()
        self.reactor.addWriter(watched)
        watched.on_write = ConnectionLost
        self.reactor.doIteration(0)
        self.assertIs(watched.lost, ConnectionLost)
        self.assertEqual(self.reactor.getWriters(), [])

    def test_a_peer_that_hangs_up(self) -> None:
        """That, too, is Twisted's way."""
        watched = self.watched()
        watched.peer.close()
        watched.socket.shutdown(socket.SHUT_RDWR)
        self.reactor.doIteration(0)
        self.reactor.doIteration(0)
        self.assertIn("read", watched.did)

    def test_a_bug(self) -> None:
        """It is logged, it costs its own connection, and the others are served."""
        broken, sound = self.watched(), self.watched()
        broken.on_read = lambda: 1 / 0
        broken.peer.send(b"x")
        sound.peer.send(b"x")
        self.reactor.doIteration(0)
        self.assertIs(broken.lost, ZeroDivisionError)
        self.assertEqual(sound.did, ["read"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_socket_that_another_has_closed(self) -> None:
        """What was ready is not asked when it is watched no more."""
        first, second = self.watched(), self.watched()
        for one, other in ((first, second), (second, first)):
            one.on_read = partial(self.reactor.removeReader, other)
            one.peer.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual(len(first.did) + len(second.did), 1)


class SwitchTests(SynchronousTestCase):
    def test_other_reactors(self) -> None:
        """They are left alone."""
        for reactor in (SelectReactor(), object(), os):
            self.assertFalse(dispatch_directly(reactor))

    def test_an_epoll_of_another_make(self) -> None:
        """What only looks alike is left alone."""

        class Alike:
            _poller = _selectables = _doReadOrWrite = _disconnectSelectable = None

        self.assertFalse(dispatch_directly(Alike()))
