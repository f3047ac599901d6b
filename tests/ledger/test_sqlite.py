"""Tests of ``apiproxy.ledger.sqlite``."""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis.stateful import run_state_machine_as_test
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

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
