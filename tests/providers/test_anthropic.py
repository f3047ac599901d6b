"""Anthropic."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.anthropic import BLUEPRINT
from tests.providers.settings_for import made, sent


class AnthropicTests(SynchronousTestCase):
    def test_key_and_version_are_sent(self) -> None:
        """The key goes into x-api-key; a version is added if the agent names none."""
        provider = made(BLUEPRINT, ANTHROPIC_API_KEY="k")
        self.assertEqual(provider.authority, b"api.anthropic.com")
        self.assertEqual(provider.base_path, b"")
        self.assertEqual(sent(provider.credential), (b"x-api-key", b"k"))
        self.assertEqual(
            provider.additions(b"POST", b"/v1/messages", []),
            [(b"anthropic-version", b"2023-06-01")],
        )

    def test_agents_version_stays(self) -> None:
        """An SDK knows better which version it speaks."""
        sdk = [(b"Anthropic-Version", b"2026-10-21")]
        self.assertEqual(made(BLUEPRINT).additions(b"POST", b"/v1/messages", sdk), [])

    def test_missing_key_is_named(self) -> None:
        """Without a key, the refusal says which variable to set."""
        refusal = made(BLUEPRINT).not_configured()
        assert refusal is not None
        self.assertIn("ANTHROPIC_API_KEY", refusal.message)

    def test_everything_by_configuration(self) -> None:
        """Host, port, prefix and header can be others."""
        provider = made(
            BLUEPRINT,
            ANTHROPIC_API_KEY="k",
            ANTHROPIC_API_TARGET="gw.example:444",
            ANTHROPIC_API_BASE_PATH="anthropic",
            AWF_ANTHROPIC_AUTH_HEADER="Authorization",
        )
        self.assertEqual(provider.authority, b"gw.example:444")
        self.assertEqual(provider.base_path, b"/anthropic")
        self.assertEqual(sent(provider.credential), (b"Authorization", b"k"))
