"""Tests of ``apiproxy.providers.usage.copilot``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.copilot import with_breakdown
from apiproxy.providers.usage.shapes import Breakdown, Kind


def breakdown(**figures: int) -> Breakdown:
    """A breakdown by kinds."""
    return Breakdown([Kind(kind, figure) for kind, figure in figures.items()])


class BreakdownTests(SynchronousTestCase):
    def test_it_can_stand_alone(self) -> None:
        """Some answers have no usage beside it."""
        usage = with_breakdown(None, breakdown(input=3, output=4, cache_read=5))
        self.assertEqual(usage, Usage(input=3, output=4, cached=5))

    def test_one_that_says_nothing_changes_nothing(self) -> None:
        """Kinds that we do not know are none."""
        usage = Usage(input=3)
        for empty in (Breakdown(), breakdown(other=5)):
            self.assertIs(with_breakdown(usage, empty), usage)

    def test_no_token_is_counted_twice(self) -> None:
        """What was read and written is part of a prompt, and beside Anthropic's input."""
        prompt = Usage(input=40, cached=60, output=1, inclusive=True)
        self.assertEqual(
            with_breakdown(prompt, breakdown(cache_write=25)),
            Usage(input=15, cached=60, written=25, output=1),
        )
        self.assertEqual(
            with_breakdown(prompt, breakdown(output=2)),
            Usage(input=40, cached=60, output=2, inclusive=True),
        )
        apart = Usage(input=40, cached=60, output=1)
        self.assertEqual(
            with_breakdown(apart, breakdown(cache_read=61)),
            Usage(input=40, cached=61, output=1),
        )
