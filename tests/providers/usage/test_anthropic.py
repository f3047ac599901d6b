"""Tests of ``apiproxy.providers.usage.anthropic``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.anthropic import anthropic_usage
from apiproxy.providers.usage.shapes import Creation, Details, Tokens


class AnthropicTests(SynchronousTestCase):
    def test_what_was_written_is_told_by_how_long_it_stays(self) -> None:
        """An hour costs more; the rest of the sum is five minutes."""
        tokens = Tokens(
            input_tokens=3,
            output_tokens=5,
            cache_creation_input_tokens=10,
            cache_creation=Creation(ephemeral_1h_input_tokens=4),
        )
        expected = Usage(input=3, output=5, written=6, written_hour=4)
        self.assertEqual(anthropic_usage(tokens), expected)

    def test_thoughts_are_part_of_the_output(self) -> None:
        """Where they are told."""
        tokens = Tokens(
            output_tokens=5, output_tokens_details=Details(reasoning_tokens=4)
        )
        self.assertEqual(anthropic_usage(tokens), Usage(output=5, reasoning=4))

    def test_nothing_told_is_nothing(self) -> None:
        """An empty usage is none."""
        self.assertIsNone(anthropic_usage(Tokens()))
