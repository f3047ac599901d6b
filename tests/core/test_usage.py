"""Tests of ``apiproxy.core.usage``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage


class InputTests(SynchronousTestCase):
    def test_each_token_of_input_is_counted_once(self) -> None:
        """All input is what is new, what was cached and what was written."""
        usage = Usage(input=10, cached=7, written=2, written_hour=1, output=5)
        self.assertEqual(usage.all_input, 20)

    def test_input_is_reported_as_the_provider_counts_it(self) -> None:
        """OpenAI's own figure includes the cache, Anthropic's does not."""
        for inclusive, reported in ((True, 17), (False, 10)):
            usage = Usage(input=10, cached=7, inclusive=inclusive)
            self.assertEqual(usage.reported_input, reported)
