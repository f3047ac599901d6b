"""The rows of a ledger in SQLite: accounts, claims under way, and claims that are over.

Whoever calls this has begun a transaction, and ends it. An account that nobody has used has no
row; one that is not to have any is counted with others of its kind (``ledger.rules``).
"""

import sqlite3
from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from apiproxy.ledger.rules import (
    MOST,
    Bounds,
    cap_in_force,
    clamped,
    kind_of,
    other,
    renamed,
)
from apiproxy.policy.ledger import Entry, Key, Standing

Changes: TypeAlias = dict[Key, tuple[int, int]]
"""What is added to spent and to reserved."""

_TIDY = 64  # settled claims, between two times that old ones are forgotten

_READ = (
    "SELECT spent, reserved, cap, until FROM account WHERE account = ? AND measure = ?"
)
_CHANGE = (  # MOST is a number of ours
    f"UPDATE account SET spent = max(0, min({MOST}, spent + ?)),"  # noqa: S608  # nosec B608
    f" reserved = max(0, min({MOST}, reserved + ?)), touched = ?"
    " WHERE account = ? AND measure = ?"
)
_MAKE = (
    "INSERT INTO account (account, measure, touched) VALUES (?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_OVER = "INSERT OR REPLACE INTO over (id, presumed) VALUES (?, ?)"
_NOT_PRESUMED = "DELETE FROM over WHERE id = ? AND presumed IS NOT NULL"
_TAKE = "DELETE FROM claim WHERE id = ? RETURNING entries"
_FORGET = (
    "DELETE FROM account WHERE account >= ? AND account < ?"
    " AND reserved = 0 AND cap IS NULL AND touched < ?"
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[tuple[str, str, int]]).decode


class Rows:
    """All rows, as one process changes them."""

    def __init__(self, cursor: sqlite3.Cursor, bounds: Bounds) -> None:
        """Whatever is there.

        Args:
            cursor: of the database.
            bounds: how much is remembered.
        """
        self._cursor = cursor
        self._bounds = bounds
        self._full_until: dict[str, float] = {}
        self._settled = 0

    # Accounts.

    def placed(self, entry: Entry, now: float) -> tuple[Entry, Standing]:
        """The entry on the account where it is counted, and how that stands."""
        account, measure = entry.account, entry.measure
        row = self._cursor.execute(_READ, (account, measure)).fetchone()
        if row is None:
            if self._room(account, now):
                return entry, Standing(account, measure)
            entry = renamed(entry, other(account))
            account = entry.account
            row = self._cursor.execute(_READ, (account, measure)).fetchone()
        return entry, _standing(account, measure, row or (0, 0, None, None), now)

    def change(self, changes: Changes, now: float) -> None:
        """Change rows, and make those that are not there."""
        second = int(now)
        self._cursor.executemany(
            _CHANGE,
            [
                (spent, reserved, second, account, measure)
                for (account, measure), (spent, reserved) in changes.items()
            ],
        )
        if changes and self._cursor.rowcount != len(changes):
            self._make_rows(changes, now)

    def _make_rows(self, changes: Changes, now: float) -> None:
        """Make the rows that were not there, and change those."""
        second = int(now)
        # All looked for before the first is made, which may be where another is counted.
        missing = [
            key
            for key in changes
            if self._cursor.execute(_READ, key).fetchone() is None
        ]
        for key in missing:
            account, measure = key
            if not self._room(account, now):
                account = other(account)
            self._cursor.execute(_MAKE, (account, measure, second))
            self._cursor.execute(_CHANGE, (*changes[key], second, account, measure))

    def _room(self, account: str, now: float) -> bool:
        """Whether one more row of this kind may be made."""
        kind = kind_of(account)
        if now < self._full_until.get(kind, 0):
            return False
        span = f"{kind}:", f"{kind};"  # ";" is what comes after ":"
        count = self._cursor.execute(
            "SELECT count(*) FROM account WHERE account >= ? AND account < ?", span
        ).fetchone()[0]
        if count < self._bounds.rows:
            return True
        before = int(now - self._bounds.keep)
        if self._cursor.execute(_FORGET, (*span, before)).rowcount:
            return True
        self._full_until[kind] = now + self._bounds.again
        return False

    def clear(self, account: str, measure: str) -> None:
        """Spent is zero again."""
        self._cursor.execute(
            "UPDATE account SET spent = 0"
            " WHERE account = ? AND measure = ? AND spent != 0",
            (account, measure),
        )

    def set_cap(
        self,
        account: str,
        measure: str,
        cap: int | None,
        until: float | None,
        now: float,
    ) -> None:
        """Write down an operator's cap; None takes it away."""
        limit, end = (None, None) if cap is None else (clamped(cap), until)
        self._cursor.execute(_MAKE, (account, measure, int(now)))
        self._cursor.execute(
            "UPDATE account SET cap = ?, until = ? WHERE account = ? AND measure = ?",
            (limit, end, account, measure),
        )

    def standings(self, now: float) -> list[Standing]:
        """All there is, sorted by account and measure."""
        rows = self._cursor.execute(
            "SELECT account, measure, spent, reserved, cap, until"
            " FROM account ORDER BY account, measure"
        ).fetchall()
        return [_standing(row[0], row[1], row[2:], now) for row in rows]

    # Claims.

    def set_aside(
        self, id: str, owner: int, entries: Iterable[Entry], now: float
    ) -> None:
        """Add to what a claim has set aside; what was presumed of it is set aside again."""
        before = self.given_back(id) or {}
        kept: dict[Key, int] = {}
        for (account, measure), (spent, reserved) in before.items():
            kept[account, measure] = -spent - reserved
        for entry in entries:
            key = entry.account, entry.measure
            kept[key] = kept.get(key, 0) + entry.amount
        for (account, measure), amount in kept.items():
            add(before, account, measure, reserved=amount)
        self.change(before, now)
        packed = [(account, measure, n) for (account, measure), n in kept.items()]
        self._cursor.execute(
            "INSERT INTO claim (id, owner, entries) VALUES (?, ?, ?)",
            (id, owner, _encode(packed).decode()),
        )

    def given_back(self, id: str) -> Changes | None:
        """What must be taken back of a claim; it is not under way any more.

        Returns:
            None if it has been settled.
        """
        changes: Changes = {}
        row = self._cursor.execute(_TAKE, (id,)).fetchone()
        if row is not None:
            for account, measure, amount in _decode(row[0]):
                add(changes, account, measure, reserved=-amount)
            return changes
        row = self._cursor.execute(
            "SELECT presumed FROM over WHERE id = ?", (id,)
        ).fetchone()
        if row is None:
            return changes
        if row[0] is None:
            return None
        for account, measure, amount in _decode(row[0]):
            add(changes, account, measure, spent=-amount)
        return changes

    def settled(self, id: str) -> None:
        """Remember that a claim was settled; now and then, forget the oldest such."""
        self._cursor.execute(_OVER, (id, None))
        self._settled += 1
        if self._settled % _TIDY == 0:
            self._cursor.execute(
                "DELETE FROM over WHERE n <= (SELECT max(n) FROM over) - ?",
                (self._bounds.over,),
            )

    def released(self, id: str) -> None:
        """Nothing is presumed of a claim any more."""
        self._cursor.execute(_NOT_PRESUMED, (id,))

    def presume(self, owner: int, now: float) -> int:
        """Count what an owner has under way at what was set aside, and forget the owner.

        Returns:
            How many claims these were.
        """
        changes: Changes = {}
        claims = self._cursor.execute(
            "DELETE FROM claim WHERE owner = ? RETURNING id, entries", (owner,)
        ).fetchall()
        for _, entries in claims:
            for account, measure, amount in _decode(entries):
                add(changes, account, measure, spent=amount, reserved=-amount)
        self.change(changes, now)
        self._cursor.executemany(_OVER, claims)
        self._cursor.execute("DELETE FROM owner WHERE n = ?", (owner,))
        return len(claims)


def add(
    changes: Changes, account: str, measure: str, *, spent: int = 0, reserved: int = 0
) -> None:
    """Note one more change."""
    before = changes.get((account, measure), (0, 0))
    changes[account, measure] = before[0] + spent, before[1] + reserved


def _standing(
    account: str,
    measure: str,
    row: tuple[int, int, int | None, float | None],
    now: float,
) -> Standing:
    cap = cap_in_force(row[2], row[3], now)
    until = None if cap is None else row[3]
    return Standing(account, measure, row[0], row[1], cap, until)
