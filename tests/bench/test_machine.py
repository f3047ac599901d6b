"""Tests of bench.machine and bench.plot's pure parts."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import machine, plot


class MachineTests(SynchronousTestCase):
    def test_crowd_shrinks_to_what_the_limit_allows(self) -> None:
        """Two files of a proxy for each of either kind."""
        self.assertEqual(machine.crowd_allowed(1000, 20000), 1000)
        self.assertEqual(machine.crowd_allowed(1000, 1024), 192)
        self.assertEqual(machine.crowd_allowed(1000, 100), 0)

    def test_processor_and_memory_are_read(self) -> None:
        """As the kernel prints them."""
        self.assertEqual(machine.parse_model("cpu\t: 0\nmodel name\t: A B\n"), "A B")
        self.assertTrue(machine.parse_model(""))
        self.assertEqual(machine.parse_memory("MemTotal:  2 kB\n"), 2048)
        self.assertEqual(machine.parse_memory(""), 0)

    def test_busy_machine_is_said(self) -> None:
        """A quiet one is not."""
        self.assertIsNone(machine.busy_note(0.2, 2))
        self.assertIn("3.3 on 2 cores", machine.busy_note(3.3, 2) or "")


class PlotTests(SynchronousTestCase):
    def test_medians_are_drawn_in_order_of_numbers(self) -> None:
        """Not in that of their digits."""
        lines = plot.growth_lines(
            {"event": {"x": {"100": [3.0], "9": [1.0, 5.0, 2.0]}}}
        )
        self.assertEqual(lines, [("event", "x", [9, 100], [2.0, 3.0])])

    def test_memory_is_drawn_in_minutes_and_megabytes(self) -> None:
        """From seconds and bytes."""
        self.assertEqual(plot.memory_line([{"at": 90, "rss": 2e6}]), ([1.5], [2.0]))

    def test_missing_matplotlib_is_said(self) -> None:
        """No picture is no failure."""
        said = plot.plot(Path("a.json"), Path("/nonexistent/python"))
        self.assertIn("matplotlib is not installed", said)
