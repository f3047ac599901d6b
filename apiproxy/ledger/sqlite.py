"""The ledger in a SQLite file: it outlasts the process, and several processes share it.

Every operation is one transaction on the reactor's thread, some tens of microseconds long;
the disk is not waited for (``sqlite_file`` says how). What is committed is there after a
``kill -9`` at any point.

A claim belongs to the process that made it, its *owner*. If an owner is gone (``presence``
says how that is known), nobody will tell any more what its requests have cost. Whoever
notices presumes that they cost what was set aside: at the start, so before anything new
passes, and every few seconds. Should somebody settle such a claim after all, the presumption
is taken back.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from apiproxy.ledger.presence import Presence, forget, gone, tokens
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
from apiproxy.ledger.sqlite_file import Checkpoints, opened
from apiproxy.policy.ledger import (
    Claim,
    Entry,
    LedgerUnavailable,
    Shortage,
    Standing,
)

_log = Logger()

Aside: TypeAlias = Callable[[Callable[[], None]], Deferred[None]]
"""Does something that takes long where nobody waits for it: in another thread."""

_Key: TypeAlias = tuple[str, str]
_Changes: TypeAlias = dict[_Key, tuple[int, int]]
"""What is added to spent and to reserved."""

_CHECKPOINT = 1_000  # commits
_TIDY = 64  # settled claims, between two times that old ones are forgotten
_BUSY_MS = 100
_LOOK = 10.0  # seconds

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


class SqliteLedger:
    """One file, several processes.

    Attributes:
        presumed: claims of others that this process has counted at what they had set aside.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: IReactorTime,
        token: str,
        now: Callable[[], float],
        aside: Aside,
        bounds: Bounds | None = None,
        busy_ms: int = _BUSY_MS,
    ) -> None:
        """Open the ledger, and count the claims of those who are gone.

        It must be opened by the process that uses it, not by one that forks it.

        Args:
            path: of the database; files beside it are named after it, and the locks of
                the processes that use it are in its folder.
            clock: counts the seconds between two looks for others who are gone.
            token: the name of this process among the others; never used before.
            now: gives epoch seconds.
            aside: does the syncing.
            bounds: how much is remembered.
            busy_ms: how long an operation may wait for that of another process.

        Raises:
            LedgerUnavailable: it cannot be opened.
        """
        self.presumed = 0
        self._folder = path.parent
        self._now = now
        self._aside = aside
        self._bounds = bounds or Bounds()
        self._full_until: dict[str, float] = {}
        self._closed = False
        self._busy_ms = busy_ms
        self._commits = 0
        self._settled = 0
        self._syncing: Deferred[None] | None = None
        self._checkpoints = Checkpoints(path)
        self._one_at_a_time = DeferredLock()
        self._connection = opened(path, busy_ms=1)
        self._cursor = self._connection.cursor()
        try:
            self._presence, self._owner = self._enter(token)
            self._swept_or_left()
        except BaseException:
            self._connection.close()
            raise
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock
        self._running = self._looking.start(_LOOK, now=False)

    def reserve(self, claim: Claim) -> Shortage | None:
        """Set aside what the claim says, or nothing and tell what is short."""
        with self._transaction() as now:
            entries = []
            for wanted in fitting(claim.entries):
                entry, standing = self._placed(wanted, now)
                shortage = refused(entry, standing)
                if shortage is not None:
                    return shortage
                entries.append(entry)
            self._set_aside(claim.id, entries, now)
        return None

    def extend(self, id: str, entries: Sequence[Entry]) -> Shortage | None:
        """Set more aside for a claim under way, in any case; tell the first cap crossed."""
        with self._transaction() as now:
            placed = [self._placed(entry, now)[0] for entry in fitting(entries)]
            self._set_aside(id, placed, now)
            for entry in placed:
                shortage = crossed(entry, self._placed(entry, now)[1])
                if shortage is not None:
                    return shortage
        return None

    def reaches(self, entries: Sequence[Entry]) -> Shortage | None:
        """Tell the first cap that is overrun by what is spent and these amounts."""
        with self._transaction() as now:
            placed = [self._placed(entry, now) for entry in fitting(entries)]
        return next(filter(None, (reached(*one) for one in placed)), None)

    def settle(self, id: str, spent: Sequence[Entry]) -> None:
        """Write down what was spent and give back what was set aside; once."""
        with self._transaction() as now:
            changes = self._given_back(id)
            if changes is None:
                return
            for entry in fitting(spent):
                _add(changes, entry.account, entry.measure, spent=entry.amount)
            self._change(changes, now)
            self._cursor.execute(_OVER, (id, None))
            self._tidy()

    def release(self, id: str) -> None:
        """Give back what was set aside; nothing was spent."""
        with self._transaction() as now:
            changes = self._given_back(id)
            if changes:
                self._change(changes, now)
                self._cursor.execute(_NOT_PRESUMED, (id,))

    def add(self, entries: Sequence[Entry]) -> None:
        """Write down what nobody could set aside before."""
        changes: _Changes = {}
        for entry in fitting(entries):
            _add(changes, entry.account, entry.measure, spent=entry.amount)
        with self._transaction() as now:
            self._change(changes, now)

    def clear(self, account: str, measure: str) -> None:
        """Spent is zero again: a streak has ended."""
        with self._transaction():
            self._cursor.execute(
                "UPDATE account SET spent = 0"
                " WHERE account = ? AND measure = ? AND spent != 0",
                (account, measure),
            )

    def set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None = None
    ) -> None:
        """Put an operator's cap in force, until that time (epoch); None takes it away."""
        limit, end = (None, None) if cap is None else (clamped(cap), until)
        with self._transaction() as now:
            self._cursor.execute(_MAKE, (account, measure, int(now)))
            self._cursor.execute(
                "UPDATE account SET cap = ?, until = ?"
                " WHERE account = ? AND measure = ?",
                (limit, end, account, measure),
            )

    def standings(self) -> list[Standing]:
        """All there is, sorted by account and measure."""
        with self._transaction() as now:
            rows = self._cursor.execute(
                "SELECT account, measure, spent, reserved, cap, until"
                " FROM account ORDER BY account, measure"
            ).fetchall()
        return [_standing(row[0], row[1], row[2:], now) for row in rows]

    def sweep(self) -> None:
        """Count the claims of owners that are gone at what they have set aside.

        Raises:
            LedgerUnavailable: it cannot be done now.
        """
        with self._transaction():
            owners = self._cursor.execute(
                "SELECT n, token FROM owner WHERE n != ?", (self._owner,)
            ).fetchall()
        for owner, token in owners:
            if gone(self._folder, token):
                self._presume(owner)
                forget(self._folder, token)

    def sync(self) -> Deferred[None]:
        """Make all that was written down outlast a power failure.

        Errors:
            LedgerUnavailable: the disk is full, or broken.
        """
        self._commits = 0
        return self._one_at_a_time.run(self._aside, self._checkpoints.run)

    def _look(self) -> None:
        try:
            self.sweep()
        except LedgerUnavailable as error:
            _log.warn("the ledger could not be swept: {error}", error=error)

    async def _close(self) -> None:
        self._looking.stop()
        try:
            self._presume(self._owner)
            await self.sync()
        except LedgerUnavailable as error:
            _log.error("the ledger was not closed in order: {error}", error=error)
        # In the other thread, because the last one to close a database syncs it once more.
        await self._one_at_a_time.run(self._aside, self._let_go)

    def close(self) -> Deferred[None]:
        """Count what is still under way at what was set aside, sync, and let go."""
        if self._closed:
            return succeed(None)
        self._closed = True
        return Deferred.fromCoroutine(self._close())

    def _let_go(self) -> None:
        try:
            self._checkpoints.close()
            self._connection.close()
        except sqlite3.Error as error:
            _log.error("the ledger was not closed in order: {error}", error=error)
        finally:
            self._presence.end()

    def _swept_or_left(self) -> None:
        try:
            self.sweep()
        except BaseException:
            self._presence.end()
            raise

    def _enter(self, token: str) -> tuple[Presence, int]:
        # The lock first: nobody must find an owner who is not there yet.
        try:
            presence = Presence(self._folder, token)
        except OSError as error:
            raise LedgerUnavailable(str(error)) from error
        try:
            with self._transaction():
                known = self._cursor.execute("SELECT token FROM owner").fetchall()
                self._cursor.execute("INSERT INTO owner (token) VALUES (?)", (token,))
                owner = self._cursor.lastrowid
        except BaseException:
            presence.end()
            raise
        assert owner is not None
        for left in set(tokens(self._folder)) - {row[0] for row in known} - {token}:
            forget(self._folder, left)
        return presence, owner

    @contextmanager
    def _transaction(self) -> Iterator[float]:
        """All or nothing; gives the time. A ``return`` inside it commits."""
        try:
            self._begin()
            try:
                yield self._now()
                self._cursor.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._cursor.execute("ROLLBACK")
                raise
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise LedgerUnavailable(str(error)) from error
        self._commits += 1
        if self._commits >= _CHECKPOINT and not self._one_at_a_time.locked:
            self._syncing = self.sync().addErrback(self._not_synced)

    def _begin(self) -> None:
        # SQLite itself looks ever more seldom, and comes away empty when others are busy.
        for _ in range(self._busy_ms):
            try:
                self._cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # of any kind
                    raise
            else:
                return
        self._cursor.execute("BEGIN IMMEDIATE")

    def _not_synced(self, failure: object) -> None:
        _log.warn("the ledger could not be synced: {failure}", failure=failure)

    def _placed(self, entry: Entry, now: float) -> tuple[Entry, Standing]:
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

    def _set_aside(self, id: str, entries: Iterable[Entry], now: float) -> None:
        """Add to what a claim has set aside; what was presumed of it is set aside again."""
        before = self._given_back(id) or {}
        kept: dict[_Key, int] = {}
        for (account, measure), (spent, reserved) in before.items():
            kept[account, measure] = -spent - reserved
        for entry in entries:
            key = entry.account, entry.measure
            kept[key] = kept.get(key, 0) + entry.amount
        for (account, measure), amount in kept.items():
            _add(before, account, measure, reserved=amount)
        self._change(before, now)
        packed = [(account, measure, n) for (account, measure), n in kept.items()]
        self._cursor.execute(
            "INSERT INTO claim (id, owner, entries) VALUES (?, ?, ?)",
            (id, self._owner, _encode(packed).decode()),
        )

    def _given_back(self, id: str) -> _Changes | None:
        """What must be taken back of a claim; it is not under way any more.

        Returns:
            None if it has been settled.
        """
        changes: _Changes = {}
        row = self._cursor.execute(_TAKE, (id,)).fetchone()
        if row is not None:
            for account, measure, amount in _decode(row[0]):
                _add(changes, account, measure, reserved=-amount)
            return changes
        row = self._cursor.execute(
            "SELECT presumed FROM over WHERE id = ?", (id,)
        ).fetchone()
        if row is None:
            return changes
        if row[0] is None:
            return None
        for account, measure, amount in _decode(row[0]):
            _add(changes, account, measure, spent=-amount)
        return changes

    def _change(self, changes: _Changes, now: float) -> None:
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

    def _make_rows(self, changes: _Changes, now: float) -> None:
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

    def _tidy(self) -> None:
        self._settled += 1
        if self._settled % _TIDY == 0:
            self._cursor.execute(
                "DELETE FROM over WHERE n <= (SELECT max(n) FROM over) - ?",
                (self._bounds.over,),
            )

    def _presume(self, owner: int) -> None:
        """Count what an owner has under way at what was set aside, and forget the owner."""
        changes: _Changes = {}
        with self._transaction() as now:
            claims = self._cursor.execute(
                "DELETE FROM claim WHERE owner = ? RETURNING id, entries", (owner,)
            ).fetchall()
            for _, entries in claims:
                for account, measure, amount in _decode(entries):
                    _add(changes, account, measure, spent=amount, reserved=-amount)
            self._change(changes, now)
            self._cursor.executemany(_OVER, claims)
            self._cursor.execute("DELETE FROM owner WHERE n = ?", (owner,))
        self.presumed += len(claims)
        if claims:
            _log.warn(
                "{claims} requests that were under way in a process that has ended are"
                " counted at what they had set aside",
                claims=len(claims),
            )

    def __repr__(self) -> str:
        return f"<SqliteLedger owner {self._owner}, {self.presumed} presumed>"


def _add(
    changes: _Changes, account: str, measure: str, *, spent: int = 0, reserved: int = 0
) -> None:
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
