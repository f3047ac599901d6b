"""The rules that settings make."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import Settings
from apiproxy.policy.rules import CREDIT, Budgets, Rules


class RulesTests(SynchronousTestCase):
    def read(self, environ: dict[str, str]) -> Settings:
        environ = {"HTTPS_PROXY": "squid", **environ}
        return Settings.read(environ, None, lambda path: b"", lambda: "id")

    def test_nothing_is_limited_unless_it_is_said(self) -> None:
        """But for the hard cap on money."""
        self.assertEqual(self.read({}).rules, Rules())
        self.assertEqual(Rules().budgets, Budgets(hard_cap=10_000 * CREDIT))

    def test_what_has_no_effect_is_said(self) -> None:
        """So that nobody relies on it."""
        bad = '{"openai":{"models":{"m":{"cost":{"input":-1,"output":1}}}}}'
        for environ, word in (
            ({"AWF_RATE_LIMIT_RPM": "5"}, "APIPROXY_RATE_LIMIT_ENABLED"),
            ({"AWF_MAX_AI_CREDITS": "20000"}, "APIPROXY_HARD_CAP_AI_CREDITS"),
            ({"AWF_AGENT_TIMEOUT_MINUTES": "5"}, "APIPROXY_ENABLE_TOKEN_STEERING"),
            ({"AWF_API_PROXY_PROVIDERS": bad}, "openai/m"),
        ):
            [warning] = self.read(environ).warnings
            self.assertIn(word, warning)
