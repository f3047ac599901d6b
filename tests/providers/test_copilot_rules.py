"""What goes to Copilot's hosts beside the credential."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Fields, Secret
from apiproxy.providers.copilot import BLUEPRINT
from apiproxy.providers.copilot_rules import is_copilot_host
from tests.providers.settings_for import made, sent

IDS: Fields = [
    (b"X-Initiator", b"agent"),
    (b"X-Interaction-Id", b"new-id"),
    (b"Copilot-Integration-Id", b"agentic-workflows"),
]
BOTH = {"COPILOT_GITHUB_TOKEN": "ghu", "COPILOT_PROVIDER_API_KEY": "byok"}


class ModelsTests(SynchronousTestCase):
    def test_list_of_models_is_read_with_the_github_token(self) -> None:
        """Only GET, only that path and below, with or without the base path."""
        for method, path, secret in [
            (b"GET", b"/models", b"ghu"),
            (b"GET", b"/models/gpt-5", b"ghu"),
            (b"GET", b"/p/models", b"ghu"),
            (b"GET", b"/p/models/x", b"ghu"),
            (b"GET", b"/models2", b"byok"),
            (b"GET", b"/v1/models", b"byok"),
            (b"POST", b"/models", b"byok"),
            (b"POST", b"/models/session", b"byok"),
            (b"HEAD", b"/models", b"byok"),
        ]:
            provider = made(BLUEPRINT, COPILOT_API_BASE_PATH="/p", **BOTH)
            line = sent(provider.credential_for(method, path))
            self.assertEqual(line, (b"Authorization", b"Bearer " + secret), path)

    def test_without_a_github_token_the_key_reads_it(self) -> None:
        """There is then nothing else to read it with."""
        provider = made(BLUEPRINT, COPILOT_PROVIDER_API_KEY="byok")
        self.assertEqual(
            sent(provider.credential_for(b"GET", b"/models")),
            (b"Authorization", b"Bearer byok"),
        )

    def test_both_secrets_are_listed_for_redaction(self) -> None:
        """Also the one that is used for the list of models alone."""
        self.assertEqual(
            made(BLUEPRINT, **BOTH).secrets, [Secret(b"byok"), Secret(b"ghu")]
        )
        self.assertEqual(made(BLUEPRINT).secrets, [])


class HeaderTests(SynchronousTestCase):
    def test_github_is_told_who_asks(self) -> None:
        """Three headers are added on GitHub's own hosts, and on no others."""
        for target, expected in [
            ("", IDS),
            ("githubcopilot.com", IDS),
            ("api.business.githubcopilot.com", IDS),
            ("copilot-api.acme.ghe.com", []),
            ("evilgithubcopilot.com", []),
            ("gw.example", []),
        ]:
            provider = made(BLUEPRINT, COPILOT_API_TARGET=target)
            self.assertEqual(provider.additions(b"GET", b"/x", []), expected, target)
            self.assertEqual(is_copilot_host(provider.host), bool(expected))

    def test_what_the_agent_says_about_itself_stays(self) -> None:
        """Nothing is said twice."""
        lines = [
            (b"x-initiator", b"user"),
            (b"X-INTERACTION-ID", b"mine"),
            (b"copilot-integration-id", b"me"),
        ]
        provider = made(BLUEPRINT)
        self.assertEqual(provider.kept(lines), lines)
        self.assertEqual(provider.additions(b"POST", b"/x", lines), [])

    def test_empty_and_repeated_ids_are_dropped(self) -> None:
        """The first that says something stays; with none, ours is sent."""
        lines = [
            (b"x-interaction-id", b""),
            (b"X-Interaction-Id", b"one"),
            (b"X-INTERACTION-ID", b"two"),
            (b"copilot-integration-id", b""),
            (b"accept", b""),
        ]
        provider = made(BLUEPRINT)
        kept = provider.kept(lines)
        self.assertEqual(kept, [(b"X-Interaction-Id", b"one"), (b"accept", b"")])
        added = provider.additions(b"POST", b"/x", kept)
        self.assertEqual(
            added,
            [
                (b"X-Initiator", b"agent"),
                (b"Copilot-Integration-Id", b"agentic-workflows"),
            ],
        )

    def test_other_hosts_get_the_agents_lines_as_they_are(self) -> None:
        """The ids mean nothing to them."""
        lines = [(b"x-interaction-id", b""), (b"x-interaction-id", b"")]
        provider = made(BLUEPRINT, COPILOT_API_TARGET="gw.example")
        self.assertEqual(provider.kept(lines), lines)

    def test_endpoints_that_need_a_version_get_one(self) -> None:
        """If the method is POST, the host GitHub's, and the agent said none."""
        for target, method, path, version in [
            ("", b"POST", b"/auto", b"2026-08-01"),
            ("", b"POST", b"/models/session", b"2025-07-16"),
            ("", b"POST", b"/models/session/intent", b"2025-07-16"),
            ("", b"GET", b"/auto", None),
            ("", b"POST", b"/auto/", None),
            ("copilot-api.acme.ghe.com", b"POST", b"/auto", b"2026-08-01"),
            ("gw.example", b"POST", b"/auto", None),
        ]:
            provider = made(BLUEPRINT, COPILOT_API_TARGET=target)
            added = dict(provider.additions(method, path, []))
            self.assertEqual(added.get(b"X-GitHub-Api-Version"), version)
        sdk = [(b"x-github-api-version", b"1")]
        self.assertEqual(made(BLUEPRINT).additions(b"POST", b"/auto", sdk), IDS)


EXTRA = {"AWF_BYOK_EXTRA_HEADERS": '{"X-Team": "rouge"}', **BOTH}


class ExtraHeaderTests(SynchronousTestCase):
    def test_own_provider_gets_the_configured_lines(self) -> None:
        """On all requests but the list of models, which is GitHub's affair."""
        provider = made(BLUEPRINT, COPILOT_API_TARGET="gw.example", **EXTRA)
        line = [(b"X-Team", b"rouge")]
        self.assertEqual(provider.additions(b"POST", b"/x", []), line)
        self.assertEqual(provider.additions(b"GET", b"/models", []), [])
        self.assertEqual(provider.own_slots, {b"authorization", b"x-team"})

    def test_github_never_gets_them(self) -> None:
        """They may be secret, and mean nothing to GitHub."""
        provider = made(BLUEPRINT, **EXTRA)
        self.assertEqual(provider.additions(b"POST", b"/x", []), IDS)
        self.assertEqual(provider.own_slots, {b"authorization"})

    def test_github_token_alone_does_not_bring_them(self) -> None:
        """They belong to a key of one's own."""
        values = {**EXTRA, "COPILOT_PROVIDER_API_KEY": ""}
        provider = made(BLUEPRINT, COPILOT_API_TARGET="gw.example", **values)
        self.assertEqual(provider.additions(b"POST", b"/x", []), [])

    def test_they_are_not_shown(self) -> None:
        """An operator may have put a secret there."""
        provider = made(BLUEPRINT, COPILOT_API_TARGET="gw.example", **EXTRA)
        self.assertNotIn("rouge", repr(provider))

    def test_they_are_listed_for_redaction(self) -> None:
        """For the same reason."""
        provider = made(BLUEPRINT, COPILOT_API_TARGET="gw.example", **EXTRA)
        self.assertIn(Secret(b"rouge"), provider.secrets)
