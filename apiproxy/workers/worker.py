"""A worker: a ``Proxy`` that listens on nothing and is told by the front what to do."""

import socket
from collections.abc import Callable
from itertools import count
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from apiproxy.admin.answer import Later
from apiproxy.bookkeeping import Common
from apiproxy.config import ConfigurationError, Origin, Settings
from apiproxy.control import stop
from apiproxy.core.errors import InternalError
from apiproxy.herald import Herald
from apiproxy.ledger.open import InFolder, Nowhere
from apiproxy.outside import Outside
from apiproxy.service import Proxy
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report
from apiproxy.wire.reactor import WorkersReactor
from apiproxy.workers import messages
from apiproxy.workers.handover import Inlet
from apiproxy.workers.line import Channel, OneConnection
from apiproxy.workers.place import CHANNEL_FD, INLET_FD, SHARES_FD
from apiproxy.workers.shares import SharedCensus, Shares

_PATIENCE_SECONDS = 3.0
_LEAVE_SECONDS = 1.0
_READ_SECONDS = 0.05


class Inherited:
    """What a worker gets from the front.

    Attributes:
        number: of the worker.
        channel: for messages.
        inlet: for connections.
        shares: what all workers count together.
        ledger: folder of the ledger that all workers share; empty if it is in none.
    """

    ledger = ""

    def __init__(
        self, number: int, channel: socket.socket, inlet: socket.socket, shares: Shares
    ) -> None:
        self.number = number
        self.channel = channel
        self.inlet = inlet
        self.shares = shares

    @classmethod
    def take(cls, number: int) -> "Inherited":
        """Take it from where it is.

        Raises:
            OSError: it is not there; this process was not started by a front.
        """
        channel = socket.socket(fileno=CHANNEL_FD)
        inlet = socket.socket(fileno=INLET_FD)
        for end in (channel, inlet):
            end.set_inheritable(False)
            end.setblocking(False)
        return cls(number, channel, inlet, Shares(SHARES_FD))

    @property
    def common(self) -> Common:
        """What the books of all workers have in common."""
        ledger = InFolder(Path(self.ledger)) if self.ledger else Nowhere()
        shares = self.shares
        return Common(shares.rings, self.number, shares.workers, ledger)


class _Questions:
    """Questions to the front that are not answered yet."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ids = count(1)
        self._open: dict[int, Deferred[Report]] = {}

    def ask(self, send: Callable[[messages.Asking], None]) -> Deferred[Report]:
        """Ask; the answer, or ``InternalError`` if it does not come in time."""
        number = next(self._ids)
        answer: Deferred[Report] = Deferred()
        self._open[number] = answer

        def late() -> None:
            del self._open[number]
            message = "The other processes of apiproxy did not answer in time."
            answer.errback(InternalError(message))

        timer = self._clock.callLater(_PATIENCE_SECONDS, late)

        def over(result: object) -> object:
            self._open.pop(number, None)
            if timer.active():
                timer.cancel()
            return result

        _ = answer.addBoth(over)  # also when nobody waits for it any more
        send(messages.Asking(number))
        return answer

    def told(self, told: messages.Told) -> None:
        """An answer came."""
        answer = self._open.pop(told.id, None)
        if answer is not None:
            answer.callback(told.report)


class Worker(Proxy):
    """Serves what the front hands to it."""

    def __init__(
        self,
        settings: Settings,
        reactor: WorkersReactor,
        log: LineLog,
        inherited: Inherited,
        remake: Callable[[Origin], Settings],
        end: Callable[[], None],
        *,
        dropped: Callable[[], int] = int,
    ) -> None:
        """A worker that serves nobody yet.

        Args:
            settings: everything that can be set.
            reactor: provides sockets and time.
            log: where lines go.
            inherited: what it has from the front.
            remake: makes settings; may raise ConfigurationError.
            end: ends this process in order; may be called again.
            dropped: number of log lines lost so far.
        """
        silent = LineLog(lambda line: None, level="error", now=float)
        super().__init__(
            settings,
            reactor,
            log,
            outside=Outside(dropped=dropped),
            census=SharedCensus(inherited.shares, inherited.number),
            common=inherited.common,
            herald=Herald(silent),  # the front says what is true of all
        )
        self._inherited = inherited
        self._sockets = reactor
        self._remake = remake
        self._end = end
        self._no_more: Deferred[None] = Deferred()
        self._questions = _Questions(reactor)
        self._inlet = Inlet(inherited.inlet, self.sites, reactor, self._missed)
        self.channel = Channel(
            {
                messages.Tell: self._tell,
                messages.NoMore: lambda _: self._given_all(),
                messages.Told: self._questions.told,
                messages.TryKeys: self._try_keys,
                messages.Reload: self._reload,
                messages.Drain: lambda _: end(),
                messages.Hurry: lambda _: self._end_at_once(),
                messages.Show: self._show,
                messages.Stop: self._stop_some,
                messages.NewCap: lambda _: self._books.look_at_caps(),
            },
            self._alone,
        )

    def _end_at_once(self) -> None:
        self.hurry()
        self._end()

    # Its life.

    def privilegedStartService(self) -> None:
        """There is nothing to listen on."""
        Service.privilegedStartService(self)

    def startService(self) -> None:
        """Begin to serve."""
        super().startService()
        with self._inherited.channel as channel:
            self._sockets.adoptStreamConnection(
                channel.fileno(), socket.AF_UNIX, OneConnection(self.channel)
            )
        self._inlet.start()
        self.channel.send(messages.Ready())

    async def _stop(self) -> None:
        await self._leave()
        await super()._stop()
        self.channel.send(messages.Telling(0, self.report()))
        self.channel.send(messages.Drained(self.drained_in_order))
        await self.channel.close(self._sockets)

    async def _leave(self) -> None:
        """Have no more connections given, and serve those that are on their way."""
        if self.channel.connected:
            self.channel.send(messages.Leaving())
            no_more = self._no_more.addTimeout(_LEAVE_SECONDS, self._sockets)
            await no_more.addErrback(lambda _: None)
        self._inlet.take_rest()
        # What they bring with them is read before those that are idle are closed.
        await deferLater(self._sockets, _READ_SECONDS, lambda: None)

    def _given_all(self) -> None:
        if not self._no_more.called:
            self._no_more.callback(None)

    def _alone(self) -> None:
        """The front is gone."""
        self._given_all()
        self._end()

    def _missed(self) -> None:
        """A connection that the front counted came to nothing."""
        self.census.agent_came()
        self.census.agent_left()

    # Figures.

    def whole(self) -> Later[Report]:
        """The figures of all workers, which the front has to ask for."""
        return self._questions.ask(self.channel.send)

    def _tell(self, tell: messages.Tell) -> None:
        self.channel.send(messages.Telling(tell.round, self.report()))

    # What an operator wants; the front has the socket.

    def _open_control(self) -> None:
        """The front has it."""

    def _show(self, asked: messages.Show) -> None:
        exchanges = [] if self._roster is None else self._roster.shown()
        self.channel.send(messages.Shown(asked.id, exchanges))

    def _stop_some(self, asked: messages.Stop) -> None:
        number = stop(self.stopping, asked.order)
        self.channel.send(messages.Stopped(asked.id, number))

    # Keys, and other settings.

    def _check_keys(self, rejected: Callable[[], None]) -> None:
        """The front says who tries the keys, and when."""

    def _try_keys(self, asked: messages.TryKeys) -> None:
        keycheck, refusals = self.keycheck, 0

        def refused() -> None:
            nonlocal refusals
            refusals += 1

        def tried(_: object) -> None:
            if keycheck.complete:  # one that was given up has found nothing out
                found = messages.KeysTried(asked.id, keycheck.shown(), refusals > 0)
                self.channel.send(found)

        super()._check_keys(refused)
        if self._checking is not None:
            _ = self._checking.addCallback(tried)

    def _reload(self, asked: messages.Reload) -> None:
        ok = False
        try:
            self.reload(self._remake(asked.origin))
            ok = True
        except ConfigurationError as error:
            for problem in error.problems:
                self._log.log("error", "reload", message=problem)
        finally:
            self.channel.send(messages.Reloaded(asked.id, ok))
