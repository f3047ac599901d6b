"""The books of one process, put together: rules, ledger, usage log, and who may look at them.

Settings make rules; a reload makes new ones. The ledger and the usage log stay, for what was
spent is spent, and so does the queue, for who is carried is carried. Ledger and log are opened
when the service starts, not before, because a daemon forks in between and neither a database
nor a thread survives that.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import cast

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from apiproxy import __version__
from apiproxy.accounts import Accounts
from apiproxy.admin.answer import Later
from apiproxy.admin.seldom import Seldom
from apiproxy.admin.spending import Maxima, spending
from apiproxy.config import Settings
from apiproxy.core.exchange import Complain
from apiproxy.core.ids import fresh_ids
from apiproxy.core.values import Secret
from apiproxy.ledger.caps import Caps
from apiproxy.ledger.memory import MemoryLedger
from apiproxy.ledger.open import LedgerPlace, Nowhere, Threads, open_ledger
from apiproxy.ledger.rules import Store
from apiproxy.policy.admission import Admission
from apiproxy.policy.edits import Editor
from apiproxy.policy.ledger import NOT_METERED, LedgerUnavailable, Standing
from apiproxy.policy.prices import CATALOGUE, Prices
from apiproxy.policy.rate import Figures, RateLimits
from apiproxy.policy.rules import Places, Rules
from apiproxy.policy.steering import Warnings
from apiproxy.policy.tools import ToolPolicy
from apiproxy.providers.copilot_rules import is_copilot_host
from apiproxy.telemetry.background import Background
from apiproxy.telemetry.chronicle import Chronicle
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.journal import Journal
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.usage_log import FILE_NAME, UsageLog
from apiproxy.wire.metering import Metering
from apiproxy.wire.places import PlaceQueue, part_of
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.ways import Ways


@frozen
class Common:
    """What a process has in common with others that serve with it.

    Attributes:
        figures: of the rate limits; None if they are this process's own.
        worker: its number, from 0.
        workers: how many there are.
        ledger: where the ledger is, whatever settings say; ``Nowhere`` for what they say.
    """

    figures: Figures | None = None
    worker: int = 0
    workers: int = 1
    ledger: LedgerPlace = field(factory=Nowhere)


ALONE = Common()


class Bookkeeping:
    """All that counts what passes.

    Attributes:
        accounts: where everything is written down.
        metering: lets requests pass; None where nothing is metered.
        tools: judges what a provider is asked to do by itself.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Reactor,
        ways: Ways,
        log: LineLog,
        counters: Counters,
        *,
        seconds: Callable[[], float],
        complain: Complain,
        common: Common = ALONE,
    ) -> None:
        """Put it together; ``open`` opens what is to be opened.

        Args:
            settings: everything that can be set.
            reactor: provides time and threads.
            ways: lead to a ledger on another host.
            log: where lines go.
            counters: count what is metered.
            seconds: a clock that does not jump.
            complain: told of bugs.
            common: what it has in common with other processes.
        """
        self._settings = settings
        self._reactor = reactor
        self._ways = ways
        self._log = log
        self._seconds = seconds
        self._common = common
        # Those that are listened for; a reload may know others, or another order.
        self._providers = [provider.name for provider in settings.providers]
        size = RateLimits.size(len(self._providers), common.workers)
        self._figures = [0] * size if common.figures is None else common.figures
        self._new_id = fresh_ids(os.urandom)
        self._store: Store = MemoryLedger(time)
        self._chronicle = Chronicle(log, counters, complain)
        self._thread = Background(reactor, "usage log")
        admission = self._admission(settings.rules)
        self.accounts = Accounts(
            self._store,
            admission,
            settings.run_id,
            clock=reactor,
            now=time,
            seconds=seconds,
            tell=self._chronicle.metered,
            tell_refusal=self._chronicle.refused,
            complain=complain,
        )
        self._caps = Caps(self.standings, self._caps_matter, self._capped, reactor)
        self._places = PlaceQueue(self._part(settings), reactor)
        self._warnings = Warnings(settings.rules.steering, seconds(), seconds)
        self._asked = Seldom(self.standings, seconds)
        self.tools = ToolPolicy(settings.access.tools, self._chronicle.tool_used)
        self.metering = self._metering(settings, admission)

    # Rules.

    def _admission(self, rules: Rules) -> Admission:
        prices = Prices(rules.pricing, rules.unknown, _today, CATALOGUE.read_bytes)
        return Admission(rules, prices)

    def _metering(self, settings: Settings, admission: Admission) -> Metering | None:
        if not settings.metering:
            return None
        return Metering(
            settings.rules,
            admission,
            Editor(settings.rules, self._warnings),
            self.tools,
            self.accounts,
            self._rates(settings),
            self._places,
            seconds=self._seconds,
            new_id=self._new_id,
            held=settings.max_held,
            open_without_ledger=settings.ledger_away == "open",
            billed=frozenset(
                provider.name
                for provider in settings.providers
                if is_copilot_host(provider.host)
            ),
        )

    def _rates(self, settings: Settings) -> RateLimits:
        common = self._common
        rates = RateLimits(
            settings.rules.rates,
            self._figures,
            self._providers,
            time,
            worker=common.worker,
            workers=common.workers,
        )
        rates.mend()
        return rates

    def _part(self, settings: Settings) -> Places:
        """The places of this process."""
        common = self._common
        return part_of(settings.rules.places, common.worker, common.workers)

    def use(self, settings: Settings) -> None:
        """Go by other rules from now on; ledger and log stay where they are."""
        self._settings = settings
        self._warnings.use(settings.rules.steering)
        admission = self._admission(settings.rules)
        self.accounts.use(admission, settings.run_id)
        self._places.use(self._part(settings))
        self.tools = ToolPolicy(settings.access.tools, self._chronicle.tool_used)
        self.metering = self._metering(settings, admission)
        self._caps.look()
        self.redact(settings.secrets)
        if self._chronicle.usage_log is not None:
            self._chronicle.usage_log.reopen()

    def redact(self, secrets: Iterable[Secret]) -> None:
        """Look for these values in every line of the usage log."""
        if self._chronicle.usage_log is not None:
            self._chronicle.usage_log.redact(secrets)

    # Its life.

    def open(self) -> None:
        """Open the ledger and the usage log.

        Raises:
            LedgerUnavailable: the ledger cannot be opened.
        """
        settings = self._settings
        where = self._common.ledger
        self._store = open_ledger(
            settings.ledger_place if isinstance(where, Nowhere) else where,
            cast(Threads, self._reactor),
            now=time,
            new_id=self._new_id,
            connect=self._ways.straight_to,
        )
        self.accounts.ledger = self._store
        self._caps.start()
        if settings.usage_log_dir is not None:
            self._open_usage_log(settings, Path(settings.usage_log_dir))

    def _open_usage_log(self, settings: Settings, folder: Path) -> None:
        journal = Journal(
            folder / FILE_NAME,
            most=settings.usage_log_bytes,
            keep=settings.usage_log_files,
        )
        usage_log = UsageLog(
            journal,
            self._thread.run,
            self._reactor,
            self._log,
            version=__version__,
            now=time,
        )
        usage_log.redact(settings.secrets)
        usage_log.open()
        self._chronicle.usage_log = usage_log

    def flush(self) -> None:
        """Tell and write down what is only noted so far."""
        self.accounts.flush()

    async def close(self) -> None:
        """Write down what is left, and let go."""
        self._caps.stop()
        self.accounts.close()
        if self._chronicle.usage_log is not None:
            await self._chronicle.usage_log.close()
        self._thread.end()
        await self._store.close()

    # Who may look.

    def standings(self) -> Later[list[Standing]]:
        """What the ledger has."""
        self.flush()
        standings = self._store.standings()
        assert isinstance(standings, list | Deferred)
        return standings

    def set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None
    ) -> Later[None]:
        """Put an operator's cap in force; see ``Ledger.set_cap``.

        Raises:
            LedgerUnavailable: or failing with it; then nothing is changed. So it is where
                nothing is metered, and no cap would hold.
        """
        if self.metering is None:
            raise LedgerUnavailable(NOT_METERED)
        done = self._store.set_cap(account, measure, cap, until)
        if isinstance(done, Deferred):
            return done.addCallback(lambda _: self._caps.look())
        self._caps.look()
        return None

    def look_at_caps(self) -> None:
        """Another process may have set one."""
        self._caps.look()

    def _caps_matter(self) -> bool:
        return self._settings.metering and not self._settings.rules.sees_requests

    def _capped(self, capped: bool) -> None:
        self.accounts.capped = capped

    def shown(self) -> Later[Mapping[str, object]]:
        """The sections of ``/reflect`` about budgets; that they are not known, if so."""
        try:
            standings = self._asked.get()
        except LedgerUnavailable:
            return _UNKNOWN
        if isinstance(standings, Deferred):
            return standings.addCallbacks(self.spending, _unknown)
        return self.spending(standings)

    def spending(self, standings: list[Standing]) -> Mapping[str, object]:
        """The sections of ``/reflect`` about budgets."""
        run = self._settings.run_id
        maxima = Maxima.of(self._settings.rules)
        return spending(standings, maxima, run=run, now=time())

    def rate_limits(self) -> Mapping[str, object]:
        """The section of ``/health`` about rates."""
        return {} if self.metering is None else self.metering.rates.state()


_UNKNOWN: Mapping[str, object] = {"ledger": {"available": False}}


def _unknown(failure: Failure) -> Mapping[str, object]:
    """The ledger is away."""
    failure.trap(LedgerUnavailable)
    return _UNKNOWN


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")
