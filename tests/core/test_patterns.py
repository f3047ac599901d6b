"""Patterns of names."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.patterns import fits


class PatternTests(SynchronousTestCase):
    def test_a_star_is_anything(self) -> None:
        """And nothing else is special."""
        for pattern, name, fit in (
            ("*", "", True),
            ("a*c", "abbc", True),
            ("a*c", "ac", True),
            ("a*c", "acd", False),
            ("a*b*c", "axbxc", True),
            ("a*b*c", "axc", False),
            ("aa*aa", "aaa", False),
            ("a*b*b", "ab", False),
            ("gpt.5", "gptx5", False),
            ("GPT-[45]", "gpt-[45]", True),
            ("b*", "abc", False),
        ):
            self.assertIs(fits(pattern, name), fit, (pattern, name))

    def test_no_pattern_takes_long(self) -> None:
        """Not even one that would keep a regular expression busy for ever."""
        self.assertFalse(fits("*a" * 500 + "b", "a" * 5000))
