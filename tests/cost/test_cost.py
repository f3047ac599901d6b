"""What one unit of work costs has not grown. ``make cost`` writes the numbers down anew.

Nothing is timed: see ``tests.cost.counting``. Where a number has changed, the failure says
which functions are called more or less often than when it was written down.
"""

from importlib.metadata import version
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.cost import numbers
from tests.cost.counting import Calls
from tests.cost.units import UNITS, measured


class CostTests(SynchronousTestCase):
    """The counts are the same on every machine and at every run."""

    calls: dict[str, Calls]

    def counted(self, unit: str) -> Calls:
        """What the unit calls; counted once for all tests."""
        if not hasattr(CostTests, "calls"):
            CostTests.calls = {}
        if unit not in CostTests.calls:
            folder = Path(self.mktemp())
            folder.mkdir()
            CostTests.calls[unit] = measured(unit, folder)
        return CostTests.calls[unit]

    def pinned(self) -> numbers.Pinned:
        """What was written down for this version of Python."""
        pinned = numbers.read(numbers.series())
        if pinned is None:
            raise SkipTest(f"no numbers for Python {numbers.series()} yet: make cost")
        return pinned

    def explained(self, unit: str, what: list[str], advice: str) -> str:
        """What is wrong, in which functions, and what to do."""
        pinned, now = self.pinned(), self.counted(unit).functions()
        where = numbers.changed(pinned.functions[unit], now)
        used = (
            f"counted with Twisted {version('twisted')}, pinned with {pinned.twisted}"
        )
        return "\n  ".join([f"{unit}: {'; '.join(what)}", used, advice, *where])

    def test_nothing_costs_more_than_was_written_down(self) -> None:
        """Calls may grow by 5 %, system calls not at all."""
        pinned = self.pinned()
        for unit in UNITS:
            more = numbers.grown(pinned.figures[unit], self.counted(unit).figures())
            advice = "if the work is worth it: make cost"
            if more:
                self.fail(self.explained(unit, more, advice))

    def test_what_has_become_cheaper_is_written_down(self) -> None:
        """By more than 15 %, so that it cannot be lost again unnoticed."""
        pinned = self.pinned()
        for unit in UNITS:
            less = numbers.fallen(pinned.figures[unit], self.counted(unit).figures())
            advice = "well done; write the better numbers down: make cost"
            if less:
                self.fail(self.explained(unit, less, advice))

    def test_counts_are_exactly_repeatable(self) -> None:
        """A second scene gives the same calls, function by function."""
        folder = Path(self.mktemp())
        folder.mkdir()
        again = measured("event", folder)
        self.assertEqual(again.functions(), self.counted("event").functions())


class CountingTests(SynchronousTestCase):
    def test_calls_are_counted_by_name(self) -> None:
        """Python functions by file, C functions by name, and nothing of the counter."""

        def inner() -> None:
            len("abc")

        calls = Calls()
        calls.counting(inner)
        (name,) = calls.python
        self.assertTrue(name.startswith("tests/cost/test_cost.py "), name)
        self.assertTrue(name.endswith("inner"), name)
        self.assertEqual(calls.c, {"len": 1})
        self.assertEqual(calls.figures(), {"python": 1, "c": 1})

    def test_counting_ends_with_what_is_counted(self) -> None:
        """Also when that fails."""
        calls = Calls()
        self.assertRaises(ZeroDivisionError, calls.counting, lambda: 1 // 0)
        before = calls.python.total()
        self.assertTrue(callable(numbers.series))
        self.assertEqual(calls.python.total(), before)


class NumbersTests(SynchronousTestCase):
    def test_growth_is_noticed_beyond_the_tolerance(self) -> None:
        """Of calls a twentieth; of system calls any."""
        was = {"python": 100, "c": 10, "socket.send": 2}
        now = {"python": 105, "c": 11, "socket.send": 3, "epoll.modify": 1}
        found = numbers.grown(was, now)
        expected = ["c: 11, was 10", "socket.send: 3, was 2", "epoll.modify: 1, was 0"]
        self.assertEqual(found, expected)

    def test_fall_is_noticed_beyond_fifteen_percent(self) -> None:
        """A system call less is always more than that."""
        was = {"python": 100, "c": 100, "socket.send": 2, "epoll.modify": 1}
        now = {"python": 85, "c": 84, "socket.send": 1}
        expected = ["c: 84, was 100", "socket.send: 1, was 2", "epoll.modify: 0, was 1"]
        self.assertEqual(numbers.fallen(was, now), expected)

    def test_changed_functions_are_named(self) -> None:
        """The largest change first; what is as it was is not."""
        found = numbers.changed({"a": 1, "b": 2, "c": 5}, {"a": 1, "b": 3, "d": 4})
        self.assertEqual(found, ["-5 c", "+4 d", "+1 b"])

    def test_numbers_are_read_as_written(self) -> None:
        """Those of another Python stay."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.assertIsNone(numbers.read("3.11", folder))
        figures = {"event": {"python": 2, "socket.send": 1}}
        functions = {"event": {"a.py f": 2}}
        for python in ("3.12", "3.11"):
            numbers.write(python, figures, functions, folder)
            numbers.write(python, figures, functions, folder)
        for python in ("3.12", "3.11"):
            pinned = numbers.Pinned(version("twisted"), figures, functions)
            self.assertEqual(numbers.read(python, folder), pinned)
