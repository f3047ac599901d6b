"""Tests of bench.figures."""

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import (
    Spread,
    digits,
    drift,
    flatness,
    most_that_passes,
    percentile,
    ratio,
    rounds,
)


class SpreadTests(SynchronousTestCase):
    def test_median_lies_between_the_least_and_the_most(self) -> None:
        """Three samples in any order give their middle and their ends."""
        self.assertEqual(Spread.of([3.0, 1.0, 2.0]), Spread(2.0, 1.0, 3.0, 3))

    def test_nothing_has_no_spread(self) -> None:
        """An empty cell is not a zero."""
        self.assertIsNone(Spread.of([]))

    def test_ratio_needs_both_sides(self) -> None:
        """A peer that was not measured gives no ratio."""
        self.assertEqual(ratio([4.0, 6.0], [2.0, 2.5, 3.0]), 2.0)
        self.assertIsNone(ratio([], [1.0]))
        self.assertIsNone(ratio([1.0], []))
        self.assertIsNone(ratio([1.0], [0.0]))

    def test_ratio_is_taken_round_by_round(self) -> None:
        """What slows the machine down for a round slows both."""
        self.assertEqual(ratio([4.0, 60.0, 5.0], [2.0, 30.0, 2.5]), 2.0)

    def test_drift_is_the_most_over_the_least(self) -> None:
        """Flat is 1; from nothing it cannot be told."""
        self.assertEqual(drift([2.0, 3.0, 2.5]), 1.5)
        self.assertIsNone(drift([]))
        self.assertIsNone(drift([0.0, 1.0]))


class PercentileTests(SynchronousTestCase):
    def test_percentile_is_a_value_that_was_measured(self) -> None:
        """Nearest rank: no value is made up between two."""
        values = [float(each) for each in range(1, 101)]
        self.assertEqual(percentile(values, 0.5), 50.0)
        self.assertEqual(percentile(values, 0.99), 99.0)
        self.assertEqual(percentile(values, 1.0), 100.0)
        self.assertEqual(percentile(values, 0.0), 1.0)
        self.assertEqual(percentile([7.0], 0.99), 7.0)


class OrderTests(SynchronousTestCase):
    def test_every_other_round_goes_backwards(self) -> None:
        """So what the machine does over time falls on all alike."""
        order = rounds({"a": 3, "b": 3})
        expected = [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
        self.assertEqual(order, expected)

    def test_slow_ones_may_have_fewer_rounds(self) -> None:
        """The first ones; without anybody there is nothing to do."""
        expected = [(0, "a"), (0, "b"), (1, "a")]
        self.assertEqual(rounds({"a": 2, "b": 1}), expected)
        self.assertEqual(rounds({}), [])


class FlatnessTests(SynchronousTestCase):
    def test_rounds_are_compared_with_themselves(self) -> None:
        """A machine that is twice as slow in one round does not look like growth."""
        samples = {1: [10.0, 20.0, 10.0], 1000: [11.0, 22.0, 11.0]}
        self.assertEqual(flatness(samples), {1: 1.0, 1000: 1.1})


class DigitsTests(SynchronousTestCase):
    def test_figures_have_the_digits_they_deserve(self) -> None:
        """Three digits, or all that stand before the point."""
        shown = [
            digits(each) for each in (0, 0.381, 4.567, 42.56, 144.4, 11130.4, -2.5)
        ]
        self.assertEqual(shown, ["0", "0.38", "4.57", "42.6", "144", "11,130", "-2.50"])

    def test_counts_have_no_point(self) -> None:
        """Half a stream is none."""
        self.assertEqual([digits(each) for each in (0, 1, 1024)], ["0", "1", "1,024"])


class SearchTests(SynchronousTestCase):
    def search(self, truth: int, start: int, limit: int) -> tuple[int, list[int]]:
        tried: list[int] = []

        def passes(number: int) -> bool:
            tried.append(number)
            return number <= truth

        return most_that_passes(passes, start, limit), tried

    def test_truth_is_found_within_the_grain(self) -> None:
        """Never more than is true, and not much less."""
        for truth in (1, 2, 3, 17, 63, 64, 65, 100, 500, 700, 1023):
            found, _ = self.search(truth, 64, 1024)
            self.assertLessEqual(found, truth)
            self.assertGreaterEqual(found, truth - max(1, truth * 0.125))

    def test_limit_ends_the_search(self) -> None:
        """Where everything passes, the limit is the answer."""
        self.assertEqual(self.search(9999, 64, 1024), (1024, [64, 128, 256, 512, 1024]))
        self.assertEqual(self.search(9999, 64, 10), (10, [10]))

    def test_none_that_passes_is_zero(self) -> None:
        """It ends, and says so."""
        found, tried = self.search(0, 64, 1024)
        self.assertEqual(found, 0)
        self.assertEqual(tried[-1], 1)
