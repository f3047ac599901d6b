"""From settings to routes: what all providers have in common, and what each has for itself.

Routes are made at the start and anew by each reload. What must outlast a reload, because it
knows of what is under way, belongs to the ``Routing`` and is the same in all of them.
"""

import os
import time
from collections.abc import Callable, Sequence

from apiproxy.config import Settings
from apiproxy.core.exchange import Complain, Crowd, Guard, Observer, Observers
from apiproxy.core.ids import fresh_ids
from apiproxy.policy.callers import Callers
from apiproxy.policy.endpoints import Endpoints
from apiproxy.policy.tools import ToolPolicy
from apiproxy.policy.visitors import Visitors
from apiproxy.providers.base import Provider
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.exchange_lines import ExchangeLines
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.metering import Metering
from apiproxy.wire.peers import Peers
from apiproxy.wire.pool import Pool
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.route import Route
from apiproxy.wire.watch import Watch
from apiproxy.wire.ways import Ways
from apiproxy.wire.websocket import Handshakes


class Routing:
    """Makes the routes of all providers."""

    def __init__(
        self,
        reactor: Reactor,
        log: LineLog,
        counters: Counters,
        census: Crowd,
        observers: Sequence[Observer],
        watch: Watch,
        *,
        seconds: Callable[[], float],
        complain: Complain,
    ) -> None:
        """No routes yet.

        Args:
            reactor: provides time for handshakes.
            log: where the lines of exchanges go.
            counters: count exchanges, connections and second attempts.
            census: counts what is under way.
            observers: told of all phases of exchanges, after the census.
            watch: keeps the deadlines.
            seconds: a clock that does not jump.
            complain: told of bugs.
        """
        self._log = log
        self._counters = counters
        self._census = census
        self._observers = observers
        self._watch = watch
        self._seconds = seconds
        self._complain = complain
        self._handshakes = Handshakes(reactor)
        self._peers = Peers()

    def routes(
        self,
        settings: Settings,
        ways: Ways,
        tools: ToolPolicy,
        metering: Metering | None,
    ) -> dict[str, Route]:
        """A new route for each provider, by its name; its pool is already watched.

        Args:
            settings: by which they serve.
            ways: lead to all providers.
            tools: judges what a provider is asked to do by itself.
            metering: lets requests pass; None where nothing is metered.
        """
        access = settings.access
        rules: tuple[Guard, ...] = (Endpoints(access.endpoints), tools)
        visitors = Visitors(access.hosts, access.origins)
        callers = None if access.callers is None else Callers(access.callers, time.time)
        observers = self._observers_of(settings)
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
                complain=self._complain,
                census=self._census,
                metering=metering,
                run=settings.run_id,
                retried=_bound(self._counters.retried, provider.name),
                guards=rules,
                visitors=visitors,
                callers=callers,
                peers=self._peers,
            )
            for provider in settings.providers
        }

    def _observers_of(self, settings: Settings) -> Observers:
        hosts = {provider.name: provider.host for provider in settings.providers}
        patient = (self._counters, ExchangeLines(self._log, hosts))
        return Observers(self._census, *self._observers, patient=patient)

    def _pool(self, provider: Provider, ways: Ways, settings: Settings) -> Pool:
        pool = Pool(
            ways.to(provider, settings.proxy_for(provider)),
            seconds=self._seconds,
            complain=self._complain,
            connected=_bound(self._counters.connected, provider.name),
            max_idle=settings.limits.idle_lines,
            idle_seconds=settings.deadlines.line_idle,
        )
        self._watch.add(pool)
        return pool


def _bound(count: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: count(name)
