"""What the control socket shows and changes, each a function of whoever serves it.

A process by itself gives its own; with several, the front gives functions that ask all of
them. So the socket does not know which it is served by.
"""

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from apiproxy.core.stopping import LiveExchange, StopOrder
from apiproxy.policy.ledger import Later, Standing


@frozen(kw_only=True)
class Sources:
    """All of it.

    Attributes:
        run: the run that is counted here.
        exchanges: what is under way.
        standings: what the ledger has, see ``Ledger.standings``.
        configured: the cap that is configured for an account and a measure; None for none.
        set_cap: puts an operator's cap in force, see ``Ledger.set_cap``.
        rates: how the rate limits stand.
        coverage: what was metered and what was not.
        settings: those in force, without secrets.
        stop: ends what is meant, here and in other processes; tells how many.
        drain: begins to stop in order, as SIGTERM does.
        reload: reads the settings again, as SIGHUP does; tells what is wrong with them.
    """

    run: Callable[[], str]
    exchanges: Callable[[], Later[Sequence[LiveExchange]]]
    standings: Callable[[], Later[list[Standing]]]
    configured: Callable[[str, str], int | None]
    set_cap: Callable[[str, str, int | None, float | None], Later[None]]
    rates: Callable[[], Later[object]]
    coverage: Callable[[], Later[Mapping[str, object]]]
    settings: Callable[[], Mapping[str, object]]
    stop: Callable[[StopOrder], Later[int]]
    drain: Callable[[], None]
    reload: Callable[[], Later[Sequence[str]]]
