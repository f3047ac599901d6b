"""That sending at once sends the same bytes as sending in time."""

from typing import Any, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.wire import atonce
from apiproxy.wire.atonce import sender
from apiproxy.wire.transport import Transport
from tests.kit.transport import HonestTransport


class Watcher:
    """A reactor that only remembers who wants to write."""

    def __init__(self) -> None:
        self.writers: list[object] = []

    def addWriter(self, writer: object) -> None:
        self.writers.append(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.remove(writer)


class Socket(FileDescriptor):
    """A connection whose socket takes so many bytes at a time."""

    def __init__(self, *takes: int | Exception) -> None:
        self.watcher = Watcher()
        super().__init__(cast(Any, self.watcher))
        self.connected = 1
        self._aborting = False
        self.takes = list(takes)
        self.taken = b""

    def getHandle(self) -> "Socket":
        """Its own socket."""
        return self

    def send(self, data: bytes) -> int:
        """Take what there is room for."""
        take = self.takes.pop(0)
        if isinstance(take, Exception):
            raise take
        self.taken += data[:take]
        return min(take, len(data))

    def writeSomeData(self, data: bytes) -> int | Exception:
        """What Twisted calls: as ``send``, but an error is returned."""
        try:
            return self.send(data)
        except OSError:
            return CONNECTION_LOST


def on(line: object) -> Any:
    """Its sender."""
    return sender(cast(Transport, line))


class SenderTests(SynchronousTestCase):
    def test_a_socket_with_room(self) -> None:
        """The bytes are gone before the call returns, and nobody waits."""
        line = Socket(100)
        on(line)(b"hello")
        self.assertEqual(line.taken, b"hello")
        self.assertEqual(line.watcher.writers, [])

    def test_a_socket_with_little_room(self) -> None:
        """The rest waits, and what comes behind it waits too."""
        line = Socket(2, 100)
        send = on(line)
        send(b"hello")
        send(b" again")
        self.assertEqual(line.taken, b"he")
        self.assertEqual(line.watcher.writers, [line, line])
        line.doWrite()
        self.assertEqual(line.taken, b"hello again")

    def test_a_socket_that_is_full(self) -> None:
        """All of it waits."""
        line = Socket(BlockingIOError(), 100)
        on(line)(b"hello")
        line.doWrite()
        self.assertEqual(line.taken, b"hello")

    def test_a_socket_that_is_broken(self) -> None:
        """The reactor meets the error, and reports it as ever."""
        line = Socket(ConnectionResetError(), ConnectionResetError())
        on(line)(b"hello")
        self.assertEqual(line.watcher.writers, [line])
        self.assertIs(line.doWrite(), CONNECTION_LOST)

    def test_a_connection_that_is_closing_or_gone(self) -> None:
        """Nothing is sent past its end."""
        for state in ("disconnecting", "_writeDisconnecting", "_aborting", "gone"):
            line = Socket()
            setattr(line, state, True)
            line.connected = 0 if state == "gone" else 1
            on(line)(b"hello")
            self.assertEqual(line.taken, b"", state)

    def test_a_connection_of_another_kind(self) -> None:
        """It is written to."""
        line = HonestTransport()
        line.connect(Protocol())
        on(line)(b"hello")
        self.assertEqual(line.written, b"hello")

    def test_switched_off(self) -> None:
        """Everything is written in time."""
        self.patch(atonce, "AT_ONCE", False)
        line = Socket(100)
        on(line)(b"hello")
        self.assertEqual(line.taken, b"")
        line.doWrite()
        self.assertEqual(line.taken, b"hello")
