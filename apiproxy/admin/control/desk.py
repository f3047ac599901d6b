"""Where an operator's words are carried out, and written down.

``Desk`` knows nothing of HTTP: a method for each thing that can be asked, which gives what is
to be shown.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, Protocol, TypeVar, cast

from msgspec import Struct
from twisted.internet.defer import DeferredLock

from apiproxy.admin.control.orders import (
    MOST,
    SHOWN,
    BadOrder,
    BudgetOrder,
    in_words,
    read_budget,
    read_stop,
)
from apiproxy.admin.control.sources import Sources
from apiproxy.policy.ledger import Later, Standing

T = TypeVar("T")


class Who(Struct, frozen=True):
    """The process at the other end of the socket, as the system knows it.

    Attributes:
        pid: its number; 0 if the system does not say.
        uid: number of its user; -1 if the system does not say.
    """

    pid: int
    uid: int


class Log(Protocol):
    """Takes what was done (``telemetry.lines.LineLog.log``)."""

    def __call__(self, level: str, event: str, /, **fields: object) -> None:
        """Write one line."""


class Desk:
    """Carries out what is asked."""

    def __init__(self, sources: Sources, log: Log, *, now: Callable[[], float]) -> None:
        """A desk.

        Args:
            sources: what is shown and changed.
            log: told of every change, with whoever made it.
            now: POSIX seconds.
        """
        self._sources = sources
        self._log = log
        self._now = now
        # A cap that grows is read and then set: one after the other.
        self._changing = DeferredLock()

    async def state(self) -> object:
        """Everything."""
        sources = self._sources
        return {
            "run": sources.run(),
            "exchanges": await _known(sources.exchanges()),
            "budget": await self._budget(),
            "rate_limits": await _known(sources.rates()),
            "coverage": await _known(sources.coverage()),
            "settings": sources.settings(),
        }

    async def budget(self) -> object:
        """How all accounts stand."""
        return {"run": self._sources.run(), "budget": await self._budget()}

    async def change_budget(self, body: bytes, who: Who) -> object:
        """Put another cap in force.

        Raises:
            BadOrder: it makes no sense.
        """
        order = read_budget(body, run=self._sources.run(), now=self._now())
        await self._changing.acquire()
        try:
            cap = await self._cap(order)
            said: dict[str, object] = {
                "account": order.account,
                "measure": SHOWN[order.measure],
                "cap": None if cap is None else in_words(order.measure, cap),
                "until": order.until,
            }
            args = order.account, order.measure, cap, order.until
            set_cap = partial(self._sources.set_cap, *args)
            await self._tried(who, "budget", said, set_cap)
        finally:
            self._changing.release()
        self._note(who, "budget", **said)
        return said

    async def stop(self, body: bytes, who: Who) -> object:
        """End what is under way.

        Raises:
            BadOrder: it makes no sense.
        """
        order = read_stop(body)
        said = {"what": order.what, "name": order.name}
        stop = partial(self._sources.stop, order)
        stopped = await self._tried(who, "stop", said, stop)
        self._note(who, "stop", **said, stopped=stopped)
        return {"stopped": stopped}

    async def drain(self, body: bytes, who: Who) -> object:
        """Begin to stop in order."""
        self._note(who, "drain")
        self._sources.drain()
        return {"draining": True}

    async def reload(self, body: bytes, who: Who) -> object:
        """Read the settings again.

        Raises:
            BadOrder: they make no sense.
        """
        problems = await self._tried(who, "reload", {}, self._sources.reload)
        self._note(who, "reload", problems=len(problems))
        if problems:
            raise BadOrder("; ".join(problems))
        return {"reloaded": True}

    def refused(self, who: Who) -> None:
        """Somebody was not let in."""
        self._note(who, "refused")

    async def _budget(self) -> list[dict[str, object]]:
        standings = await _known(self._sources.standings())
        every = [*standings, *self._untouched(standings)]
        every.sort(key=lambda one: (one.account, one.measure))
        return [self._shown(standing) for standing in every]

    def _untouched(self, standings: Iterable[Standing]) -> list[Standing]:
        """The run's budgets that nothing was spent of yet: the ledger has none of them."""
        account = f"run:{self._sources.run()}"
        known = {one.measure for one in standings if one.account == account}
        return [
            Standing(account, measure)
            for measure in SHOWN
            if measure not in known
            and self._sources.configured(account, measure) is not None
        ]

    def _shown(self, standing: Standing) -> dict[str, object]:
        measure = standing.measure
        cap, by_operator = self._cap_of(standing), self._in_force(standing)
        return {
            "account": standing.account,
            "measure": SHOWN.get(measure, measure),
            "spent": in_words(measure, standing.spent),
            "reserved": in_words(measure, standing.reserved),
            "cap": None if cap is None else in_words(measure, cap),
            "set_by": "operator"
            if by_operator
            else None
            if cap is None
            else "settings",
            "until": standing.until if by_operator else None,
        }

    def _in_force(self, standing: Standing) -> bool:
        """Whether an operator's cap is."""
        ended = standing.until is not None and standing.until <= self._now()
        return standing.cap is not None and not ended

    def _cap_of(self, standing: Standing) -> int | None:
        if self._in_force(standing):
            return standing.cap
        return self._sources.configured(standing.account, standing.measure)

    async def _cap(self, order: BudgetOrder) -> int | None:
        """The cap that is to be in force."""
        if order.add is None:
            return order.cap
        standings = await _known(self._sources.standings())
        cap = self._cap_of(_find(standings, order))
        if cap is None:
            raise BadOrder("there is no cap to add to; set one")
        return min(cap + order.add, MOST)

    async def _tried(
        self,
        who: Who,
        action: str,
        said: dict[str, Any],
        change: Callable[[], Later[T]],
    ) -> T:
        """What comes of a change; one that fails is written down, too."""
        try:
            return await _known(change())
        except Exception as error:
            self._note(who, action, **said, failed=type(error).__name__)
            raise

    def _note(self, who: Who, action: str, **fields: object) -> None:
        self._log(
            "warning", "control", action=action, uid=who.uid, pid=who.pid, **fields
        )


def _find(standings: Sequence[Standing], order: BudgetOrder) -> Standing:
    key = (order.account, order.measure)
    for standing in standings:
        if (standing.account, standing.measure) == key:
            return standing
    return Standing(*key)


async def _known(value: Later[T]) -> T:
    if isawaitable(value):
        # Any: what is awaited gives a T, which isawaitable cannot say.
        known: T = await cast(Any, value)
        return known
    return value
