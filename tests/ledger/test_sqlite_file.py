"""Tests of ``apiproxy.ledger.sqlite_file``."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.ledger import sqlite_file
from apiproxy.ledger.sqlite_file import Checkpoints, opened
from apiproxy.policy.ledger import LedgerUnavailable
from tests.kit.running import ROOT

LOCK = """
import fcntl, sys
fcntl.lockf(open(sys.argv[1], "r+b"), fcntl.LOCK_EX | fcntl.LOCK_NB)
"""


TOGETHER = """
import os, sys
from pathlib import Path
from apiproxy.ledger.sqlite_file import opened
for number in range(30):
    go, told = os.pipe()
    children = []
    for _ in range(3):
        children.append(os.fork())
        if not children[-1]:
            os.close(told)
            os.read(go, 1)
            opened(Path(sys.argv[1]) / f"{number}.sqlite", 0)
            os._exit(0)
    os.close(told)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    os.close(go)
"""


class FileSuite(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="apiproxy-ledger-")
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "ledger.sqlite"

    def connection(self) -> sqlite3.Connection:
        """One more connection."""
        connection = opened(self.path, 0)
        self.addCleanup(connection.close)
        return connection

    def write(self, connection: sqlite3.Connection, rows: int) -> None:
        """Commit so many times."""
        for _ in range(rows):
            connection.execute(
                "INSERT INTO over (id) VALUES (?)", (os.urandom(9).hex(),)
            )


class OpeningTests(FileSuite):
    def test_file_is_made_once(self) -> None:
        """And then opened as it is."""
        self.write(self.connection(), 3)
        found = self.connection().execute("SELECT count(*) FROM over").fetchone()
        self.assertEqual(found, (3,))

    def test_several_can_open_a_new_file_at_once(self) -> None:
        """As the workers of one service do when it is started."""
        ran = subprocess.run(
            [sys.executable, "-c", TOGETHER, str(self.path.parent)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))

    def test_opening_does_not_drop_the_locks_of_this_process(self) -> None:
        """Else another process could take the database away under us."""
        self.write(self.connection(), 1)
        self.connection()
        tried = subprocess.run(
            [sys.executable, "-c", LOCK, str(self.path)],
            capture_output=True,
            check=False,
        )
        self.assertIn(b"BlockingIOError", tried.stderr)

    def test_ledger_that_others_hold_for_long_is_not_waited_for(self) -> None:
        """Not for ever, at least."""
        first = self.connection()
        first.execute("BEGIN IMMEDIATE")
        self.patch(sqlite_file, "_OPENING_MS", 0)
        with self.assertRaises(LedgerUnavailable):
            self.connection()


class CheckpointTests(FileSuite):
    def test_log_begins_anew_when_all_of_it_was_moved(self) -> None:
        """So it does not grow."""
        connection, checkpoints = self.connection(), Checkpoints(self.path)
        self.addCleanup(checkpoints.close)
        log = self.path.with_name("ledger.sqlite-wal")
        self.write(connection, 50)
        size = log.stat().st_size
        for _ in range(5):
            checkpoints.run()
            self.write(connection, 20)
        self.assertEqual(log.stat().st_size, size)

    def test_log_that_has_grown_too_long_makes_writers_wait_once(self) -> None:
        """There was always somebody who read or wrote when it was moved."""
        connection, reader = self.connection(), self.connection()
        checkpoints = Checkpoints(self.path)
        self.addCleanup(checkpoints.close)
        done: list[str] = []
        real = checkpoints._checkpoint

        def noted(how: str) -> tuple[int, int, int]:
            done.append(how)
            return real(how)

        checkpoints._checkpoint = noted  # type: ignore[method-assign]
        self.patch(sqlite_file, "_OPENING_MS", 0)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM over").fetchall()
        self.write(connection, 50)
        checkpoints.run()
        self.assertEqual(done, ["PASSIVE", "PASSIVE"])
        self.patch(sqlite_file, "_LONG_LOG", 10)
        checkpoints.run()
        self.assertEqual(done[2:], ["PASSIVE", "PASSIVE", "RESTART"])

    def test_disk_that_is_broken_is_told(self) -> None:
        """Here the log is gone."""
        checkpoints = Checkpoints(self.path)
        with self.assertRaises(LedgerUnavailable):
            checkpoints.run()
        checkpoints.close()
