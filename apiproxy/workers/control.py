"""The control socket of several processes: the front has it, and asks the workers.

What is spent and which caps there are is in the ledger, which the front opens for itself; how
the rate limits stand is in the memory that all share. Only what is under way is known to
nobody but the worker that carries it. The front makes all this only if there is a socket, and
imports it only then, because it needs little memory otherwise.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from time import time
from typing import Any, cast

from twisted.internet.defer import Deferred

from apiproxy.admin.control.socket import ANSWER_SECONDS, ControlSocket
from apiproxy.admin.control.sources import Sources
from apiproxy.config import Settings
from apiproxy.core.ids import fresh_ids
from apiproxy.core.stopping import LiveExchange, StopOrder
from apiproxy.ledger.open import Nowhere, Place, Threads, open_ledger
from apiproxy.ledger.rules import Store
from apiproxy.policy.ledger import NOT_METERED, Later, LedgerUnavailable, Standing
from apiproxy.policy.rate import RateLimits
from apiproxy.settings.shown import shown
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.tls import trust
from apiproxy.wire.ways import Ways
from apiproxy.workers.messages import NewCap, Show, Stop
from apiproxy.workers.questions import Member, Questions
from apiproxy.workers.shares import Shares


class FrontControl:
    """The control socket, and what is behind it.

    Attributes:
        sources: what it shows and changes.
    """

    def __init__(
        self,
        path: str,
        settings: Callable[[], Settings],
        ledger: Place,
        members: Callable[[], Iterable[Member]],
        questions: Questions,
        shares: Shares,
        whole: Callable[[], Deferred[Report]],
        reactor: Reactor,
        log: LineLog,
        *,
        drain: Callable[[], None],
        reread: Callable[[], Sequence[str]],
    ) -> None:
        """A socket that is not there yet.

        Args:
            path: where it will be.
            settings: gives those in force.
            ledger: where the workers' ledger is.
            members: gives the workers that can be asked.
            questions: asks them.
            shares: what all workers count together.
            whole: gives the figures of all.
            reactor: provides sockets and time.
            log: told of every change.
            drain: begins to stop in order.
            reread: has the settings read again, and tells what is wrong with them.
        """
        self._settings = settings
        self._place = ledger
        self._members = members
        self._questions = questions
        self._shares = shares
        self._whole = whole
        self._reactor = reactor
        self._drain = drain
        self._providers = [provider.name for provider in settings().providers]
        self._store: Store | None = None
        self.sources = self._sources(reread)
        self._socket = ControlSocket(path, self.sources, log.log, reactor, reactor)

    def open(self) -> None:
        """Open the ledger and the socket.

        Raises:
            LedgerUnavailable: the ledger cannot be opened.
            SocketTaken: the socket cannot.
        """
        settings = self._settings()
        ways = Ways(self._reactor, trust(*settings.ca_files), settings.deadlines)
        new_id = fresh_ids(os.urandom)
        if settings.metering and not isinstance(self._place, Nowhere):
            self._store = open_ledger(
                self._place,
                cast(Threads, self._reactor),
                token=new_id(),
                now=time,
                new_id=new_id,
                connect=ways.straight_to,
            )
        self._socket.open()

    async def close(self) -> None:
        """Let go of both."""
        await self._socket.close()
        if self._store is not None:
            await self._store.close()

    def _sources(self, reread: Callable[[], Sequence[str]]) -> Sources:
        settings = self._settings
        return Sources(
            run=lambda: settings().run_id,
            exchanges=self._exchanges,
            standings=self._standings,
            configured=lambda *key: settings().rules.cap(*key),
            set_cap=self._set_cap,
            rates=self._rates,
            coverage=self._coverage,
            settings=lambda: shown(settings()),
            stop=self._stop,
            drain=self._end_soon,
            reload=reread,
        )

    def _end_soon(self) -> None:
        self._reactor.callLater(ANSWER_SECONDS, self._drain)

    def _exchanges(self) -> Deferred[list[LiveExchange]]:
        def merged(all_: list[list[LiveExchange]]) -> list[LiveExchange]:
            found = [each for some in all_ for each in some]
            return sorted(found, key=attrgetter("age_seconds"), reverse=True)

        return self._questions.ask(self._members(), Show).addCallback(merged)

    def _stop(self, order: StopOrder) -> Deferred[int]:
        asked = self._questions.ask(self._members(), lambda id: Stop(id, order))
        return asked.addCallback(sum)

    def _standings(self) -> Later[list[Standing]]:
        return [] if self._store is None else self._store.standings()

    def _set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None
    ) -> Later[None]:
        if self._store is None:
            raise LedgerUnavailable(NOT_METERED)
        done = self._store.set_cap(account, measure, cap, until)
        if isinstance(done, Deferred):
            return done.addCallback(self._tell_of_cap)
        self._tell_of_cap(None)
        return None

    def _tell_of_cap(self, _: object) -> None:
        for member in self._members():
            member.send(NewCap())

    def _rates(self) -> Mapping[str, object]:
        rates = RateLimits(
            self._settings().rules.rates,
            self._shares.rings,
            self._providers,
            time,
            workers=self._shares.workers,
        )
        return rates.state()

    def _coverage(self) -> "Deferred[Mapping[str, Any]]":
        return self._whole().addCallback(lambda report: report.coverage())
