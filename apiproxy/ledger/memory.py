"""The ledger in memory: as long as the process, and not shared with others."""

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.defer import Deferred, succeed

from apiproxy.ledger.rules import (
    MOST,
    Bounds,
    cap_in_force,
    clamped,
    crossed,
    fitting,
    kind_of,
    other,
    reached,
    refused,
    renamed,
)
from apiproxy.policy.ledger import Claim, Entry, Key, Shortage, Standing


class _Row:
    """One account in one measure."""

    __slots__ = ("cap", "reserved", "spent", "touched", "until")

    def __init__(self) -> None:
        self.spent = 0
        self.reserved = 0
        self.cap: int | None = None
        self.until: float | None = None
        self.touched = 0.0


class MemoryLedger:
    """Plain dictionaries.

    Attributes:
        presumed: 0; a process cannot find claims of one before it here.
    """

    presumed = 0

    def __init__(self, now: Callable[[], float], bounds: Bounds | None = None) -> None:
        """Nothing was spent yet.

        Args:
            now: gives epoch seconds.
            bounds: how much is remembered.
        """
        self._now = now
        self._bounds = bounds or Bounds()
        self._rows: dict[Key, _Row] = {}
        self._of_kind: dict[str, int] = {}
        self._full_until: dict[str, float] = {}
        self._claims: dict[str, list[Entry]] = {}
        self._over: dict[str, None] = {}

    def reserve(self, claim: Claim) -> Shortage | None:
        """Set aside what the claim says, or nothing and tell what is short."""
        now = self._now()
        entries = [self._placed(entry, now) for entry in fitting(claim.entries)]
        for entry in entries:
            shortage = refused(entry, self._standing(entry, now))
            if shortage is not None:
                return shortage
        self._set_aside(claim.id, entries, now)
        return None

    def extend(self, id: str, entries: Sequence[Entry]) -> Shortage | None:
        """Set more aside for a claim under way, in any case; tell the first cap crossed."""
        now = self._now()
        placed = [self._placed(entry, now) for entry in fitting(entries)]
        self._set_aside(id, placed, now)
        for entry in placed:
            shortage = crossed(entry, self._standing(entry, now))
            if shortage is not None:
                return shortage
        return None

    def reaches(self, entries: Sequence[Entry]) -> Shortage | None:
        """Tell the first cap that is overrun by what is spent and these amounts."""
        now = self._now()
        placed = [self._placed(entry, now) for entry in fitting(entries)]
        found = (reached(one, self._standing(one, now)) for one in placed)
        return next(filter(None, found), None)

    def settle(self, id: str, spent: Sequence[Entry]) -> None:
        """Write down what was spent and give back what was set aside; once."""
        if id not in self._claims and id in self._over:
            return
        self.release(id)
        self.add(spent)
        self._over[id] = None
        if len(self._over) > self._bounds.over:
            del self._over[next(iter(self._over))]

    def release(self, id: str) -> None:
        """Give back what was set aside; nothing was spent."""
        now = self._now()
        for entry in self._claims.pop(id, ()):
            row = self._row(entry, now)
            row.reserved = max(row.reserved - entry.amount, 0)

    def add(self, entries: Sequence[Entry]) -> None:
        """Write down what nobody could set aside before."""
        now = self._now()
        for entry in fitting(entries):
            row = self._row(self._placed(entry, now), now)
            row.spent = min(row.spent + entry.amount, MOST)

    def clear(self, account: str, measure: str) -> None:
        """Spent is zero again: a streak has ended."""
        row = self._rows.get((account, measure))
        if row is not None:
            row.spent = 0

    def set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None = None
    ) -> None:
        """Put an operator's cap in force, until that time (epoch); None takes it away."""
        row = self._row(Entry(account, measure, 0), self._now())
        row.cap = None if cap is None else clamped(cap)
        row.until = None if cap is None else until

    def standings(self) -> list[Standing]:
        """All there is, sorted by account and measure."""
        now = self._now()
        return [
            self._standing(Entry(account, measure, 0), now)
            for account, measure in sorted(self._rows)
        ]

    def sync(self) -> Deferred[None]:
        """Nothing: memory does not outlast anything."""
        return succeed(None)

    def close(self) -> Deferred[None]:
        """Nothing."""
        return succeed(None)

    def _standing(self, entry: Entry, now: float) -> Standing:
        row = self._rows.get((entry.account, entry.measure))
        if row is None:
            return Standing(entry.account, entry.measure)
        cap = cap_in_force(row.cap, row.until, now)
        until = None if cap is None else row.until
        return Standing(
            entry.account, entry.measure, row.spent, row.reserved, cap, until
        )

    def _set_aside(self, id: str, entries: Sequence[Entry], now: float) -> None:
        for entry in entries:
            row = self._row(entry, now)
            row.reserved = min(row.reserved + entry.amount, MOST)
        self._claims.setdefault(id, []).extend(entries)

    def _row(self, entry: Entry, now: float) -> _Row:
        row = self._rows.get((entry.account, entry.measure))
        if row is None:
            row = self._rows[entry.account, entry.measure] = _Row()
            kind = kind_of(entry.account)
            self._of_kind[kind] = self._of_kind.get(kind, 0) + 1
        row.touched = now
        return row

    def _placed(self, entry: Entry, now: float) -> Entry:
        """The entry on the account where it is counted."""
        if (entry.account, entry.measure) in self._rows:
            return entry
        kind = kind_of(entry.account)
        if self._of_kind.get(kind, 0) < self._bounds.rows or self._room(kind, now):
            return entry
        return renamed(entry, other(entry.account))

    def _room(self, kind: str, now: float) -> bool:
        """Forget accounts that nobody has touched for long; whether there was one."""
        if now < self._full_until.get(kind, 0):
            return False
        old = list(self._old(kind, now - self._bounds.keep))
        for key in old:
            del self._rows[key]
        self._of_kind[kind] -= len(old)
        if not old:
            self._full_until[kind] = now + self._bounds.again
        return bool(old)

    def _old(self, kind: str, before: float) -> Iterator[Key]:
        for key, row in self._rows.items():
            idle = row.reserved == 0 and row.cap is None and row.touched < before
            if idle and kind_of(key[0]) == kind:
                yield key

    def __repr__(self) -> str:
        return f"<MemoryLedger {len(self._rows)} rows, {len(self._claims)} claims>"
