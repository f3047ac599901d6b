"""What the control socket of a process by itself shows and changes."""

from collections.abc import Callable, Sequence

from apiproxy.admin.control.sources import Sources
from apiproxy.bookkeeping import Bookkeeping
from apiproxy.config import Settings
from apiproxy.core.errors import Stopped
from apiproxy.core.roster import Roster
from apiproxy.core.stopping import StopOrder, Stopper
from apiproxy.settings.shown import shown
from apiproxy.telemetry.report import Report


def stop(stopper: Stopper, order: StopOrder) -> int:
    """Do as an operator says; how many were ended."""
    return stopper.stop(order.matches, Stopped())


def sources(
    *,
    settings: Callable[[], Settings],
    books: Bookkeeping,
    roster: Roster,
    stopper: Stopper,
    report: Callable[[], Report],
    drain: Callable[[], None],
    reload: Callable[[], Sequence[str]],
) -> Sources:
    """What the socket of a process by itself shows and changes.

    Args:
        settings: gives those in force.
        books: of the process.
        roster: knows what is under way.
        stopper: ends it.
        report: gives the figures.
        drain: begins to stop in order; not in this turn.
        reload: reads the settings again; what is wrong with them.
    """
    return Sources(
        run=lambda: settings().run_id,
        exchanges=roster.shown,
        standings=books.standings,
        configured=lambda *key: settings().rules.cap(*key),
        set_cap=books.set_cap,
        rates=books.rate_limits,
        coverage=lambda: report().coverage(),
        settings=lambda: shown(settings()),
        stop=lambda order: stop(stopper, order),
        drain=drain,
        reload=reload,
    )
