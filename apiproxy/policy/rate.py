"""How often a provider may be asked: requests in a minute and an hour, bytes in a minute.

Each limit is a window that slides over sixty slots, seconds or minutes. A window is a *ring*
of whole numbers in a flat buffer::

    newest slot | sum of all | slot 0 | slot 1 | … | slot 59

where the newest slot is counted since 1970 and stands at its number modulo 60. So a ring can
be in memory that several processes share: each writes its own rings only, and whoever compares
adds up those of all. A ring of a process that has had nothing to do for a while is behind;
what has left the window since is taken off its sum by the reader, who must not write.

A process compares and adds in one step. Two of them may do that at the same moment, and then
both pass where only one should: a limit may be overrun by one request for each process.
"""

import math
from collections.abc import Callable, MutableSequence, Sequence
from typing import Final

from attrs import frozen

from apiproxy.core.errors import BodyTooLarge, ProxyError, RateLimited
from apiproxy.policy.rules import Rates

SLOTS: Final = 60
_NEWEST: Final = 0
_SUM: Final = 1
_FIRST: Final = 2
_RING: Final = _FIRST + SLOTS

Figures = MutableSequence[int] | memoryview
"""A flat buffer of whole numbers of eight bytes, zero at first."""


@frozen
class Window:
    """What one ring measures.

    Attributes:
        name: as the refusal calls it.
        short: as the log and ``/health`` call it.
        slot: seconds in one of its slots.
        what: is counted, for people.
    """

    name: str
    short: str
    slot: int
    what: str


MINUTE = Window("per_minute", "rpm", 1, "requests per minute")
HOUR = Window("per_hour", "rph", 60, "requests per hour")
BYTES = Window("per_minute_bytes", "bytes_pm", 1, "bytes per minute")
WINDOWS = (MINUTE, HOUR, BYTES)
_BYTES: Final = WINDOWS.index(BYTES)

SHORT = {window.name: window.short for window in WINDOWS}
"""For the log: ``RateLimited.details["window"]`` to the type of the limit."""


class RateLimits:
    """The limits of all providers, as one process sees them.

    Attributes:
        enabled: whether there are any.
    """

    def __init__(
        self,
        rates: Rates,
        figures: Figures,
        providers: Sequence[str],
        seconds: Callable[[], float],
        *,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        """Look at the rings.

        Args:
            rates: the limits.
            figures: as many as ``size`` says; all processes have the same ones.
            providers: their names, in the same order in all processes.
            seconds: the time since 1970, of a clock that all processes share.
            worker: which part of the figures is ours.
            workers: how many parts there are.
        """
        self._limits = (rates.rpm, rates.rph, rates.bytes_pm)
        self.enabled = rates.enabled
        self._counts_bytes = rates.enabled and rates.bytes_pm is not None
        self._figures = figures
        self._at = {
            name: at * len(WINDOWS) * _RING for at, name in enumerate(providers)
        }
        self._part = len(providers) * len(WINDOWS) * _RING
        self._own = worker * self._part
        self._workers = workers
        self._seconds = seconds

    @staticmethod
    def size(providers: int, workers: int = 1) -> int:
        """How many figures there must be."""
        return providers * workers * len(WINDOWS) * _RING

    def mend(self) -> None:
        """Make our own rings right, which a process before us may have left in mid-change.

        It counted in them until it was killed, and what it counted still holds.
        """
        figures = self._figures
        for at in range(self._own, self._own + self._part, _RING):
            figures[at + _SUM] = sum(figures[at + _FIRST : at + _RING])

    def admit(self, provider: str, size: int = 0) -> ProxyError | None:
        """Count a request, an upgrade or a ``response.create``, unless it is one too many.

        Args:
            provider: who is asked.
            size: bytes that are known to come with it; of those that are not known
                beforehand ``charge`` tells.

        Returns:
            None if it may pass; ``RateLimited`` with the time to wait;
            ``BodyTooLarge`` if no time would be long enough. Only what passes counts.
        """
        if not self.enabled:
            return None
        now = self._seconds()
        for ring, (window, limit) in enumerate(zip(WINDOWS, self._limits, strict=True)):
            asked = size if window is BYTES else 1
            if limit is None:
                continue
            if asked > limit:
                return _never(size, limit)
            # Bytes that were not foreseen may have gone over the limit, and then
            # even a request without any waits until they have left the window.
            used = self._used(provider, ring, now)
            if used + asked > limit:
                return self._refusal(provider, ring, limit, asked, now)
        self._count(provider, now, size)
        return None

    def charge(self, provider: str, size: int) -> None:
        """Count bytes of a body without a length, or of a WebSocket, as they pass."""
        if self._counts_bytes:
            self._add(provider, _BYTES, self._seconds(), size)

    def state(self) -> dict[str, dict[str, object]]:
        """What ``/health`` shows: the limits of each provider that was asked."""
        if not self.enabled:
            return {}
        now = self._seconds()
        return {name: self._shown(name, now) for name in self._at if self._asked(name)}

    def _asked(self, provider: str) -> bool:
        return any(self._figures[ring + _NEWEST] for ring in self._rings(provider, 0))

    def _shown(self, provider: str, now: float) -> dict[str, object]:
        shown: dict[str, object] = {"enabled": True}
        for ring, (window, limit) in enumerate(zip(WINDOWS, self._limits, strict=True)):
            if limit is not None:
                left = max(0, limit - self._used(provider, ring, now))
                wait = 0 if left else self._wait(provider, ring, limit, 1, now)
                shown[window.short] = {
                    "limit": limit,
                    "remaining": left,
                    "reset": math.ceil(now) + wait if wait else 0,
                }
        return shown

    def _count(self, provider: str, now: float, size: int) -> None:
        for ring, amount in enumerate((1, 1, size)):
            self._add(provider, ring, now, amount)

    def _rings(self, provider: str, ring: int) -> range:
        """Where the rings of all processes begin, for one provider and window."""
        first = self._at[provider] + ring * _RING
        return range(first, first + self._workers * self._part, self._part)

    def _used(self, provider: str, ring: int, now: float) -> int:
        slot = int(now) // WINDOWS[ring].slot
        return sum(
            _total(self._figures, at, slot) for at in self._rings(provider, ring)
        )

    def _add(self, provider: str, ring: int, now: float, amount: int) -> None:
        """Into our own ring; its window slides first."""
        figures = self._figures
        at = self._own + self._at[provider] + ring * _RING
        slot = int(now) // WINDOWS[ring].slot
        _slide(figures, at, slot)
        figures[at + _FIRST + figures[at + _NEWEST] % SLOTS] += amount
        figures[at + _SUM] += amount

    def _refusal(
        self, provider: str, ring: int, limit: int, asked: int, now: float
    ) -> RateLimited:
        window = WINDOWS[ring]
        wait = self._wait(provider, ring, limit, asked, now)
        left = max(0, limit - self._used(provider, ring, now)) if window is BYTES else 0
        return RateLimited(
            f"Too many {window.what} for {provider}: the limit is {limit};"
            f" try again in {wait} seconds.",
            details={
                "provider": provider,
                "limit": limit,
                "window": window.name,
                "retry_after": wait,
            },
            fields=(
                (b"Retry-After", b"%d" % wait),
                (b"X-RateLimit-Limit", b"%d" % limit),
                (b"X-RateLimit-Remaining", b"%d" % left),
                (b"X-RateLimit-Reset", b"%d" % (math.ceil(now) + wait)),
            ),
        )

    def _wait(
        self, provider: str, ring: int, limit: int, asked: int, now: float
    ) -> int:
        """Whole seconds until so much more fits, at least 1."""
        unit = WINDOWS[ring].slot
        slot = int(now) // unit
        used = self._used(provider, ring, now)
        for oldest in range(slot - SLOTS + 1, slot + 1):
            used -= sum(
                _slot(self._figures, at, oldest, slot)
                for at in self._rings(provider, ring)
            )
            if used + asked <= limit:
                return max(1, (oldest + SLOTS) * unit - int(now))
        return SLOTS * unit


def _never(size: int, limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"This request has {size} bytes, and no more than {limit} may pass in a minute"
        " (APIPROXY_RATE_LIMIT_BYTES_PM); waiting does not help."
    )


def _slide(figures: Figures, at: int, slot: int) -> None:
    """Move a ring of our own on to this slot.

    A clock that has been set back a little is not followed. One that was set back by more
    than the window was wrong before, and all that was counted by it is forgotten.
    """
    newest = figures[at + _NEWEST]
    if newest - SLOTS < slot <= newest:
        return
    known = newest < slot < newest + SLOTS
    for each in range(newest + 1, slot + 1) if known else range(SLOTS):
        place = at + _FIRST + each % SLOTS
        figures[at + _SUM] -= figures[place]
        figures[place] = 0
    figures[at + _NEWEST] = slot


def _total(figures: Figures, at: int, slot: int) -> int:
    """What a ring, of any process, has in the window that ends with this slot."""
    newest = figures[at + _NEWEST]
    if not newest - SLOTS < slot < newest + SLOTS:
        return 0
    total = figures[at + _SUM]
    for gone in range(newest - SLOTS + 1, slot - SLOTS + 1):
        total -= figures[at + _FIRST + gone % SLOTS]
    return total


def _slot(figures: Figures, at: int, slot: int, now: int) -> int:
    """What a ring has in one slot of the window that ends now."""
    newest = figures[at + _NEWEST]
    if not newest - SLOTS < now < newest + SLOTS or slot <= newest - SLOTS:
        return 0
    # One that a clock ahead of ours has written counts as written now.
    if slot == now and newest > now:
        return sum(
            figures[at + _FIRST + each % SLOTS] for each in range(now, newest + 1)
        )
    return figures[at + _FIRST + slot % SLOTS] if slot <= newest else 0
