"""Connections on their way from the front to a worker.

A connection travels as a descriptor (``SCM_RIGHTS``) with a packet that says whose it is: one
byte of address family and the provider's name. Packets have a socket pair of their own, of
kind ``SOCK_SEQPACKET``: a packet is taken whole by the kernel, or not at all, at once. So the
front never has a connection half handed over, needs no buffer for them, and can close its own
descriptor as soon as the call returns.
"""

import errno
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from apiproxy.listening import AnyFactory
from apiproxy.wire.reactor import WorkersReactor

_log = Logger()

_LONGEST = 256
_MOST_AT_ONCE = 64
"""Connections that a worker takes in one turn of its loop."""

_FULL = frozenset(
    (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS, errno.EMFILE)
)


class Outlet:
    """The front's end: where connections of one worker go in.

    Attributes:
        handed: connections that were handed over.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.handed = 0
        self._end = end

    def give(self, connection: socket.socket, label: bytes) -> bool:
        """Hand a connection over.

        Args:
            connection: stays open here; it is the caller's to close.
            label: see ``label``.

        Returns:
            False if there is no room at the moment, or nobody to take it.
        """
        try:
            socket.send_fds(self._end, [label], [connection.fileno()])
        except OSError as error:
            if error.errno not in _FULL:  # the worker is gone, which will be noticed
                _log.debug("a worker takes no connection: {error}", error=error)
            return False
        self.handed += 1
        return True

    def close(self) -> None:
        """Hand over no more."""
        self._end.close()


def label(connection: socket.socket, provider: str) -> bytes:
    """What a worker has to know of a connection."""
    return bytes((connection.family,)) + provider.encode()


class Candidate(Protocol):
    """A worker that could take a connection."""

    @property
    def load(self) -> int:
        """Connections it has."""

    def give(self, connection: socket.socket, label: bytes) -> bool:
        """Hand a connection over; False if it cannot take it now."""


class Choice:
    """Chooses who gets the next connection: who has the fewest, and of equals each in turn."""

    def __init__(self) -> None:
        self._next = 0

    def order(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates, the best first."""
        count = len(candidates)
        turned = [candidates[(self._next + n) % count] for n in range(count)]
        return sorted(turned, key=lambda each: each.load)

    def give(
        self, candidates: Sequence[Candidate], connection: socket.socket, label: bytes
    ) -> bool:
        """Hand a connection to the best that has room; False if none has."""
        for candidate in self.order(candidates):
            if candidate.give(connection, label):
                self._next = candidates.index(candidate) + 1
                return True
        return False


@implementer(IReadDescriptor)
class Inlet:
    """The worker's end: where its connections come out."""

    def __init__(
        self,
        end: socket.socket,
        factories: Mapping[str, object],
        reactor: WorkersReactor,
        missed: Callable[[], None],
    ) -> None:
        """An end that takes nothing yet.

        Args:
            end: the socket.
            factories: give connections their protocols, by provider.
            reactor: adopts connections.
            missed: told of each connection that came to nothing.
        """
        end.setblocking(False)
        self._end = end
        self._factories = factories
        self._reactor = reactor
        self._missed = missed

    def start(self) -> None:
        """Take connections from now on."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Take no more."""
        if self._end.fileno() >= 0:
            self._reactor.removeReader(self)
            self._end.close()

    def fileno(self) -> int:
        """Of the socket."""
        return self._end.fileno()

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "inlet"

    # Any: the interface promises a Failure, and every reactor wants the exception.
    def doRead(self) -> Any:
        """Take the connections that are there; an exception if there will be no more."""
        for _ in range(_MOST_AT_ONCE):
            try:
                if not self._take_one():
                    return CONNECTION_LOST
            except BlockingIOError:
                return None
            except OSError as error:
                return error
        return None

    def take_rest(self) -> None:
        """Take all that are there, and no more."""
        with suppress(OSError):
            while self._take_one():
                pass
        self.stop()

    def _take_one(self) -> bool:
        """Take a connection; False if the front has hung up.

        Raises:
            BlockingIOError: there is none.
            OSError: there will be no more.
        """
        what, descriptors, _flags, _ = socket.recv_fds(
            self._end, _LONGEST, 1, socket.MSG_CMSG_CLOEXEC
        )
        if what:
            self._take(what, descriptors)
        return bool(what)

    def _take(self, what: bytes, descriptors: list[int]) -> None:
        if not descriptors:  # no file was left for it, and the kernel closed it
            self._missed()
            return
        (descriptor,) = descriptors
        try:
            if not self._adopt(what, descriptor):
                self._missed()
        except Exception:
            self._missed()
            _log.failure("a connection could not be taken")
        finally:
            os.close(descriptor)  # the reactor has made one of its own

    def _adopt(self, what: bytes, descriptor: int) -> bool:
        factory = self._factories.get(what[1:].decode())
        if factory is None:  # it is no provider any more
            return False
        adopt = self._reactor.adoptStreamConnection
        try:
            family = socket.AddressFamily(what[0])
            made: object = adopt(descriptor, family, cast(AnyFactory, factory))
        except OSError:  # the agent has left already
            return False
        return made is not None

    def connectionLost(self, reason: Failure) -> None:
        """The front is gone, which the channel tells, too."""
        self.stop()
