"""A worker's place: the process that serves there, and its replacement when that ends."""

import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from apiproxy.wire.reactor import WorkersReactor
from apiproxy.workers.handover import Outlet
from apiproxy.workers.line import Channel, Duties, OneConnection
from apiproxy.workers.messages import Message
from apiproxy.workers.shares import Shares

_log = Logger()

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a worker is replaced; doubled each time, unless it lived that long."""

CHANNEL_FD, INLET_FD, SHARES_FD = 3, 4, 5
"""Where a worker finds what it inherits."""

EXIT_UNUSABLE = 78
"""Exit code of a worker that cannot use the settings, so that another could not, either."""

Launch = Callable[[int, ProcessProtocol, Mapping[int, int]], IProcessTransport]
"""Starts a worker: its number, who is told of its end, and our descriptors by its own."""


class Ending(Protocol):
    """How a process ended."""

    exitCode: int | None
    signal: int | None


class _Unstarted:
    """It never ran."""

    exitCode: int | None = None
    signal: int | None = None


class Owner(Protocol):
    """Whoever has the places."""

    def duties(self, place: "Place") -> Duties:
        """What to do when the worker of this place says something."""

    def lost(self, place: "Place", how: Ending) -> bool:
        """The worker has ended; whether it is to be replaced."""


class _Life(ProcessProtocol):
    """Tells when a process has ended."""

    def __init__(self, ended: Callable[[Any], None]) -> None:
        self._ended = ended

    def processEnded(self, reason: Failure = connectionDone) -> None:
        """It has; ``reason`` holds ProcessDone or ProcessTerminated."""
        self._ended(reason.value)


class Place:
    """Where one worker runs.

    Attributes:
        number: of the place, from 0.
        begun: whether the worker has been told what to serve by, and has not ended.
        ready: whether the worker takes connections.
        answers: whether the worker has been ready and has not ended.
        restarts: how often it was replaced.
    """

    def __init__(
        self,
        number: int,
        owner: Owner,
        shares: Shares,
        reactor: WorkersReactor,
        launch: Launch,
    ) -> None:
        self.number = number
        self.begun = self.ready = self.answers = False
        self.restarts = 0
        self._owner = owner
        self._shares = shares
        self._reactor = reactor
        self._launch = launch
        self._process: IProcessTransport | None = None
        self._channel: Channel | None = None
        self._outlet: Outlet | None = None
        self._how: Ending | None = None
        self._pause = FIRST_PAUSE
        self._started = 0.0
        self._again: IDelayedCall | None = None

    @property
    def running(self) -> bool:
        """Whether there is a worker, or something that one said is still to be heard."""
        return self._process is not None or self._channel is not None

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return None if self._process is None else getattr(self._process, "pid", None)

    @property
    def pause(self) -> float:
        """Seconds until the worker will be replaced."""
        return self._pause

    @property
    def load(self) -> int:
        """Connections that were given to the worker and are not gone."""
        if self._outlet is None:
            return 0
        return self._outlet.handed - self._shares.left(self.number)

    def start(self) -> None:
        """Start a worker here."""
        self._again = None
        self._how = None
        self._started = self._reactor.seconds()
        try:
            self._start()
        except OSError as error:  # no file, no memory, no process left for it
            _log.error("a worker could not be started: {error}", error=error)
            self._close_outlet()
            self._ended(_Unstarted())

    def _start(self) -> None:
        ours, channel_end = socket.socketpair()
        # The reactor and the worker have descriptors of their own.
        with ours, channel_end:
            outlet_end, inlet_end = socket.socketpair(
                socket.AF_UNIX, socket.SOCK_SEQPACKET
            )
            with inlet_end:
                self._outlet = Outlet(outlet_end)
                self._connect(ours)
                self._process = self._launch(
                    self.number,
                    _Life(self._ended),
                    {
                        CHANNEL_FD: channel_end.fileno(),
                        INLET_FD: inlet_end.fileno(),
                        SHARES_FD: self._shares.fd,
                    },
                )

    def _connect(self, ours: socket.socket) -> None:
        channel = Channel(self._owner.duties(self), self._hung_up)
        ours.setblocking(False)
        self._reactor.adoptStreamConnection(
            ours.fileno(), socket.AF_UNIX, OneConnection(channel)
        )
        self._channel = channel  # only now: one that is not connected is never lost

    def give(self, connection: socket.socket, label: bytes) -> bool:
        """Hand a connection to the worker; False if it cannot take it now."""
        return self._outlet is not None and self._outlet.give(connection, label)

    def send(self, message: Message) -> None:
        """Say something to the worker, if there is one."""
        if self._channel is not None:
            self._channel.send(message)

    def kill(self) -> None:
        """End the worker whatever it does."""
        if self._process is not None:
            try:
                self._process.signalProcess("KILL")
            except ProcessExitedAlready:
                return

    def retire(self) -> None:
        """Replace it no more."""
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _hung_up(self) -> None:
        """All that the worker said has been heard."""
        self.begun = self.ready = self.answers = False
        self._channel = None
        self._gone()

    def _ended(self, how: Ending) -> None:
        """The process is no more."""
        self.begun = self.ready = self.answers = False
        self._how = how
        self._process = None
        self._gone()

    def _gone(self) -> None:
        """Clear up after a worker that is gone in both respects."""
        how = self._how
        if self._channel is not None or how is None:
            return
        self._how = None
        self._close_outlet()
        self._shares.clear(self.number)
        if self._reactor.seconds() - self._started >= LONGEST_PAUSE:
            self._pause = FIRST_PAUSE
        if self._owner.lost(self, how):
            self.restarts += 1
            self._again = self._reactor.callLater(self._pause, self.start)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _close_outlet(self) -> None:
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None

    def __repr__(self) -> str:
        state = "ready" if self.ready else "starting" if self.running else "empty"
        return f"<Place {self.number} {state}, {self.load} agents>"
