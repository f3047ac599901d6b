"""The control socket put together: its file, its HTTP, and the desk behind it."""

from time import time

from twisted.internet.interfaces import IReactorTime, IReactorUNIX

from apiproxy.admin.control.desk import Desk, Log
from apiproxy.admin.control.door import Door
from apiproxy.admin.control.site import ControlSite
from apiproxy.admin.control.sources import Sources

ANSWER_SECONDS = 0.05
"""For which a process stays after it was told to stop over this socket, to say so."""


class ControlSocket:
    """The socket, from the start of a service to its end."""

    def __init__(
        self,
        path: str,
        sources: Sources,
        log: Log,
        sockets: IReactorUNIX,
        clock: IReactorTime,
    ) -> None:
        """A socket that is not there yet.

        Args:
            path: where it will be.
            sources: what is shown and changed.
            log: told of every change.
            sockets: makes it.
            clock: for its deadlines.
        """
        self._path = path
        self._door = Door(path)
        self._site = ControlSite(Desk(sources, log, now=time), clock)
        self._sockets = sockets

    def open(self) -> None:
        """Listen.

        Raises:
            SocketTaken: another process listens there, or it cannot be listened there.
        """
        self._door.open(self._sockets, self._site)

    async def close(self) -> None:
        """Listen no more."""
        await self._door.close()

    def __repr__(self) -> str:
        return f"<ControlSocket {self._path}>"
