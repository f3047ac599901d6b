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

    def test_stolen_time_is_said(self) -> None:
        """From one percent on."""
        self.assertIsNone(machine.steal_note((5, 100), (5, 1100)))
        self.assertIsNone(machine.steal_note((5, 100), (5, 100)))
        self.assertIn("5.0 %", machine.steal_note((5, 100), (55, 1100)) or "")

    def test_versions_are_those_that_run(self) -> None:
        """A tool that is not installed is absent."""
        self.assertIn("OpenSSL", machine.versions())
        self.assertEqual(machine._first_line("no-such-program-here", "-v"), "absent")


class PlotTests(SynchronousTestCase):
    def test_medians_are_drawn_in_order_of_numbers(self) -> None:
        """Not in that of their digits; with the least and the most."""
        lines = plot.growth_lines({"x": {"100": [3.0], "9": [1.0, 5.0, 2.0]}})
        drawn = plot.Curve("x", [9, 100], [2.0, 3.0], [1.0, 3.0], [5.0, 3.0])
        self.assertEqual(lines, [drawn])

    def test_memory_is_drawn_in_minutes_and_megabytes(self) -> None:
        """From seconds and bytes."""
        self.assertEqual(plot.memory_line([{"at": 90, "rss": 2e6}]), ([1.5], [2.0]))

    def test_load_is_what_was_used_from_sample_to_sample(self) -> None:
        """In percent of a core."""
        samples = [{"at": 0.0, "cpu": 1.0}, {"at": 60.0, "cpu": 31.0}]
        self.assertEqual(plot.load_line(samples), ([1.0], [50.0]))

    def test_trend_leaves_out_the_first_quarter(self) -> None:
        """Caches fill then; the slope is in megabytes an hour."""
        grown = [1e6 * (50 + 2 * hour) for hour in range(8)]
        samples = [{"at": 3600.0 * at, "rss": rss} for at, rss in enumerate(grown)]
        samples[0]["rss"] = 1e6
        self.assertAlmostEqual(plot.trend(samples) or 0, 2.0)
        self.assertIsNone(plot.trend(samples[:2]))

    def test_missing_matplotlib_is_said(self) -> None:
        """No picture is no failure."""
        said = plot.plot(Path("a.json"), python=Path("/nonexistent/python"))
        self.assertIn("matplotlib is not installed", said)
