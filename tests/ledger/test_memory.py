"""Tests of ``apiproxy.ledger.memory``."""

from collections.abc import Callable
from typing import cast

from hypothesis.stateful import run_state_machine_as_test

from apiproxy.ledger.memory import MemoryLedger
from apiproxy.ledger.rules import Bounds, Store
from tests.kit.hypothesis_profile import STEADY
from tests.ledger.machine import LedgerMachine, Process
from tests.ledger.suite import CommonTests, LedgerSuite


class MemoryLedgerTests(CommonTests, LedgerSuite):
    async def opened(self, bounds: Bounds | None = None) -> Store:
        ledger = MemoryLedger(lambda: self.time, bounds)
        self.addCleanup(ledger.close)
        return ledger

    def test_nothing_is_lost_in_any_order(self) -> None:
        """Claims, settles, releases and extensions come out right, and no cap is slipped."""

        def begin() -> Callable[[], Process]:
            return lambda: cast(Process, MemoryLedger(lambda: self.time))

        class Machine(LedgerMachine):
            sharing = 1
            # Memory ends with its process.
            kill = restart = None  # type: ignore[assignment]

            def teardown(self) -> None:
                pass

        Machine.begin = staticmethod(begin)
        run_state_machine_as_test(Machine, settings=STEADY)
