"""The control socket of several processes: the front has it, and asks the workers.

What is spent and which caps there are is in the ledger, which the front opens for itself; how
the rate limits stand is in the memory that all share. Only what is under way is known to
nobody but the worker that carries it. The front makes all this only if there is a socket, and
imports it only then, because it needs little memory otherwise.
"""

import os
from collections.abc import Mapping
from operator import attrgetter
from time import time
from typing import Any, cast

from twisted.internet.defer import Deferred

from apiproxy.admin.control.socket import ANSWER_SECONDS, ControlSocket
from apiproxy.admin.control.sources import Sources
from apiproxy.core.ids import fresh_ids
from apiproxy.core.stopping import LiveExchange, StopOrder
from apiproxy.ledger.open import LedgerPlace, Nowhere, Threads, open_ledger
from apiproxy.ledger.rules import Store
from apiproxy.policy.ledger import NOT_METERED, Later, LedgerUnavailable, Standing
from apiproxy.policy.rate import RateLimits
from apiproxy.settings.shown import shown
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.trust import trust
from apiproxy.wire.ways import Ways
from apiproxy.workers.messages import NewCap, Show, Stop
from apiproxy.workers.office import Crew
from apiproxy.workers.questions import Questions


class FrontControl:
    """The control socket, and what is behind it.

    Attributes:
        sources: what it shows and changes.
    """

    def __init__(
        self,
        path: str,
        crew: Crew,
        ledger: LedgerPlace,
        questions: Questions,
        reactor: Reactor,
        log: LineLog,
    ) -> None:
        """A socket that is not there yet.

        Args:
            path: where it will be.
            crew: the workers, and what is theirs together.
            ledger: where their ledger is.
            questions: asks them.
            reactor: provides sockets and time.
            log: told of every change.
        """
        self._crew = crew
        self._ledger = ledger
        self._questions = questions
        self._reactor = reactor
        self._providers = [provider.name for provider in crew.settings().providers]
        self._store: Store | None = None
        self.sources = self._sources()
        self._socket = ControlSocket(path, self.sources, log.log, reactor, reactor)

    def open(self) -> None:
        """Open the ledger and the socket.

        Raises:
            LedgerUnavailable: the ledger cannot be opened.
            SocketTaken: the socket cannot.
        """
        settings = self._crew.settings()
        ways = Ways(self._reactor, trust(*settings.ca_files), settings.deadlines)
        if settings.metering and not isinstance(self._ledger, Nowhere):
            self._store = open_ledger(
                self._ledger,
                cast(Threads, self._reactor),
                now=time,
                new_id=fresh_ids(os.urandom),
                connect=ways.straight_to,
            )
        self._socket.open()

    async def close(self) -> None:
        """Let go of both."""
        await self._socket.close()
        if self._store is not None:
            await self._store.close()

    def _sources(self) -> Sources:
        settings = self._crew.settings
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
            reload=self._crew.reread,
        )

    def _end_soon(self) -> None:
        self._reactor.callLater(ANSWER_SECONDS, self._crew.drain)

    def _exchanges(self) -> Deferred[list[LiveExchange]]:
        def merged(all_: list[list[LiveExchange]]) -> list[LiveExchange]:
            found = [each for some in all_ for each in some]
            return sorted(found, key=attrgetter("age_seconds"), reverse=True)

        return self._questions.ask(self._crew.members(), Show).addCallback(merged)

    def _stop(self, order: StopOrder) -> Deferred[int]:
        asked = self._questions.ask(self._crew.members(), lambda id: Stop(id, order))
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
        for member in self._crew.members():
            member.send(NewCap())

    def _rates(self) -> Mapping[str, object]:
        rates = RateLimits(
            self._crew.settings().rules.rates,
            self._crew.shares.rings,
            self._providers,
            time,
            workers=self._crew.shares.workers,
        )
        return rates.state()

    def _coverage(self) -> "Deferred[Mapping[str, Any]]":
        return self._crew.whole().addCallback(lambda report: report.coverage())
