"""Tests of ``apiproxy.providers.usage.openai``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.openai import is_openai, openai_usage
from apiproxy.providers.usage.shapes import Details, Kind, Tokens


class DialectTests(SynchronousTestCase):
    def test_cache_figures_beside_an_input_are_anthropic_s(self) -> None:
        """Unless there are details, or it is a prompt."""
        self.assertFalse(is_openai(Tokens(input_tokens=1, cache_read_input_tokens=1)))
        self.assertFalse(is_openai(Tokens()))
        details = Details(cached_tokens=1)
        self.assertTrue(
            is_openai(
                Tokens(
                    input_tokens=1,
                    cache_read_input_tokens=1,
                    input_tokens_details=details,
                )
            )
        )
        self.assertTrue(is_openai(Tokens(prompt_tokens=1, cache_read_input_tokens=1)))

    def test_nothing_told_is_nothing(self) -> None:
        """A total alone is no figure."""
        self.assertIsNone(openai_usage(Tokens(total_tokens=5)))


class OthersTests(SynchronousTestCase):
    def test_cache_hits_are_found_wherever_they_are_told(self) -> None:
        """DeepSeek's, Moonshot's, OpenRouter's."""
        for tokens in (
            Tokens(prompt_tokens=9, prompt_cache_hit_tokens=4),
            Tokens(prompt_tokens=9, cached_tokens=4),
            Tokens(prompt_tokens=9, cache_read_input_tokens=4),
            Tokens(prompt_tokens=9, token_details=[Kind("cache_read", 4)]),
            Tokens(
                prompt_tokens=9, usage_details=Details(details=[Kind("cache_read", 4)])
            ),
        ):
            self.assertEqual(
                openai_usage(tokens), Usage(input=5, cached=4, inclusive=True)
            )
        tokens = Tokens(
            prompt_tokens=9,
            prompt_tokens_details=Details(cached_tokens=4, cache_write_tokens=3),
        )
        self.assertEqual(
            openai_usage(tokens), Usage(input=2, cached=4, written=3, inclusive=True)
        )

    def test_thoughts_that_only_the_total_has_are_output(self) -> None:
        """As with xAI, and with Google's endpoint in this dialect."""
        hidden = Usage(input=10, output=12, reasoning=7, inclusive=True)
        tokens = Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=22)
        self.assertEqual(openai_usage(tokens), hidden)
        tokens.completion_tokens_details = Details(reasoning_tokens=7)
        self.assertEqual(openai_usage(tokens), hidden)
        tokens.completion_tokens_details = Details(reasoning_tokens=3)
        self.assertEqual(
            openai_usage(tokens), Usage(input=10, output=5, reasoning=3, inclusive=True)
        )
