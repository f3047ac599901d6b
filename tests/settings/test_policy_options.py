"""Tests of ``apiproxy.settings.policy_options``."""

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import ConfigurationError, Settings
from apiproxy.policy.rules import (
    Budgets,
    Models,
    Places,
    Rates,
    Rules,
    Steering,
    Weighing,
)
from apiproxy.policy.tariff import Price
from apiproxy.settings.policy_options import POLICY

ONE = 1_000_000


def read(environ: Mapping[str, str], toml: bytes = b"") -> Settings:
    environ = {"HTTPS_PROXY": "squid", **environ}
    return Settings.read(environ, toml, lambda path: b"", lambda: "id")


class NameTests(SynchronousTestCase):
    def test_names_of_the_older_sidecar(self) -> None:
        """They work beside ours, and ours go first."""
        values = {
            "RATE_LIMIT_ENABLED": "true",
            "RATE_LIMIT_RPM": "5",
            "RATE_LIMIT_RPH": "off",
            "RATE_LIMIT_BYTES_PM": "1e6",
            "MAX_EFFECTIVE_TOKENS": "1000",
            "EFFECTIVE_TOKEN_MODEL_MULTIPLIERS": '{"gpt-5": "2", "o3": 0.5, "x": 0}',
            "EFFECTIVE_TOKEN_DEFAULT_MODEL_MULTIPLIER": "1.5",
            "MAX_MODEL_MULTIPLIER": "4",
            "MAX_RUNS": "0x10",
            "MAX_CACHE_MISSES": "3",
            "MAX_PERMISSION_DENIED": "2",
            "MAX_AI_CREDITS": "12.5",
            "DEFAULT_AI_CREDITS_PRICING": '{"input": 1, "output": 2}',
            "ALLOWED_MODELS": '["gpt-*", " ", " o3 "]',
            "DISALLOWED_MODELS": "[]",
            "ENABLE_TOKEN_STEERING": "true",
            "AGENT_TIMEOUT_MINUTES": "20",
        }
        expected = Rules(
            rates=Rates(enabled=True, rpm=5, rph=None, bytes_pm=1_000_000),
            weighing=Weighing(
                multipliers={"gpt-5": 2 * ONE, "o3": ONE // 2, "x": 0},
                default_multiplier=ONE * 3 // 2,
            ),
            budgets=Budgets(
                tokens=1_000_000, runs=16, misses=3, denied=2, ai_credits=125_000_000
            ),
            models=Models(allowed=("gpt-*", "o3"), max_multiplier=4 * ONE),
            steering=Steering(enabled=True, minutes=20),
        )
        for prefix in ("AWF", "APIPROXY"):
            settings = read({f"{prefix}_{name}": each for name, each in values.items()})
            rules = settings.rules
            self.assertEqual(rules.pricing.default, Price.of(ONE, 2 * ONE, ONE // 10))
            for part in ("rates", "weighing", "budgets", "models", "steering"):
                self.assertEqual(getattr(rules, part), getattr(expected, part))
            self.assertEqual(settings.warnings, [])
        both = read({"AWF_MAX_RUNS": "1", "APIPROXY_MAX_RUNS": "2"})
        self.assertEqual(both.rules.budgets.runs, 2)

    def test_everything_from_the_file(self) -> None:
        """In tables, with lists where there are several."""
        rules = read(
            {},
            b"""
            [rates]
            enabled = true
            rpm = 7
            [queue]
            concurrent = 4
            per_caller = 2
            waiting = 9
            seconds = 1.5
            [budgets]
            tokens = 5
            hard_cap = "off"
            forgiving = false
            cut_off = false
            reserve = 100
            [weights]
            multipliers = "gpt-5=2, o3=0.25"
            cache_write = 1
            cache_write_hour = 1.5
            [models]
            allowed = ["a*", "b"]
            disallowed = "c, d"
            [pricing]
            unknown = "free"
            """,
        ).rules
        self.assertEqual(rules.rates, Rates(enabled=True, rpm=7))
        places = Places(concurrent=4, per_caller=2, waiting=9, seconds=1.5)
        self.assertEqual(rules.places, places)
        self.assertEqual(
            rules.budgets,
            Budgets(
                tokens=5000, hard_cap=None, forgiving=False, cut_off=False, reserve=100
            ),
        )
        self.assertEqual(
            rules.weighing,
            Weighing(
                multipliers={"gpt-5": 2 * ONE, "o3": ONE // 4},
                cache_write=1000,
                cache_write_hour=1500,
            ),
        )
        self.assertEqual(
            rules.models, Models(allowed=("a*", "b"), disallowed=("c", "d"))
        )
        self.assertEqual(rules.unknown, "free")


class MistakeTests(SynchronousTestCase):
    def problems(self, environ: Mapping[str, str]) -> list[str]:
        error = self.assertRaises(ConfigurationError, read, environ)
        problems: list[str] = error.problems
        return problems

    def test_what_cannot_be_read_is_a_mistake(self) -> None:
        """The older sidecar switched the limit off without a word."""
        for name, text in (
            ("AWF_MAX_EFFECTIVE_TOKENS", "lots"),
            ("AWF_MAX_RUNS", "10.5"),
            ("APIPROXY_MAX_RUNS", "0"),
            ("AWF_ALLOWED_MODELS", '["a"'),
            ("AWF_ALLOWED_MODELS", "[5]"),
            ("AWF_EFFECTIVE_TOKEN_MODEL_MULTIPLIERS", "{"),
            ("AWF_EFFECTIVE_TOKEN_MODEL_MULTIPLIERS", "{5}"),
            ("AWF_EFFECTIVE_TOKEN_MODEL_MULTIPLIERS", '{"a": []}'),
            ("AWF_EFFECTIVE_TOKEN_MODEL_MULTIPLIERS", '{"a": "x"}'),
            ("APIPROXY_EFFECTIVE_TOKEN_MODEL_MULTIPLIERS", "a"),
            ("APIPROXY_EFFECTIVE_TOKEN_MODEL_MULTIPLIERS", "a=-1"),
            ("AWF_DEFAULT_AI_CREDITS_PRICING", "{}"),
            ("AWF_API_PROXY_PROVIDERS", "[]"),
            ("APIPROXY_UNKNOWN_MODELS", "perhaps"),
        ):
            problems = self.problems({name: text})
            self.assertEqual(len(problems), 1, name)
            self.assertTrue(problems[0].startswith(f"{name} must "), problems)

    def test_no_limit_in_the_older_sidecars_words(self) -> None:
        """Is none, and somebody is told."""
        settings = read({"AWF_MAX_RUNS": "0", "AWF_RATE_LIMIT_RPM": "-1"})
        self.assertIsNone(settings.rules.budgets.runs)
        self.assertEqual(settings.rules.rates.rpm, 600)
        self.assertEqual(len(settings.warnings), 2)


class TableTests(SynchronousTestCase):
    def test_every_rule_has_its_row(self) -> None:
        """And says in a sentence what it means."""
        self.assertGreater(len(POLICY), 29)
        for option in POLICY:
            self.assertRegex(option.doc, r"^[A-Z].*\.$")
            self.assertTrue(option.names[0].startswith("APIPROXY_"))
