"""The process put together: listeners, what they share, and the order of its end."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from apiproxy import __version__
from apiproxy.admin.answer import Later
from apiproxy.admin.control.door import SocketTaken
from apiproxy.admin.control.socket import ANSWER_SECONDS, ControlSocket
from apiproxy.admin.endpoints import Shared, local_answers, management
from apiproxy.admin.health import AggregateHealth
from apiproxy.admin.metrics import Metrics
from apiproxy.admin.reflect import Reflect
from apiproxy.bookkeeping import ALONE, Bookkeeping, Common
from apiproxy.config import LedgerUnusable, Settings
from apiproxy.control import sources
from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import Census, Crowd
from apiproxy.core.roster import Roster
from apiproxy.core.values import Secret
from apiproxy.herald import Herald
from apiproxy.keycheck import KeyCheck
from apiproxy.listening import AnyFactory, Listening, PortTaken
from apiproxy.outside import NOTHING, Outside
from apiproxy.policy.ledger import LedgerUnavailable
from apiproxy.providers.base import Provider
from apiproxy.routing import Routing
from apiproxy.secretary import Secretary
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.ends import Ends
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report, UpstreamLines
from apiproxy.wire.drain import Drain
from apiproxy.wire.lapse import Lapse
from apiproxy.wire.local import Endpoint
from apiproxy.wire.prober import Prober
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.route import Route
from apiproxy.wire.site import ProviderSite
from apiproxy.wire.stopping import Stopping
from apiproxy.wire.trust import trust
from apiproxy.wire.watch import Watch
from apiproxy.wire.ways import Ways

_log = Logger()

_TICK_SECONDS = 1.0


def complain(sentence: str, error: BaseException) -> None:
    """Log a bug of ours, with its traceback."""
    _log.failure("{sentence}", failure=Failure(error), sentence=sentence)


def _complain_of(failure: Failure) -> None:
    if failure.check(CancelledError):
        return
    _log.failure("the keys could not be checked", failure=failure)


class Proxy(Service):
    """All listeners of one process.

    Attributes:
        settings: as they are now.
        sites: the listeners, by provider name.
        counters: the figures.
        keycheck: whether providers take their keys.
        census: what is under way.
        stopping: ends what an operator wants to end.
        listening: what is listened on.
        drained_in_order: whether everything ended by itself when it stopped.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Reactor,
        log: LineLog,
        *,
        outside: Outside = NOTHING,
        seconds: Callable[[], float] = time.monotonic,
        tick: float = _TICK_SECONDS,
        common: Common = ALONE,
        census: Crowd | None = None,
        herald: Herald | None = None,
    ) -> None:
        """A proxy that listens on nothing yet.

        Args:
            settings: everything that can be set.
            reactor: provides sockets and time.
            log: where lines go.
            outside: the process that it is in.
            seconds: a clock that does not jump.
            tick: seconds within which deadlines are kept.
            common: what this process has in common with others.
            census: counts what is under way; a new one if not given.
            herald: says how the service lives; in the log if not given.
        """
        self.settings = settings
        self.census = census or Census()
        self.counters = Counters(
            now=seconds,
            version=__version__,
            upstream_lines=self._upstream_lines,
            log_lines_dropped=outside.dropped,
        )
        self._reactor = reactor
        self._log = log
        self._herald = herald or Herald(log)
        self.listening = Listening(reactor, self._herald.listening)
        self._outside = outside
        self._seconds = seconds
        ways = self._ways(settings)
        self.keycheck = self._keycheck(settings, ways)
        self._books = self._bookkeeping(settings, ways, common)
        self._ends = Ends(reactor, self._books.accounts.catch_up)
        self._roster = Roster() if settings.control_socket else None
        self.stopping = Stopping(lambda: self.sites.values(), reactor)
        self._control: ControlSocket | None = None
        self._watch = Watch(reactor, seconds, tick)
        self._watch.add(Lapse(lambda: self.sites.values(), self.stopping))
        self._routing = self._new_routing()
        self._secretary = Secretary(log, reactor, self._redact)
        self._drain: Drain | None = None
        self.drained_in_order = False
        self._hurried = False
        self._checking: Deferred[None] | None = None
        routes = self._routes(settings, ways)
        shared = self._shared()
        self.sites = {
            name: ProviderSite(
                route, self._endpoints(route.provider, shared), self._refused, reactor
            )
            for name, route in routes.items()
        }

    # Putting it together.

    def _ways(self, settings: Settings) -> Ways:
        """One for all, so that routes and probes trust and resume alike."""
        context = trust(*settings.ca_files)
        return Ways(self._reactor, context, settings.deadlines)

    def _bookkeeping(
        self, settings: Settings, ways: Ways, common: Common
    ) -> Bookkeeping:
        return Bookkeeping(
            settings,
            self._reactor,
            ways,
            self._log,
            self.counters,
            seconds=self._seconds,
            complain=complain,
            common=common,
        )

    def _new_routing(self) -> Routing:
        roster = () if self._roster is None else (self._roster,)
        return Routing(
            self._reactor,
            self._log,
            self.counters,
            self.census,
            (self._ends, *roster),
            self._watch,
            seconds=self._seconds,
            complain=complain,
        )

    def _routes(self, settings: Settings, ways: Ways) -> dict[str, Route]:
        self._log.redact(settings.secrets)
        books = self._books
        return self._routing.routes(settings, ways, books.tools, books.metering)

    def _redact(self, secrets: list[Secret]) -> None:
        self._log.redact(secrets)
        self._books.redact(secrets)

    def _keycheck(self, settings: Settings, ways: Ways) -> KeyCheck:
        prober = Prober(self._reactor, ways, settings.proxy_for)
        return KeyCheck(self._log, prober, settings.proxy is not None)

    def _shared(self) -> Shared:
        settings = self.settings
        return Shared(
            health=AggregateHealth(
                providers=settings.providers,
                version=__version__,
                egress=settings.proxy,
                figures=self.whole,
                rate_limits=self._books.rate_limits,
            ),
            reflect=Reflect(
                providers=settings.providers,
                version=__version__,
                host=settings.bind[0],
                websocket=settings.websockets,
                limits=settings.limits.shown(),
                spending=self._books.shown,
            ),
            metrics=Metrics(self.whole, self._seconds),
        )

    def report(self) -> Report:
        """The figures of this process."""
        self.flush()
        return self.counters.report(self.keycheck.shown())

    def flush(self) -> None:
        """Count and log the exchanges that have just ended (see ``telemetry.ends``)."""
        self._ends.flush()
        self._books.flush()

    def whole(self) -> Later[Report]:
        """The figures of all processes that serve together, which is this one."""
        return self.report()

    def _endpoints(
        self, provider: Provider, shared: Shared
    ) -> Mapping[bytes, Endpoint]:
        manages = provider is management(self.settings.providers)
        answers = local_answers(provider, shared, manages=manages)
        return {target: answer.render for target, answer in answers.items()}

    def _upstream_lines(self) -> Iterable[UpstreamLines]:
        for name, site in self.sites.items():
            yield name, "idle", site.route.pool.idle
            yield name, "busy", site.route.pool.busy

    def _refused(self, request_id: str, provider: str, error: ProxyError) -> None:
        self._log.log(
            "warning",
            "request_refused",
            request_id=request_id,
            provider=provider,
            status=error.status,
            error=error.code,
            error_message=error.message,
        )

    # Its life.

    def privilegedStartService(self) -> None:
        """Listen.

        Raises:
            PortTaken: something else listens there.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        for site in self.sites.values():
            factory = cast(AnyFactory, site)
            self.listening.open(site.route.provider, self.settings.bind, factory)

    @property
    def ports(self) -> list[IListeningPort]:
        """What is listened on."""
        return self.listening.ports

    def startService(self) -> None:
        """Begin to serve.

        Raises:
            PortTaken: the control socket cannot be opened.
            ConfigurationError: the ledger cannot.
        """
        if not self.ports:  # as in a test; twistd has done so
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._books.open()
        except LedgerUnavailable as error:
            raise LedgerUnusable(error) from error
        self._open_control()
        self._herald.up(self.settings)
        self._secretary.serve(self.settings)
        self._watch.start()
        self._outside.notify("READY=1")
        self._check_keys(self._key_rejected)

    def _open_control(self) -> None:
        path = self.settings.control_socket
        if path is None or self._roster is None:
            return
        self._control = ControlSocket(
            path,
            sources(
                settings=lambda: self.settings,
                books=self._books,
                roster=self._roster,
                stopper=self.stopping,
                report=self.report,
                drain=self._end_soon,
                reload=self._outside.reread,
            ),
            self._log.log,
            self._reactor,
            self._reactor,
        )
        try:
            self._control.open()
        except SocketTaken as error:
            raise PortTaken(str(error)) from error

    def _end_soon(self) -> None:
        self._reactor.callLater(ANSWER_SECONDS, self._outside.end)

    def _check_keys(self, rejected: Callable[[], None]) -> None:
        if self.settings.validate_keys != "off":
            check = self.keycheck.start(self.settings.providers, rejected)
            self._checking = check.addErrback(_complain_of)

    def _key_rejected(self) -> None:
        """A provider does not take its key; only ``strict`` minds."""
        if self.settings.validate_keys == "strict":
            self._herald.strict()
            self._outside.give_up()

    def stopService(self) -> Deferred[None]:
        """Stop: see ``wire.drain`` for the order."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._outside.notify("STOPPING=1")
        self.keycheck.stop()
        self._secretary.stop()
        self._herald.draining(self.census.live)
        await self.listening.close()
        self._drain = Drain(tuple(self.sites.values()), self._reactor)
        if self._hurried:
            self._drain.hurry()
        self.drained_in_order = await self._drain.start(self.settings.grace)
        self._watch.stop()
        self.flush()
        await self._books.close()
        if self._control is not None:
            await self._control.close()
        self._herald.drained(in_order=self.drained_in_order)

    def hurry(self) -> None:
        """Stop at once; a stop that has not come as far as to drain will remember it."""
        self._hurried = True
        if self._drain is not None:
            self._drain.hurry()

    def reload(self, settings: Settings) -> None:
        """Serve by new settings from now on; what is under way ends by the old ones.

        Addresses and ports stay as they are; a provider that would need another one needs a
        restart. One that is there no more goes on listening, and refuses. Keys are checked
        again, but one that is refused does not end a process that serves.
        """
        self._outside.notify("RELOADING=1")
        try:
            self._put_in_force(settings)
        finally:
            self._outside.notify("READY=1")

    def _put_in_force(self, settings: Settings) -> None:
        before, kept = self.settings, settings.in_place_of(self.settings)
        ways = self._ways(kept)
        self._books.use(kept)
        routes = self._routes(kept, ways)
        self._log.set_level(kept.log_level)
        for name, route in routes.items():
            self._replace(self.sites[name], route)
        self.settings = kept
        self.keycheck.stop()
        self.keycheck = self._keycheck(kept, ways)
        shared = self._shared()
        for site in self.sites.values():
            site.endpoints = self._endpoints(site.route.provider, shared)
        if self.running:
            self._secretary.serve(kept)
        self._herald.reloaded(before, settings)
        if self.running:
            self._check_keys(lambda: None)

    def _replace(self, site: ProviderSite, route: Route) -> None:
        old = site.route
        route.bridges = old.bridges
        site.use(route)
        self._watch.remove(old.pool)
        old.pool.close()
