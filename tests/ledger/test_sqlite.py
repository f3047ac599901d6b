"""Tests of ``apiproxy.ledger.sqlite``."""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis.stateful import run_state_machine_as_test
from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool

from apiproxy.ledger.rules import Bounds, Store
from apiproxy.ledger.sqlite import SqliteLedger
from apiproxy.policy.ledger import LedgerUnavailable
from tests.kit.hypothesis_profile import STEADY
from tests.ledger.machine import LedgerMachine
from tests.ledger.suite import CommonTests, LedgerSuite, tokens


def at_once(work: Callable[[], None]) -> Deferred[None]:
    """Do it here, where a thread would do it."""
    return maybeDeferred(work)


class SqliteSuite(LedgerSuite):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="apiproxy-ledger-")
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "ledger.sqlite"
        self.clock = Clock()
        self.processes = 0

    async def opened(self, bounds: Bounds | None = None) -> Store:
        return self.process(bounds)

    def process(
        self,
        bounds: Bounds | None = None,
        aside: Callable[[Callable[[], None]], Deferred[None]] = at_once,
        busy_ms: int = 0,
        cleaned: bool = True,
    ) -> SqliteLedger:
        """The ledger as one more process opens it."""
        self.processes += 1
        ledger = SqliteLedger(
            self.path,
            clock=self.clock,
            token=f"process-{self.processes}",
            now=lambda: self.time,
            aside=aside,
            bounds=bounds,
            busy_ms=busy_ms,
        )
        if cleaned:
            self.addCleanup(ledger.close)
        return ledger


class OneProcess:
    """A process that shares the file, as a state machine wants it."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)

    def kill(self) -> None:
        killed(self.ledger)

    def stop(self) -> None:
        closed = self.ledger.close()
        assert closed.called


def killed(ledger: SqliteLedger) -> None:
    """Do what the kernel does when a process is killed: close its files, and no more."""
    ledger._looking.stop()
    ledger._connection.close()
    os.close(ledger._presence._fd)


class SqliteLedgerTests(CommonTests, SqliteSuite):
    """The common tests, and those of a file that several processes share."""

    def test_nothing_is_lost_in_any_order(self) -> None:
        """Whatever the processes that share the file do, and however they end."""
        numbers = count()

        def begin() -> Callable[[], OneProcess]:
            self.path = self.path.with_name(f"{next(numbers)}.sqlite")
            return lambda: OneProcess(self.process(cleaned=False))

        class Machine(LedgerMachine):
            pass

        Machine.begin = staticmethod(begin)
        run_state_machine_as_test(Machine, settings=STEADY)

    async def test_claims_of_a_process_that_was_killed_are_counted_as_set_aside(
        self,
    ) -> None:
        """The next one to open the ledger does so, while those of others stay."""
        first, other = self.process(cleaned=False), self.process()
        await self.reserved(first, "a", tokens(40))
        await self.reserved(other, "b", tokens(7))
        killed(first)
        await self.run_has(other, 0, 47)
        replaced = self.process()
        await self.run_has(replaced, 40, 7)
        self.assertEqual((replaced.presumed, other.presumed), (1, 0))
        self.assertEqual(
            sorted(path.name for path in self.path.parent.glob("*.owner")),
            ["process-2.owner", "process-3.owner"],
        )

    async def test_process_that_is_not_replaced_is_noticed_all_the_same(self) -> None:
        """Those that live look for it every few seconds."""
        first, other = self.process(cleaned=False), self.process()
        await self.reserved(first, "a", tokens(40))
        killed(first)
        self.clock.advance(10)
        await self.run_has(other, 40, 0)

    async def test_only_one_of_those_who_notice_counts(self) -> None:
        """However many look at once."""
        first = self.process(cleaned=False)
        others = [self.process() for _ in range(3)]
        await self.reserved(first, "a", tokens(40))
        killed(first)
        for other in others:
            other.sweep()
        await self.run_has(others[0], 40, 0)
        self.assertEqual(sum(other.presumed for other in others), 1)

    async def test_presumption_is_taken_back(self) -> None:
        """When somebody settles or releases the claim after all."""
        first = self.process(cleaned=False)
        for id in ("settled", "released", "extended"):
            await self.reserved(first, id, tokens(40))
        killed(first)
        other = self.process()
        await self.run_has(other, 120, 0)
        await self.settled(other, "settled", tokens(25))
        await self.settled(other, "settled", tokens(25))
        await self.run_has(other, 105, 0)
        other.release("released")
        await self.run_has(other, 65, 0)
        other.extend("extended", [tokens(5)])
        await self.run_has(other, 25, 45)

    async def test_orderly_end_counts_what_is_under_way(self) -> None:
        """What is settled before is settled; the rest cost what was set aside."""
        first = self.process(cleaned=False)
        await self.reserved(first, "a", tokens(40))
        await self.reserved(first, "b", tokens(40))
        await self.settled(first, "a", tokens(1))
        await first.close()
        await self.run_has(self.process(), 41, 0)
        self.assertEqual(len(list(self.path.parent.glob("*.owner"))), 1)
        with self.assertRaises(LedgerUnavailable):
            first.release("a")

    async def test_file_is_nobody_elses_to_read(self) -> None:
        """What agents cost is not for all users of the machine."""
        ledger = self.process()
        await self.settled(ledger, "a", tokens(1))
        for path in self.path.parent.iterdir():
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    async def test_ledger_that_is_locked_fails_and_recovers(self) -> None:
        """Nobody waits for long; nothing was changed."""
        ledger = self.process()
        await self.reserved(ledger, "a", tokens(40))
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        for attempt in (*self.attempts(ledger), ledger.sweep):
            with self.assertRaises(LedgerUnavailable):
                attempt()
        ledger._busy_ms = 3
        with self.assertRaises(LedgerUnavailable):
            ledger.release("a")
        self.clock.advance(10)  # the look for others fails as well, and is said
        other.execute("ROLLBACK")
        await self.run_has(ledger, 0, 40)
        await self.settled(ledger, "a", tokens(3))
        await self.run_has(ledger, 3, 0)

    async def test_full_disk_fails_and_changes_nothing(self) -> None:
        """And when there is room again, the ledger goes on."""
        ledger = self.process()
        await self.reserved(ledger, "a", tokens(40))
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        with self.assertRaises(LedgerUnavailable) as caught:
            for number in range(1000):
                ledger.settle(f"{number:0200}", [tokens(1)])
        self.assertIn("full", str(caught.exception))
        figures = await self.figures(ledger)
        ledger._connection.execute("PRAGMA max_page_count = 100000")
        spent = figures["run:1"][0]
        self.assertEqual(figures, {"run:1": (spent, 40)})
        await self.settled(ledger, f"{spent:0200}", tokens(1))
        await self.run_has(ledger, spent + 1, 40)

    async def test_entries_that_cannot_be_read_fail(self) -> None:
        """Somebody has written into the file; the claim stays, and so does its count."""
        ledger = self.process()
        await self.reserved(ledger, "a", tokens(40))
        ledger._connection.execute("UPDATE claim SET entries = 'oops'")
        with self.assertRaises(LedgerUnavailable):
            ledger.settle("a", [])
        await self.run_has(ledger, 0, 40)
        ledger._connection.execute("DELETE FROM claim")

    async def test_what_cannot_be_opened_is_said(self) -> None:
        """A file that is no database, one of a later version, a folder, no folder."""
        folder = self.path.parent
        (folder / "text").write_text("not a database, but long enough to be one" * 99)
        later = sqlite3.connect(folder / "later")
        later.execute("PRAGMA user_version = 99")
        later.close()
        for name, words in (
            ("text", "not a database"),
            ("later", "version 99"),
            ("", "unable to open"),
            ("missing/ledger", "No such file"),
        ):
            self.path = folder / name
            with self.assertRaises(LedgerUnavailable) as caught:
                self.process(cleaned=False)
            self.assertIn(words, str(caught.exception))

    async def test_process_whose_lock_cannot_be_made_does_not_open(self) -> None:
        """Else others would take it to be gone."""
        (self.path.parent / "process-1.owner").mkdir()
        with self.assertRaises(LedgerUnavailable):
            self.process(cleaned=False)

    async def test_locks_of_those_who_never_came_are_removed(self) -> None:
        """Of a process that was killed while it was opening the ledger."""
        left = self.path.parent / "left.owner"
        left.touch()
        self.process()
        self.assertFalse(left.exists())

    async def test_process_that_cannot_look_for_others_does_not_open(self) -> None:
        """It leaves no lock behind."""
        first = self.process(cleaned=False)
        await self.reserved(first, "a", tokens(40))
        first._connection.execute("UPDATE claim SET entries = 'oops'")
        killed(first)
        with self.assertRaises(LedgerUnavailable):
            self.process(cleaned=False)
        self.assertFalse((self.path.parent / "process-2.owner").exists())

    async def test_log_is_synced_now_and_then_in_another_thread(self) -> None:
        """Once for a thousand commits, and only once at a time."""
        works: list[tuple[Callable[[], None], Deferred[None]]] = []

        def aside(work: Callable[[], None]) -> Deferred[None]:
            done: Deferred[None] = Deferred()
            works.append((work, done))
            return done

        ledger = self.process(aside=aside, cleaned=False)
        for number in range(2500):
            ledger.settle(str(number), [tokens(1)])
        self.assertEqual(len(works), 1)
        log = self.path.with_name(self.path.name + "-wal")
        size = log.stat().st_size
        work, done = works.pop()
        work()
        done.callback(None)
        ledger.settle("next", [tokens(1)])
        self.assertEqual(len(works), 1)
        for number in range(500):
            ledger.settle(f"more {number}", [tokens(1)])
        self.assertEqual(log.stat().st_size, size)  # it has begun anew
        works.pop()[1].errback(OSError("the disk is broken"))
        closed = ledger.close()
        while works:
            work, done = works.pop()
            work()
            done.callback(None)
        self.assertTrue(closed.called)

    async def test_failed_sync_is_told(self) -> None:
        """Whoever asked for it knows that it is not on the disk; an end is an end."""

        def broken(work: Callable[[], None]) -> Deferred[None]:
            if work == ledger._let_go:
                return at_once(work)
            return fail(LedgerUnavailable("the disk is broken"))

        ledger = self.process(aside=broken, cleaned=False)
        with self.assertRaises(LedgerUnavailable):
            await ledger.sync()
        ledger._checkpoints.close = lambda: ledger._connection.execute("oops")  # type: ignore[method-assign,assignment]
        await ledger.close()
        self.assertEqual(list(self.path.parent.glob("*.owner")), [])
        ledger._connection.close()

    async def test_threads_of_the_reactor_sync(self) -> None:
        """While the reactor's thread goes on writing."""
        ledger = self.process(
            aside=partial(
                deferToThreadPool,
                self.threads,
                self.threads.getThreadPool(),
            ),
            busy_ms=5000,
            cleaned=False,
        )
        syncs = []
        for number in range(300):
            ledger.settle(str(number), [tokens(1)])
            if number % 50 == 0:
                syncs.append(ledger.sync())
        await DeferredList(syncs, fireOnOneErrback=True)
        await ledger.close()
        await self.run_has(self.process(), 300, 0)
