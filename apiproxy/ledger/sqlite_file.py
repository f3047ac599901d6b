"""The file of the SQLite ledger: opened, made, and written through to the disk.

The log of SQLite (its WAL) is written at every commit but not synced, so a commit never
waits for the disk: it survives the end of the process at any point, not that of the power.
Now and then the log is synced and moved into the database; that takes as long as the disk
takes, and is done by a second connection in another thread. ``PASSIVE`` never keeps a writer
waiting; only if the log has grown very long, because there was no moment without a writer,
are the writers kept waiting for once, so that it begins anew.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apiproxy.policy.ledger import LedgerUnavailable

VERSION = 1
_APPLICATION = 0x61707278  # "aprx"
_OPENING_MS = 5_000  # how long others may keep us waiting at the start
_LONG_LOG = 65_536  # pages

_SCHEMA = f"""
CREATE TABLE account (
    account TEXT NOT NULL,
    measure TEXT NOT NULL,
    spent INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0,
    cap INTEGER,
    until REAL,
    touched INTEGER NOT NULL,
    PRIMARY KEY (account, measure)
) STRICT, WITHOUT ROWID;
CREATE TABLE owner (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE claim (
    id TEXT PRIMARY KEY,
    owner INTEGER NOT NULL,
    entries TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE over (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    presumed TEXT
) STRICT;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
"""


def opened(path: Path, busy_ms: int) -> sqlite3.Connection:
    """A connection to the ledger in this file, which is made if it is not there.

    Args:
        path: of the database.
        busy_ms: how long a transaction may wait for that of another process.

    Raises:
        LedgerUnavailable: it cannot be opened, is not a ledger, or a later version's.
    """
    try:
        with _alone(path):
            connection = _connected(path)
            try:
                _prepare(connection)
                connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
            except BaseException:
                connection.close()
                raise
    except (sqlite3.Error, OSError) as error:
        raise LedgerUnavailable(f"{path}: {error}") from error
    return connection


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process opens the file meanwhile.

    While one changes a new file to have a log, others that want to are not made to wait by
    SQLite, but fail.
    """
    fd = os.open(f"{path}-opening", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _connected(path: Path) -> sqlite3.Connection:
    # Made by us, so that nobody else can read what agents cost; and only made: to close a
    # descriptor of the database would drop all locks that this process has on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    return sqlite3.connect(
        path,
        timeout=_OPENING_MS / 1000,
        isolation_level=None,
        check_same_thread=False,  # closed, and synced, in another thread
    )


def _prepare(connection: sqlite3.Connection) -> None:
    # Small pages, because a commit writes all that it has touched, whole.
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
    connection.execute("COMMIT")
    if version not in (0, VERSION):
        raise LedgerUnavailable(
            f"a ledger of version {version}; this apiproxy reads version {VERSION}"
        )


class Checkpoints:
    """The second connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet.

        Args:
            path: of the database.
        """
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def run(self) -> None:
        """Sync the log, and move what is in it to the database.

        Raises:
            LedgerUnavailable: the disk is full, or broken.
        """
        try:
            self._sync()
            self._move()
        except (sqlite3.Error, OSError) as error:
            raise LedgerUnavailable(str(error)) from error

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sync(self) -> None:
        # A checkpoint syncs only what it moves, and moves nothing while somebody reads.
        log = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(log)
        finally:
            os.close(log)

    def _move(self) -> None:
        if self._connection is None:
            self._connection = _connected(self._path)
            self._connection.execute("PRAGMA synchronous = NORMAL")
        _, pages, moved = self._checkpoint("PASSIVE")
        if moved < pages:  # some came while the others were moved
            _, pages, moved = self._checkpoint("PASSIVE")
        if moved < pages and pages > _LONG_LOG:
            self._checkpoint("RESTART")

    def _checkpoint(self, how: str) -> tuple[int, int, int]:
        assert self._connection is not None
        row: tuple[int, int, int] = self._connection.execute(
            f"PRAGMA wal_checkpoint({how})"
        ).fetchone()
        return row
