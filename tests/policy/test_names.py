"""Tests of ``apiproxy.policy.names``."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.names import LONGEST, bases, plain, spellings, vendor
from tests.kit.hypothesis_profile import STEADY


class NameTests(SynchronousTestCase):
    def test_one_model_has_one_plain_name(self) -> None:
        """Whoever is asked, and in whatever spelling."""
        for name, expected in (
            ("claude-sonnet-4.5", "claude-sonnet-4-5"),
            ("Anthropic/Claude_Sonnet_4.5", "claude-sonnet-4-5"),
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "claude-sonnet-4-5-20250929-v1",
            ),
            ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
            ("claude-sonnet-4-5@default", "claude-sonnet-4-5"),
            ("gpt-5?effort=high", "gpt-5"),
            ("models/gemini-2.5-pro", "gemini-2-5-pro"),
            ("deepseek/deepseek-r1:free", "deepseek-r1"),
            ("ft:gpt-4o-2024-08-06:acme::id", "ft:gpt-4o-2024-08-06"),
            ("", ""),
        ):
            self.assertEqual(plain(name), expected)

    def test_only_decorations_come_off(self) -> None:
        """A date, a stage, an amount of effort: never what makes another model of it."""
        for name, last in (
            ("gpt-5-4-2026-03-01", "gpt-5-4"),
            ("claude-sonnet-4-20250514", "claude-sonnet-4"),
            ("gpt-4-0613", "gpt-4"),
            ("gemini-2-5-pro-preview-05-06", "gemini-2-5-pro"),
            ("gemini-2-5-flash-preview-09-2025", "gemini-2-5-flash"),
            ("doubao-seed-1-6-250615", "doubao-seed-1-6"),
            ("jamba-large-1-7-2025-07", "jamba-large-1-7"),
            ("qwen3-235000", "qwen3-235000"),
            ("gpt-5-4-mini-fast", "gpt-5-4-mini"),
            ("gpt-5-2026-03-01-alpha-tiny", "gpt-5"),
            ("o3-mini-high", "o3-mini"),
            ("claude-sonnet-4-5-20250929-v1", "claude-sonnet-4-5"),
            ("gpt-5-pro-x", "gpt-5-pro-x"),
            ("gpt-5-pro", "gpt-5-pro"),
            ("claude-opus-4-1", "claude-opus-4-1"),
            ("-latest", "-latest"),
        ):
            self.assertEqual(list(bases(name))[-1], last)

    def test_the_exact_name_is_looked_for_first(self) -> None:
        """Since a decoration may have a price of its own."""
        self.assertEqual(
            list(dict.fromkeys(spellings("OpenAI/GPT-5.4-2026-03-01?effort=high"))),
            [
                "openai/gpt-5.4-2026-03-01?effort=high",
                "openai/gpt-5.4-2026-03-01",
                "gpt-5.4-2026-03-01",
                "gpt-5-4-2026-03-01",
                "gpt-5-4",
            ],
        )

    def test_vendor(self) -> None:
        """What stands before the first slash."""
        self.assertEqual(vendor("OpenAI/gpt-5"), "openai")
        self.assertEqual(vendor("gpt-5"), "")

    @STEADY
    @given(st.text(max_size=400))
    def test_any_text_has_few_short_spellings(self, name: str) -> None:
        """Agents may send whatever they like as a name."""
        found = list(spellings(name))
        self.assertLess(len(found), LONGEST)
        self.assertLessEqual(max(map(len, found)), 2 * LONGEST)
