"""The process that was started, when several serve: it lets agents in, and speaks for all.

It carries no byte of a request. It binds, accepts and hands on; it starts the workers and
replaces those that end; it passes signals on, and says once what is true of all of them.
"""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from apiproxy import __version__
from apiproxy.config import Origin, Settings
from apiproxy.herald import Herald
from apiproxy.listening import Listening
from apiproxy.outside import NOTHING, Outside
from apiproxy.policy.rate import RateLimits
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report
from apiproxy.wire.reactor import WorkersReactor
from apiproxy.workers import messages
from apiproxy.workers.doors import Doors
from apiproxy.workers.handover import Choice
from apiproxy.workers.keys import Keys
from apiproxy.workers.line import Duties
from apiproxy.workers.office import Crew, Office
from apiproxy.workers.place import EXIT_UNUSABLE, Ending, Launch, Place
from apiproxy.workers.reloading import Reloading
from apiproxy.workers.roll import Roll
from apiproxy.workers.shares import Shares

_SETTLE_SECONDS = 5.0
"""What workers get beyond the grace time until they are killed."""


class Front(Service):
    """Several workers as one service.

    Attributes:
        settings: as they are now.
        places: of the workers.
        shares: what they have under way.
        office: what is kept for all of them.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: WorkersReactor,
        log: LineLog,
        launch: Launch,
        origin: Callable[[], Origin],
        outside: Outside = NOTHING,
    ) -> None:
        """A front that listens on nothing yet, and has no workers.

        Args:
            settings: everything that can be set.
            reactor: provides sockets, processes and time.
            log: where lines go.
            launch: starts a worker.
            origin: what the settings are made of that were read last.
            outside: the process that it is in.
        """
        self.settings = settings
        rings = RateLimits.size(len(settings.providers), settings.workers)
        self.shares = Shares.make(settings.workers, rings)
        self.places = [
            Place(number, self, self.shares, reactor, launch)
            for number in range(settings.workers)
        ]
        self._origin = origin()
        self._read_origin = origin
        self._reactor = reactor
        self._log = log
        self._outside = outside
        self._herald = Herald(log)
        self._listening = Listening(reactor, self._herald.listening)
        self._choice = Choice()
        self._doors = Doors(self._listening, self._give, self._full, reactor)
        self._roll = Roll(reactor, self._answering, self._blank, self._stuck)
        self._keys = Keys(self._ready, self._key_refused)
        crew = Crew(
            settings=lambda: self.settings,
            members=self._answering,
            shares=self.shares,
            whole=self._roll.whole,
            drain=outside.end,
            reread=outside.reread,
        )
        self.office = Office(crew, reactor, log)
        self._began = reactor.seconds()
        self._up = False
        self._hurried = False
        self._stopping: Deferred[None] | None = None
        self._in_order = True
        self._reloading: Reloading[Place] | None = None
        self._reloads = 0

    # Connections.

    def _ready(self) -> list[Place]:
        """The places whose workers take connections."""
        return [place for place in self.places if place.ready]

    def _answering(self) -> list[Place]:
        """The places whose workers can be asked, also when they or we are about to end."""
        return [place for place in self.places if place.answers]

    def _give(self, connection: Any, label: bytes) -> bool:
        ready = self._ready()
        awake = [place for place in ready if place.number not in self._roll.silent]
        # One that has not answered for a while may be stuck; others come first.
        return self._choice.give(awake or ready, connection, label)

    def _full(self) -> bool:
        agents = sum(place.load for place in self.places) + len(self._doors.held)
        return agents >= self.settings.limits.connections

    # Figures.

    def _blank(self) -> Report:
        """What there is to tell of the front alone."""
        return Report(
            version=__version__,
            uptime=self._reactor.seconds() - self._began,
            log_lines_dropped=self._outside.dropped(),
            keys=self._keys.known,
            workers=sum(place.running for place in self.places),
            restarts=sum(place.restarts for place in self.places),
        )

    def _stuck(self, number: int) -> None:
        """A worker holds its connections, and its share of the limits, and does nothing."""
        message = "it does not answer, and is killed"
        self._log.log("error", "worker_stuck", worker=number, message=message)
        self.places[number].kill()

    # What workers say.

    def duties(self, place: Place) -> Duties:
        """What to do when the worker of this place says something."""

        def tell(asking: messages.Asking) -> None:
            def told(report: Report) -> None:
                place.send(messages.Told(asking.id, report))

            _ = self._roll.whole().addCallback(told)

        def telling(told: messages.Telling) -> None:
            self._keys.heard(place, told.report.keys)
            self._roll.heard(place.number, told.round, told.report)

        def tried(said: messages.KeysTried) -> None:
            self._keys.tried(place, said)

        return {
            messages.Begin: lambda _: self._worker_begins(place),
            messages.Ready: lambda _: self._worker_ready(place),
            messages.Leaving: lambda _: self._worker_leaves(place),
            messages.Asking: tell,
            messages.Telling: telling,
            messages.KeysTried: tried,
            messages.Reloaded: lambda said: self._reloaded(place, said),
            messages.Drained: self._drained,
            **self.office.duties(place),
        }

    def _worker_begins(self, place: Place) -> None:
        """Nobody but us has read the settings; a worker that is replaced has the same."""
        place.begun = True
        place.send(messages.Serve(self._origin, self.office.ledger))

    def _worker_ready(self, place: Place) -> None:
        if self._stopping is not None:
            return
        place.ready = place.answers = True
        if not self._up and all(place.ready for place in self.places):
            self._is_up()
        if self._up:
            self._keys.find_somebody()
            self._doors.admit()

    def _is_up(self) -> None:
        self._up = True
        self._herald.up(self.settings, workers=len(self.places))
        self._outside.notify("READY=1")
        self._roll.start()
        if self.settings.validate_keys != "off":
            self._keys.wanted = True

    def _worker_leaves(self, place: Place) -> None:
        place.ready = False
        place.send(messages.NoMore())
        self._shut_if_alone()

    def _shut_if_alone(self) -> None:
        if self._stopping is None and not self._ready():
            self._doors.shut()

    def _drained(self, drained: messages.Drained) -> None:
        self._in_order = self._in_order and drained.in_order

    def _key_refused(self) -> None:
        """A provider does not take its key; only ``strict`` minds, and no end in order."""
        if self._stopping is None and self.settings.validate_keys == "strict":
            self._herald.strict()
            self._outside.give_up()

    def lost(self, place: Place, how: Ending) -> bool:
        """A worker has ended; whether it is to be replaced."""
        self._roll.gone(place.number)
        self._keys.gone(place)
        self.office.gone(place)
        if self._reloading is not None:
            self._reloading.done_by(place)  # the next one begins with the new settings
        if self._stopping is not None:
            self._in_order = self._in_order and how.exitCode == 0
            self._end_if_alone()
            return False
        self._say_lost(place, how)
        self._shut_if_alone()
        if not self._up and how.exitCode == EXIT_UNUSABLE:
            self._outside.give_up()  # it has said what is wrong with the settings
            return False
        return True

    def _say_lost(self, place: Place, how: Ending) -> None:
        self._log.log(
            "error",
            "worker_lost",
            worker=place.number,
            exit_code=how.exitCode,
            signal=how.signal,
            restart_seconds=place.pause,
        )

    # Its life.

    def privilegedStartService(self) -> None:
        """Listen.

        Raises:
            PortTaken: something else listens there.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        for provider in self.settings.providers:
            self._doors.open(provider, self.settings.bind)

    def startService(self) -> None:
        """Start the workers; agents are let in when all of them are ready."""
        if not self._listening.ports:
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        self.office.open()
        self._reactor.callWhenRunning(self._start_workers)

    def _start_workers(self) -> None:
        for place in self.places:
            if self._stopping is None:
                place.start()

    def stopService(self) -> Deferred[None]:
        """Stop: nobody is let in, workers stop in order, and then we do."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._stopping = Deferred()
        self._outside.notify("STOPPING=1")
        self._roll.stop()
        if self._reloading is not None:
            self._reloading.cancel()
        self._herald.draining(self.shares.live)
        await self._doors.close()
        for place in self.places:
            place.retire()
            place.ready = False
            place.send(messages.Hurry() if self._hurried else messages.Drain())
        grace = 0.0 if self._hurried else self.settings.grace
        self._limit(grace + _SETTLE_SECONDS)
        self._end_if_alone()
        await self._stopping
        self._limit(None)
        await self.office.close()
        self._herald.drained(in_order=self._in_order)

    _killing: IDelayedCall | None = None

    def _limit(self, seconds: float | None) -> None:
        """Have workers killed that still run after these seconds; None for not at all."""
        if self._killing is not None and self._killing.active():
            self._killing.cancel()
        self._killing = None
        if seconds is not None:
            self._killing = self._reactor.callLater(seconds, self._kill)

    def _kill(self) -> None:
        for place in self.places:
            place.kill()

    def _end_if_alone(self) -> None:
        stopping, alone = self._stopping, not any(map(_runs, self.places))
        if alone and stopping is not None and not stopping.called:
            stopping.callback(None)

    def hurry(self) -> None:
        """Stop at once; a stop that has not begun yet will remember it."""
        self._hurried = True
        if self._stopping is not None and not self._stopping.called:
            for place in self.places:
                place.send(messages.Hurry())
            self._limit(_SETTLE_SECONDS)

    # Other settings.

    def reload(self, settings: Settings) -> None:
        """Have everybody serve by new settings; see ``Proxy.reload``."""
        self._origin = self._read_origin()
        if self._up:
            self._outside.notify("RELOADING=1")
        before = self.settings
        self.settings = settings.in_place_of(before)
        self._log.set_level(settings.log_level)
        self._log.redact(settings.secrets)
        if self._reloading is not None:
            self._reloading.cancel()
        self._keys.forget(wanted=settings.validate_keys != "off")

        def over(failed: set[Place], missing: set[Place]) -> None:
            self._reloading = None
            if not failed and not missing:
                self._herald.reloaded(before, settings)
            for place in missing:
                self._say_of(place, "it does not take the settings, and is killed")
                place.kill()
            for place in failed:
                self._say_of(place, "the settings are not in force; it is replaced")
                place.ready = False
                place.send(messages.Drain())
                self._shut_if_alone()
            if self._up:
                self._outside.notify("READY=1")
                self._keys.find_somebody()

        self._reloads += 1
        begun = [place for place in self.places if place.begun]
        self._reloading = Reloading(begun, over, self._reactor)
        for place in begun:
            place.send(messages.Reload(self._reloads, self._origin))
        self._reloading.begin()

    def _say_of(self, place: Place, message: str) -> None:
        self._log.log("error", "reload", worker=place.number, message=message)

    def _reloaded(self, place: Place, said: messages.Reloaded) -> None:
        if self._reloading is not None and said.id == self._reloads:
            self._reloading.done_by(place, ok=said.ok)


def _runs(place: Place) -> bool:
    return place.running
