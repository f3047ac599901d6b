"""Tests of ``apiproxy.policy.overlay``."""

import json

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.overlay import NO_PRICES, read_default, read_overlay
from apiproxy.policy.tariff import Price

GPT = Price.of(1_250_000, 10_000_000, 125_000)


def overlay(provider: str, **models: object) -> str:
    return json.dumps({provider: {"models": models}})


COST = {"cost": {"input": "0.00000125", "output": 0.00001}}


class OverlayTests(SynchronousTestCase):
    def test_dollars_for_a_token(self) -> None:
        """As text or as a number; what is read from a cache costs a tenth."""
        read = read_overlay(overlay("openai", **{"openai/GPT-5.4": COST}))
        self.assertEqual(read.find("openai", "gpt-5-4"), GPT)
        self.assertIsNone(read.find("openai", "gpt-5"))
        self.assertIsNone(read.find("anthropic", "gpt-5-4"))
        self.assertTrue(read)
        self.assertFalse(NO_PRICES)

    def test_decorations_are_taken_off(self) -> None:
        """And nothing else: what is like a model is another one, with its own price."""
        other = {
            "cost": {"input": 1e-6, "output": 1e-6, "cache_read": 0, "cache_write": 0}
        }
        read = read_overlay(overlay("x", **{"gpt-5": COST, "gpt-5-mini": other}))
        self.assertEqual(read.find("x", "gpt-5-2025-08-07"), GPT)
        self.assertEqual(read.find("x", "gpt-5-preview-high"), GPT)
        found = read.find("x", "gpt-5-mini-fast")
        self.assertEqual(found, Price.of(1_000_000, 1_000_000, 0, 0))
        for name in ("gpt-55", "gpt-5-pro", "gpt-5-pro-2025-10-06", "gpt-5-codex"):
            self.assertIsNone(read.find("x", name), name)

    def test_providers_have_other_names(self) -> None:
        """The best of them counts, if the file has it at all."""
        read = read_overlay(overlay("github", m=COST))
        self.assertEqual(read.find("copilot", "m"), GPT)
        read = read_overlay(overlay("Google", m=COST))
        self.assertEqual(read.find("gemini", "m"), GPT)

    def test_a_wrong_cost_is_reported(self) -> None:
        """And what has no cost is skipped: the file may say other things."""
        bad: dict[str, object] = {
            "a": {"cost": {"input": -1, "output": 1}},
            "b": {"cost": {"input": 1}},
            "c": {"cost": 5},
            "d": {"cost": {"input": True, "output": 1}},
            "e": {"cost": {"input": "x", "output": 1}},
            "f": {"cost": {"input": "1" * 50, "output": 1}},
            "g": {"cost": {"input": [], "output": 1}},
            "h": {"limit": 5},
            "i": 7,
        }
        read = read_overlay(overlay("p", **bad))
        self.assertEqual(read.faults, tuple(f"p/{name}" for name in "abcdefg"))
        self.assertFalse(read)

    def test_what_is_no_overlay(self) -> None:
        """Is a mistake, but providers that say nothing of models are none."""
        for text in ("[]", "x", b"\xff", "[" * 5000):
            self.assertRaises(ValueError, read_overlay, text)
        self.assertFalse(read_overlay('{"a": 1, "b": {"models": []}}'))

    def test_one_goes_before_another(self) -> None:
        """Model by model."""
        low, high = (
            read_overlay(
                overlay(
                    "x", **{name: {"cost": {"input": price, "output": 0}}, "m": COST}
                )
            )
            for name, price in (("a", 1e-6), ("m2", 2e-6))
        )
        both = high.over(low)
        self.assertIsNotNone(both.find("x", "a"))
        self.assertIsNotNone(both.find("x", "m2"))
        self.assertIsNone(low.find("x", "m2"))


class DefaultTests(SynchronousTestCase):
    def test_dollars_for_a_million_tokens(self) -> None:
        """Of input and output at least."""
        self.assertEqual(read_default('{"input": 1.25, "output": 10}'), GPT)
        self.assertEqual(
            read_default('{"input":1,"output":2,"cachedInput":0.5,"cacheWrite":3}'),
            Price.of(1_000_000, 2_000_000, 500_000, 3_000_000),
        )

    def test_anything_else_is_a_mistake(self) -> None:
        """With a sentence for it."""
        for text in ("{", "[]", '{"input": 1}', '{"input": 1, "output": "x"}'):
            self.assertRaises(ValueError, read_default, text)
