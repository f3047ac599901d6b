"""The file of the control socket: only its owner can open it, and only one process has it.

Its mode is right before anybody can connect, because ``listenUNIX`` sets it between *bind*
and *listen*, and until *listen* every connection is refused. That a socket file is there says
nothing: its process may be dead. What says it is a lock on a file beside it, which the system
lets go of when a process dies, however it dies. A process id in a file would not do: in
containers every process has number 1.
"""

import fcntl
import os
import socket
import stat
from contextlib import suppress
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.internet.protocol import ServerFactory

_MODE = 0o600


class SocketTaken(Exception):
    """The control socket cannot be opened; the text says why."""


class Door:
    """A Unix socket of ours alone."""

    def __init__(self, path: str) -> None:
        """Listen on nothing yet.

        Args:
            path: of the socket; the lock is ``path.lock``.
        """
        self._path = path
        self._lock: int | None = None
        self._port: IListeningPort | None = None

    def open(self, reactor: IReactorUNIX, factory: "ServerFactory[Any]") -> None:
        """Listen.

        Args:
            reactor: provides the socket.
            factory: gets the connections.

        Raises:
            SocketTaken: another process listens there, or it cannot be listened there.
        """
        try:
            self._lock = _locked(f"{self._path}.lock")
            _clear(self._path)
            self._port = reactor.listenUNIX(self._path, factory, mode=_MODE)
        except (OSError, CannotListenError) as error:
            self._unlock()
            raise SocketTaken(f"{self._path}: {_reason(error)}") from error

    async def close(self) -> None:
        """Listen no more; the file goes."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _reason(error: Exception) -> str:
    cause = getattr(error, "socketError", error)
    return getattr(cause, "strerror", None) or str(cause)


def _locked(path: str) -> int:
    """A descriptor of the lock, which is ours as long as it is open."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, _MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise OSError(None, "another apiproxy listens there") from None
    return fd


def _clear(path: str) -> None:
    """Take away the socket of a process that is dead."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(None, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(0)
        with suppress(ConnectionRefusedError):
            line.connect(path)
            raise OSError(None, "something else listens there")
    os.unlink(path)
