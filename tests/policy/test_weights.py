"""Tests of ``apiproxy.policy.weights``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.policy.rules import Weighing
from apiproxy.policy.weights import ONE, Weights

MULTIPLIERS = {"gpt-5": 2 * ONE, "GPT-5-mini": ONE // 4, "claude-sonnet-4-5": 3 * ONE}


class WeightTests(SynchronousTestCase):
    def test_what_the_older_sidecar_counted(self) -> None:
        """100 in, 50 out and 200 from the cache are 320 effective tokens."""
        usage = Usage(input=100, output=50, cached=200)
        self.assertEqual(Weights(Weighing()).weigh(usage, "m"), 320_000)

    def test_every_token_is_weighed_once(self) -> None:
        """Reasoning is output already; writing to a cache counts a quarter more."""
        weights = Weights(Weighing())
        self.assertEqual(weights.weigh(Usage(output=50, reasoning=40), "m"), 200_000)
        self.assertEqual(weights.weigh(Usage(written=4, written_hour=3), "m"), 11_000)
        mine = Weights(Weighing(cache_write=1000))
        self.assertEqual(mine.weigh(Usage(written=4), "m"), 4000)

    def test_multipliers_by_name_or_beginning(self) -> None:
        """In any case and spelling; the longest beginning counts."""
        weights = Weights(Weighing(multipliers=MULTIPLIERS, default_multiplier=5 * ONE))
        for model, multiplier in (
            ("gpt-5", 2),
            ("GPT-5-codex", 2),
            ("gpt-5-mini-2025-08-07", 0.25),
            ("openai/gpt-5", 2),
            ("claude-sonnet-4.5", 3),
            ("gpt-55", 5),
            ("", 5),
        ):
            self.assertEqual(weights.multiplier(model), multiplier * ONE, model)
        self.assertIsNone(weights.known("gpt-55"))
        self.assertEqual(weights.exact("gpt-5-MINI"), ONE // 4)
        self.assertIsNone(weights.exact("gpt-5-nano"))

    def test_a_multiplier_is_found_in_any_spelling(self) -> None:
        """Also one whose name has a dot, which plain names have not."""
        weights = Weights(Weighing(multipliers={"opus-4.5": 3 * ONE}))
        for name in (
            "opus-4.5",
            "Opus-4.5-20251101",
            "opus-4-5",
            "anthropic/opus-4.5",
            "us.anthropic.opus-4.5-v1:0",
            "opus-4.5:thinking",
            "opus_4_5",
        ):
            self.assertEqual(weights.multiplier(name), 3 * ONE, name)
        self.assertEqual(weights.multiplier("opus-4.50"), ONE)

    def test_the_longest_name_goes_before_its_family(self) -> None:
        """Whichever spelling it is found in."""
        weights = Weights(Weighing(multipliers={"opus": ONE, "opus-4-5": 5 * ONE}))
        for name in ("opus-4-5", "opus-4.5", "anthropic/opus-4.5", "opus-4.5:thinking"):
            self.assertEqual(weights.multiplier(name), 5 * ONE, name)
        self.assertEqual(weights.multiplier("opus-4.1"), ONE)

    def test_a_name_itself_goes_before_another_spelling(self) -> None:
        """In whatever order they are said."""
        said = {"opus-4.5": 3 * ONE, "opus-4-5": 2 * ONE}
        for each in (said, dict(reversed(said.items()))):
            weights = Weights(Weighing(multipliers=each))
            self.assertEqual(weights.multiplier("opus-4.5"), 3 * ONE)
            self.assertEqual(weights.multiplier("opus-4-5"), 2 * ONE)

    def test_made_up_names_do_not_fill_the_memory(self) -> None:
        """However many an agent sends."""
        weights = Weights(Weighing(multipliers=MULTIPLIERS))
        for number in range(2100):
            weights.multiplier(f"gpt-5-{number}")
        self.assertLessEqual(len(weights._known), 1024)

    def test_weights_are_rounded_up(self) -> None:
        """A thousandth is the least there is."""
        weights = Weights(Weighing(default_multiplier=1))
        self.assertEqual(weights.weigh(Usage(cached=1), "m"), 1)
