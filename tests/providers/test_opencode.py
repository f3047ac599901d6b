"""OpenCode: a port of its own in front of another provider."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers import anthropic, copilot, openai
from apiproxy.providers.base import Provider
from apiproxy.providers.copilot_rules import CopilotProvider
from apiproxy.providers.opencode import BLUEPRINT
from tests.providers.settings_for import given_to, made, sent


def opencode(**keys: str) -> Provider:
    built = {
        "openai": made(openai.BLUEPRINT, OPENAI_API_KEY=keys.get("openai", "")),
        "anthropic": made(
            anthropic.BLUEPRINT, ANTHROPIC_API_KEY=keys.get("anthropic", "")
        ),
        "copilot": made(
            copilot.BLUEPRINT, COPILOT_GITHUB_TOKEN=keys.get("copilot", "")
        ),
    }
    return BLUEPRINT.build(evolve(given_to(BLUEPRINT), built=built, port=10004))


class OpenCodeTests(SynchronousTestCase):
    def test_first_configured_provider_serves(self) -> None:
        """OpenAI before Anthropic before Copilot, under OpenCode's own name."""
        for keys, host, secret in [
            ({"openai": "o", "anthropic": "a"}, "api.openai.com", b"Bearer o"),
            ({"anthropic": "a", "copilot": "c"}, "api.anthropic.com", b"a"),
            ({"copilot": "c"}, "api.githubcopilot.com", b"Bearer c"),
        ]:
            provider = opencode(**keys)
            self.assertEqual((provider.name, provider.port), ("opencode", 10004))
            self.assertEqual(provider.host, host)
            line = sent(provider.credential_for(b"POST", b"/x"))
            assert line is not None
            self.assertEqual(line[1], secret)

    def test_rules_of_the_other_provider_are_kept(self) -> None:
        """Headers are added as on that provider's own port."""
        provider = opencode(copilot="c")
        self.assertIsInstance(provider, CopilotProvider)
        self.assertEqual(len(provider.additions(b"GET", b"/x", [])), 3)
        self.assertEqual(len(opencode(anthropic="a").additions(b"GET", b"/x", [])), 1)

    def test_with_none_configured_all_are_named(self) -> None:
        """The refusal says that any of the keys would do."""
        refusal = opencode().not_configured()
        assert refusal is not None
        self.assertEqual(
            refusal.message,
            "OpenCode is not configured; set OPENAI_API_KEY or ANTHROPIC_API_KEY or"
            " COPILOT_GITHUB_TOKEN or COPILOT_PROVIDER_API_KEY where apiproxy runs.",
        )
