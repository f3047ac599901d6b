"""The doors of the house: ports that accept for others.

``Listening`` opens the ports, as it does for a process by itself, and Twisted accepts, so that
a lock of a Unix socket, a full table of files or a connection that is gone before it is
accepted are seen to as ever. Only what is made of a connection differs: ``transport`` is the
documented place of a port where that can be said, and here it hands the socket on.

When nobody has room, what was accepted is kept and nothing more is accepted; connections then
wait where they would for a busy process, in the queue of the listening socket.
"""

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory

from apiproxy.listening import Listening
from apiproxy.providers.base import Provider
from apiproxy.workers.handover import label

_AGAIN_SECONDS = 0.02

Give = Callable[[socket.socket, bytes], bool]
"""Hands a connection to somebody; False if nobody has room."""


class _Nobody(Protocol):
    """Takes the place of a protocol; the socket is somebody else's by then."""

    def makeConnection(self, transport: object) -> None:
        """Nothing is made of it here."""


class Door(ServerFactory):
    """Lets agents of one provider in, as long as there are not too many."""

    noisy = False

    def __init__(self, full: Callable[[], bool]) -> None:
        self._full = full
        self._nobody = _Nobody()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """None, which closes the connection, when there are too many."""
        return None if self._full() else self._nobody


class Doors:
    """All doors.

    Attributes:
        held: connections that were accepted and that nobody had room for.
    """

    def __init__(
        self,
        listening: Listening,
        give: Give,
        full: Callable[[], bool],
        clock: IReactorTime,
    ) -> None:
        """Doors that are yet to be opened.

        Args:
            listening: opens and closes ports.
            give: hands a connection to a worker.
            full: whether there are too many connections.
            clock: for another try.
        """
        self.held: deque[tuple[socket.socket, bytes]] = deque()
        self._listening = listening
        self._give = give
        self._full = full
        self._clock = clock
        self._shut = False
        self._again: IDelayedCall | None = None

    def open(self, provider: Provider, addresses: tuple[str, ...]) -> None:
        """Bind a provider's port and socket, but let nobody in yet.

        Raises:
            PortTaken: something else listens there.
        """
        before = len(self._listening.ports)
        self._listening.open(provider, addresses, Door(self._full))
        for port in self._listening.ports[before:]:
            _insides(port).transport = self._accepter(provider.name)
        self.shut()

    def _accepter(self, provider: str) -> Callable[..., None]:
        def accepted(connection: socket.socket, *_: object) -> None:
            connection.setblocking(False)
            self._hand(connection, label(connection, provider))

        return accepted

    def _hand(self, connection: socket.socket, what: bytes) -> None:
        if not self.held and self._give(connection, what):
            connection.close()
            return
        self.held.append((connection, what))
        self.shut()
        self._try_again()

    def _try_again(self) -> None:
        if self._again is None:
            self._again = self._clock.callLater(_AGAIN_SECONDS, self._retry)

    def _retry(self) -> None:
        self._again = None
        self.admit()

    def admit(self) -> None:
        """Hand on what waits, and let in more if that was all."""
        while self.held:
            connection, what = self.held[0]
            if not self._give(connection, what):
                self._try_again()
                return
            self.held.popleft()
            connection.close()
        if self._shut:
            self._shut = False
            for port in self._listening.ports:
                _insides(port).startReading()

    def shut(self) -> None:
        """Let nobody in for now; agents wait outside."""
        self._shut = True
        for port in self._listening.ports:
            _insides(port).stopReading()

    async def close(self) -> None:
        """Let nobody in any more."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        await self._listening.close()
        while self.held:
            self.held.popleft()[0].close()


def _insides(port: object) -> Any:
    """A port as ``twisted.internet.tcp.Port`` documents it, beyond its interface."""
    return port
