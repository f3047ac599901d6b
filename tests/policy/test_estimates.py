"""Tests of ``apiproxy.policy.estimates``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand, Record, Usage
from apiproxy.policy.estimates import LARGEST, bounded, prompt, so_far, tokens


class EstimateTests(SynchronousTestCase):
    def test_four_bytes_are_a_token(self) -> None:
        """Of a prompt and of an answer, rounded up."""
        self.assertEqual(prompt(Demand(input_bytes=9)), 3)
        self.assertEqual(
            so_far(Record(said=5), Demand(input_bytes=4)), Usage(1, output=2)
        )

    def test_what_was_told_counts_as_far_as_it_goes(self) -> None:
        """A provider tells the input first, and of the output a beginning only."""
        record = Record(usage=Usage(input=10, cached=3, output=1), said=400)
        found = so_far(record, Demand(input_bytes=999))
        self.assertEqual(found, Usage(input=10, cached=3, output=100))

    def test_nothing_absurd_is_counted(self) -> None:
        """Neither less than nothing nor more than there can be."""
        self.assertEqual(tokens(-5), 0)
        self.assertEqual(bounded(Usage(input=10**40, output=-1)), Usage(input=LARGEST))
