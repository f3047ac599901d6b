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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from apiproxy.ledger.presence import Presence, forget, gone, tokens
from apiproxy.ledger.rules import Bounds, crossed, fitting, reached, refused
from apiproxy.ledger.sqlite_file import Checkpoints, opened
from apiproxy.ledger.sqlite_rows import Changes, Rows, add
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

_CHECKPOINT = 1_000  # commits
_BUSY_MS = 100
_LOOK = 10.0  # seconds


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
        self._closed = False
        self._busy_ms = busy_ms
        self._commits = 0
        self._syncing: Deferred[None] | None = None
        self._checkpoints = Checkpoints(path)
        self._one_at_a_time = DeferredLock()
        self._connection = opened(path, busy_ms=1)
        self._cursor = self._connection.cursor()
        self._rows = Rows(self._cursor, bounds or Bounds())
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
        rows = self._rows
        with self._transaction() as now:
            entries = []
            for wanted in fitting(claim.entries):
                entry, standing = rows.placed(wanted, now)
                shortage = refused(entry, standing)
                if shortage is not None:
                    return shortage
                entries.append(entry)
            rows.set_aside(claim.id, self._owner, entries, now)
        return None

    def extend(self, id: str, entries: Sequence[Entry]) -> Shortage | None:
        """Set more aside for a claim under way, in any case; tell the first cap crossed."""
        with self._transaction() as now:
            placed = [self._rows.placed(entry, now)[0] for entry in fitting(entries)]
            self._rows.set_aside(id, self._owner, placed, now)
            for entry in placed:
                shortage = crossed(entry, self._rows.placed(entry, now)[1])
                if shortage is not None:
                    return shortage
        return None

    def reaches(self, entries: Sequence[Entry]) -> Shortage | None:
        """Tell the first cap that is overrun by what is spent and these amounts."""
        with self._transaction() as now:
            placed = [self._rows.placed(entry, now) for entry in fitting(entries)]
        return next(filter(None, (reached(*one) for one in placed)), None)

    def settle(self, id: str, spent: Sequence[Entry]) -> None:
        """Write down what was spent and give back what was set aside; once."""
        with self._transaction() as now:
            changes = self._rows.given_back(id)
            if changes is None:
                return
            for entry in fitting(spent):
                add(changes, entry.account, entry.measure, spent=entry.amount)
            self._rows.change(changes, now)
            self._rows.settled(id)

    def release(self, id: str) -> None:
        """Give back what was set aside; nothing was spent."""
        with self._transaction() as now:
            changes = self._rows.given_back(id)
            if changes:
                self._rows.change(changes, now)
                self._rows.released(id)

    def add(self, entries: Sequence[Entry]) -> None:
        """Write down what nobody could set aside before."""
        changes: Changes = {}
        for entry in fitting(entries):
            add(changes, entry.account, entry.measure, spent=entry.amount)
        with self._transaction() as now:
            self._rows.change(changes, now)

    def clear(self, account: str, measure: str) -> None:
        """Spent is zero again: a streak has ended."""
        with self._transaction():
            self._rows.clear(account, measure)

    def set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None = None
    ) -> None:
        """Put an operator's cap in force, until that time (epoch); None takes it away."""
        with self._transaction() as now:
            self._rows.set_cap(account, measure, cap, until, now)

    def standings(self) -> list[Standing]:
        """All there is, sorted by account and measure."""
        with self._transaction() as now:
            return self._rows.standings(now)

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

    def _presume(self, owner: int) -> None:
        """Count what an owner has under way at what was set aside, and forget the owner."""
        with self._transaction() as now:
            claims = self._rows.presume(owner, now)
        self.presumed += claims
        if claims:
            _log.warn(
                "{claims} requests that were under way in a process that has ended are"
                " counted at what they had set aside",
                claims=claims,
            )

    def __repr__(self) -> str:
        return f"<SqliteLedger owner {self._owner}, {self.presumed} presumed>"
