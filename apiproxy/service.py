"""The process put together: listeners, what they share, and the order of its end."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from apiproxy import __version__
from apiproxy.admin.endpoints import Shared, local_answers, management
from apiproxy.admin.health import AggregateHealth
from apiproxy.admin.metrics import Metrics
from apiproxy.admin.reflect import Reflect
from apiproxy.config import Settings
from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import Census, Observers
from apiproxy.core.ids import fresh_ids
from apiproxy.keycheck import KeyCheck
from apiproxy.providers.base import Provider
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.exchange_lines import ExchangeLines
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.control import Control
from apiproxy.wire.drain import Drain
from apiproxy.wire.pool import Pool
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.route import Route
from apiproxy.wire.site import Endpoint, ProviderSite
from apiproxy.wire.tls import trust
from apiproxy.wire.watch import Watch
from apiproxy.wire.ways import Ways
from apiproxy.wire.websocket import Handshakes

_log = Logger()

_TICK_SECONDS = 1.0

_AnyFactory: TypeAlias = "ServerFactory[Any]"


class PortTaken(Exception):
    """A port or socket that should be listened on is not free."""


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
        census: what is under way.
        ports: what is listened on.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Reactor,
        log: LineLog,
        *,
        notify: Callable[[str], None] = lambda state: None,
        dropped: Callable[[], int] = int,
        seconds: Callable[[], float] = time.monotonic,
        tick: float = _TICK_SECONDS,
    ) -> None:
        """A proxy that listens on nothing yet.

        Args:
            settings: everything that can be set.
            reactor: provides sockets and time.
            log: where lines go.
            notify: tells the service manager of our state (sd_notify).
            dropped: number of log lines lost so far.
            seconds: a clock that does not jump.
            tick: seconds within which deadlines are kept.
        """
        self.settings = settings
        self.census = Census()
        self.counters = Counters(
            now=seconds,
            version=__version__,
            upstream_lines=self._upstream_lines,
            log_lines_dropped=dropped,
        )
        self.ports: list[IListeningPort] = []
        self._reactor = reactor
        self._log = log
        self._notify = notify
        self._seconds = seconds
        ways = self._ways(settings)
        self.keycheck = self._keycheck(settings, ways)
        self._watch = Watch(reactor, seconds, tick)
        self._handshakes = Handshakes(reactor)
        self._drain: Drain | None = None
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
        """One for all, so that routes and control calls trust and resume alike."""
        context = trust(*settings.ca_files)
        return Ways(self._reactor, context, settings.deadlines)

    def _keycheck(self, settings: Settings, ways: Ways) -> KeyCheck:
        control = Control(self._reactor, ways, settings.proxy_for)
        return KeyCheck(self._log, control, settings.proxy is not None)

    def _routes(self, settings: Settings, ways: Ways) -> dict[str, Route]:
        self._log.redact(settings.secrets)
        hosts = {provider.name: provider.host for provider in settings.providers}
        lines = ExchangeLines(self._log, hosts)
        observers = Observers(self.census, self.counters, lines)
        return {
            provider.name: Route(
                provider=provider,
                pool=self._pool(provider, ways, settings),
                tunnelled=settings.proxy_for(provider) is not None,
                limits=settings.limits,
                deadlines=settings.deadlines,
                websocket=settings.websockets,
                observers=observers,
                seconds=self._seconds,
                new_id=fresh_ids(os.urandom),
                random=os.urandom,
                watch=self._watch,
                handshakes=self._handshakes,
                complain=complain,
                census=self.census,
                retried=_bound(self.counters.retried, provider.name),
            )
            for provider in settings.providers
        }

    def _pool(self, provider: Provider, ways: Ways, settings: Settings) -> Pool:
        pool = Pool(
            ways.to(provider, settings.proxy_for(provider)),
            seconds=self._seconds,
            complain=complain,
            connected=_bound(self.counters.connected, provider.name),
            max_idle=settings.limits.idle_lines,
            idle_seconds=settings.deadlines.line_idle,
        )
        self._watch.add(pool)
        return pool

    def _shared(self) -> Shared:
        settings, proxy = self.settings, self.settings.proxy
        return Shared(
            health=AggregateHealth(
                providers=settings.providers,
                version=__version__,
                egress=None if proxy is None else proxy.shown,
                summary=self.counters.summary,
                key_validation=self.keycheck.shown,
            ),
            reflect=Reflect(
                providers=settings.providers,
                version=__version__,
                host=settings.bind[0],
                websocket=settings.websockets,
                limits=settings.limits.shown(),
            ),
            metrics=Metrics(self.counters, self._seconds),
        )

    def _endpoints(
        self, provider: Provider, shared: Shared
    ) -> Mapping[bytes, Endpoint]:
        manager = management(self.settings.providers)
        answers = local_answers(provider, shared, manages=provider is manager)
        return {target: answer.render for target, answer in answers.items()}

    def _upstream_lines(self) -> Iterable[tuple[str, str, int]]:
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
            self._listen(site)

    def _listen(self, site: ProviderSite) -> None:
        provider, reactor = site.route.provider, self._reactor
        factory = cast(_AnyFactory, site)
        try:
            if provider.port is not None:
                for address in self.settings.bind:
                    port = reactor.listenTCP(
                        provider.port, factory, backlog=1024, interface=address
                    )
                    self._listening(provider, port)
            if provider.socket is not None:
                # Who may open it is decided by the directory it stands in.
                port = reactor.listenUNIX(
                    provider.socket, factory, mode=0o666, wantPID=True
                )
                self._listening(provider, port)
        except CannotListenError as error:
            raise PortTaken(f"{provider.name}: {error}") from error

    def _listening(self, provider: Provider, port: IListeningPort) -> None:
        self.ports.append(port)
        address = port.getHost()
        missing = provider.not_configured()
        self._log.log(
            "info",
            "listening",
            provider=provider.name,
            address=_shown_address(address),
            upstream_host=provider.host,
            configured=missing is None,
            hint=None if missing is None else missing.message,
        )

    def startService(self) -> None:
        """Begin to serve."""
        if not self.ports:
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        self._warn("startup")
        configured = [
            provider.name
            for provider in self.settings.providers
            if provider.not_configured() is None
        ]
        self._log.log(
            "info",
            "startup",
            message="apiproxy is up",
            version=__version__,
            providers_configured=configured,
        )
        self._watch.start()
        self._notify("READY=1")
        self._check_keys(self._key_rejected)

    def _warn(self, event: str) -> None:
        for warning in self.settings.warnings:
            self._log.log("warning", event, message=warning)

    def _check_keys(self, rejected: Callable[[], None]) -> None:
        if self.settings.validate_keys != "off":
            check = self.keycheck.start(self.settings.providers, rejected)
            self._checking = check.addErrback(_complain_of)

    def _key_rejected(self) -> None:
        """A provider does not take its key; only ``strict`` minds."""
        if self.settings.validate_keys == "strict":
            self._log.log("error", "key_validation_strict_exit")
            self.give_up()

    def give_up(self) -> None:
        """End the process, if there is one of our own (see ``tap``)."""

    def stopService(self) -> Deferred[None]:
        """Stop: see ``wire.drain`` for the order."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._notify("STOPPING=1")
        self.keycheck.stop()
        self._log.log("info", "shutdown", message="draining", live=self.census.live)
        ports, self.ports = self.ports, []
        for port in ports:
            await _done(port.stopListening())
        self._drain = Drain(tuple(self.sites.values()), self._reactor)
        if self._hurried:
            self._drain.hurry()
        in_order = await self._drain.start(self.settings.grace)
        self._watch.stop()
        message = "all exchanges ended" if in_order else "live exchanges were aborted"
        self._log.log("info", "shutdown", message=message)

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
        self._notify("RELOADING=1")
        try:
            self._put_in_force(settings)
        finally:
            self._notify("READY=1")

    def _put_in_force(self, settings: Settings) -> None:
        ways = self._ways(settings)
        routes = self._routes(settings, ways)
        self._log.set_level(settings.log_level)
        for name in self.sites.keys() - routes.keys():
            self._retire(self.sites[name])
            self._warn_of_restart(name)
        for name, route in routes.items():
            site = self.sites.get(name)
            if site is None:
                self._watch.remove(route.pool)
                self._warn_of_restart(name)
                continue
            listening = site.route.provider
            if settings.bind != self.settings.bind or _needs_restart(
                listening, route.provider
            ):
                self._warn_of_restart(name)
            route.provider = evolve(
                route.provider, port=listening.port, socket=listening.socket
            )
            self._replace(site, route)
        providers = tuple(site.route.provider for site in self.sites.values())
        self.settings = evolve(settings, bind=self.settings.bind, providers=providers)
        self.keycheck.stop()
        self.keycheck = self._keycheck(settings, ways)
        shared = self._shared()
        for site in self.sites.values():
            site.endpoints = self._endpoints(site.route.provider, shared)
        self._warn("reload")
        if self.running:
            self._check_keys(lambda: None)
        self._log.log("info", "reload", message="settings are in force")

    def _warn_of_restart(self, name: str) -> None:
        message = "its listener changes only by a restart"
        self._log.log("warning", "reload", provider=name, message=message)

    def _retire(self, site: ProviderSite) -> None:
        """Serve a provider no more: its key may have been withdrawn."""
        provider = evolve(site.route.provider, credential=None)
        self._replace(site, evolve(site.route, provider=provider))

    def _replace(self, site: ProviderSite, route: Route) -> None:
        old = site.route
        route.bridges = old.bridges
        site.use(route)
        self._watch.remove(old.pool)
        old.pool.close()


def _needs_restart(old: Provider, new: Provider) -> bool:
    return (old.port, old.socket) != (new.port, new.socket)


def _bound(count: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: count(name)


def _shown_address(address: object) -> str:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        return os.fsdecode(getattr(address, "name", b""))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _done(result: object) -> None:
    if isinstance(result, Deferred):
        await result
