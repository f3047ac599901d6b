"""Settings as an operator may see them."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import Settings
from apiproxy.settings.options import OPTIONS
from apiproxy.settings.shown import shown


class ShownTests(SynchronousTestCase):
    def read(self, **environ: str) -> Settings:
        return Settings.read(environ, None, lambda path: b"", lambda: "id")

    def test_all_of_them(self) -> None:
        """Each by its name in the configuration file, as JSON can have it."""
        table = shown(self.read(APIPROXY_WORKERS="2", APIPROXY_BIND="::1"))
        self.assertEqual(set(table), {option.key for option in OPTIONS})
        self.assertEqual((table["workers"], table["bind"]), (2, ["::1"]))
        self.assertEqual(table["deadlines.dial"], 10.0)
        self.assertIn(b'"run_id":"default"', msgspec.json.encode(table))

    def test_rules_are_shown_as_they_are_written(self) -> None:
        """In credits, tokens and multipliers, not in the parts we count in."""
        table = shown(
            self.read(
                APIPROXY_MAX_AI_CREDITS="12.5",
                APIPROXY_MAX_EFFECTIVE_TOKENS="1000",
                APIPROXY_EFFECTIVE_TOKEN_MODEL_MULTIPLIERS="gpt-5=0.5",
                APIPROXY_ALLOWED_MODELS="a,b",
                AWF_DEFAULT_AI_CREDITS_PRICING='{"input": 1, "output": 2.5}',
                APIPROXY_PRICES='{"x":{"models":{"m":{"cost":{"input":1,"output":0}}}}}',
                APIPROXY_MAX_CONCURRENT="3",
            )
        )
        for key, value in {
            "budgets.ai_credits": 12.5,
            "budgets.tokens": 1000,
            "budgets.runs": None,
            "budgets.cut_off": True,
            "weights.multipliers": {"gpt-5": 0.5},
            "weights.cache_write": 1.25,
            "models.allowed": ["a", "b"],
            "pricing.default": {"input": 1.0, "output": 2.5},
            "pricing.overlay": {"x": ["m"]},
            "pricing.file": None,
            "queue.concurrent": 3,
            "queue.seconds": 60.0,
        }.items():
            self.assertEqual(table[key], value, key)

    def test_no_secret(self) -> None:
        """Neither a key nor the proxy's password is there."""
        settings = self.read(
            OPENAI_API_KEY="sk-planted-0001",
            HTTPS_PROXY="http://user:planted-0002@squid:3128",
            NO_PROXY="example.com",
        )
        text = msgspec.json.encode(shown(settings))
        self.assertNotIn(b"planted", text)
        self.assertIn(b"squid:3128", text)
