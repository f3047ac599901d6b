"""GitHub Copilot: credential, host and scheme."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.copilot import BLUEPRINT, build, clean_key, clean_token
from tests.providers.settings_for import given_to, made, sent


class CredentialTests(SynchronousTestCase):
    def test_scheme_that_was_pasted_along_is_removed(self) -> None:
        """Once; what is left is trimmed."""
        for text, expected in [
            ("ghu_x", "ghu_x"),
            (" Bearer ghu_x ", "ghu_x"),
            ("TOKEN  ghu_x", "ghu_x"),
            ("bearer token x", "token x"),
            ("tokenx", "tokenx"),
            ("bearer ", "bearer"),
            ("  ", ""),
        ]:
            self.assertEqual(clean_token(text), expected)

    def test_placeholders_are_no_keys(self) -> None:
        """The two values that stand for a key elsewhere count as absent."""
        self.assertEqual(clean_key("Bearer ghu_" + 36 * "a"), "")
        self.assertEqual(clean_key("dummy-byok-key-for-offline-mode"), "")
        self.assertEqual(clean_key("ghu_" + 35 * "a"), "ghu_" + 35 * "a")
        self.assertEqual(clean_token("ghu_" + 36 * "a"), "ghu_" + 36 * "a")

    def test_own_key_wins_over_the_github_token(self) -> None:
        """And is always a bearer token."""
        provider = made(
            BLUEPRINT, COPILOT_PROVIDER_API_KEY="byok", COPILOT_GITHUB_TOKEN="ghu"
        )
        self.assertEqual(sent(provider.credential), (b"Authorization", b"Bearer byok"))

    def test_missing_credential_is_named(self) -> None:
        """Without either, the refusal says which variables to set."""
        refusal = made(BLUEPRINT).not_configured()
        assert refusal is not None
        self.assertIn(
            "COPILOT_GITHUB_TOKEN or COPILOT_PROVIDER_API_KEY", refusal.message
        )


class SchemeTests(SynchronousTestCase):
    def test_github_token_is_announced_as_its_host_wants(self) -> None:
        """Enterprise hosts and servers take "token", the rest "Bearer"."""
        for target, platform, server, scheme in [
            ("", "", "", "Bearer"),
            ("", "", "https://github.com", "Bearer"),
            ("api.enterprise.githubcopilot.com", "", "", "token"),
            ("api.enterprise.githubcopilot.com", "dotcom", "", "token"),
            ("api.business.githubcopilot.com", "", "", "token"),
            ("", "", "https://acme.ghe.com", "token"),
            ("", "", "https://a.b.ghe.com", "Bearer"),
            ("", "", "https://ghes.acme.example", "token"),
            ("gw.example", "", "https://ghes.acme.example", "token"),
            ("gw.example", "ghes", "", "token"),
            ("gw.example", "GHES", "https://github.com", "token"),
            ("gw.example", "ghec", "https://ghes.acme.example", "Bearer"),
            ("gw.example", "", "https://acme.ghe.com", "Bearer"),
            ("gw.example", "", "http://[broken", "Bearer"),
        ]:
            provider = made(
                BLUEPRINT,
                COPILOT_GITHUB_TOKEN="ghu",
                COPILOT_API_TARGET=target,
                AWF_PLATFORM_TYPE=platform,
                GITHUB_SERVER_URL=server,
            )
            self.assertEqual(
                sent(provider.credential),
                (b"Authorization", f"{scheme} ghu".encode()),
                f"{target} {platform} {server}",
            )


class HostTests(SynchronousTestCase):
    def test_host_follows_the_github_server(self) -> None:
        """Unless it is configured, it is the one that belongs to the server."""
        for target, server, host in [
            ("", "", "api.githubcopilot.com"),
            ("", "https://github.com/", "api.githubcopilot.com"),
            ("", "https://acme.ghe.com", "copilot-api.acme.ghe.com"),
            ("", "https://a.b.ghe.com", "copilot-api.a.b.ghe.com"),
            ("", "https://git.acme.example", "api.enterprise.githubcopilot.com"),
            ("", "no url", "api.githubcopilot.com"),
            ("", "http://[broken", "api.githubcopilot.com"),
            ("gw.example", "https://acme.ghe.com", "gw.example"),
        ]:
            provider = made(
                BLUEPRINT, COPILOT_API_TARGET=target, GITHUB_SERVER_URL=server
            )
            self.assertEqual(provider.host, host, server)

    def test_base_path_by_configuration(self) -> None:
        """There is none by default."""
        self.assertEqual(made(BLUEPRINT).base_path, b"")
        provider = made(BLUEPRINT, COPILOT_API_BASE_PATH="x/")
        self.assertEqual(provider.base_path, b"/x")

    def test_own_key_goes_to_its_own_provider(self) -> None:
        """COPILOT_PROVIDER_BASE_URL is where the key belongs, not GitHub."""
        own = {
            "COPILOT_PROVIDER_API_KEY": "byok",
            "COPILOT_PROVIDER_BASE_URL": "https://llm.example:8443/v1",
        }
        provider = made(BLUEPRINT, **own)
        self.assertEqual(provider.authority, b"llm.example:8443")
        self.assertEqual(provider.base_path, b"/v1")
        provider = made(BLUEPRINT, COPILOT_API_BASE_PATH="/v2", **own)
        self.assertEqual(provider.base_path, b"/v2")
        provider = made(BLUEPRINT, COPILOT_API_TARGET="gw.example", **own)
        self.assertEqual((provider.host, provider.base_path), ("gw.example", b""))
        own["COPILOT_PROVIDER_BASE_URL"] = "https://llm.example"
        self.assertEqual(made(BLUEPRINT, **own).base_path, b"")

    def test_github_token_never_goes_to_the_own_provider(self) -> None:
        """Neither alone nor for the list of models."""
        url = "https://llm.example"
        provider = made(
            BLUEPRINT, COPILOT_GITHUB_TOKEN="ghu", COPILOT_PROVIDER_BASE_URL=url
        )
        self.assertEqual(provider.host, "api.githubcopilot.com")
        provider = made(
            BLUEPRINT,
            COPILOT_GITHUB_TOKEN="ghu",
            COPILOT_PROVIDER_API_KEY="byok",
            COPILOT_PROVIDER_BASE_URL=url,
        )
        self.assertEqual(provider.host, "llm.example")
        self.assertEqual(
            sent(provider.credential_for(b"GET", b"/models")),
            (b"Authorization", b"Bearer byok"),
        )

    def test_url_of_the_own_provider_must_make_sense(self) -> None:
        """A key is not sent to GitHub because its own address is misspelled."""
        given = given_to(
            BLUEPRINT,
            COPILOT_PROVIDER_API_KEY="byok",
            COPILOT_PROVIDER_BASE_URL="http://llm.example",
        )
        BLUEPRINT.build(given)
        self.assertIn("COPILOT_PROVIDER_BASE_URL", given.problems[0])


class IdentityTests(SynchronousTestCase):
    def test_run_and_attempt_make_the_interaction_id(self) -> None:
        """What is no harmless id is replaced by one that is made up once."""
        for run, attempt, expected in [
            ("123", "2", b"123-2"),
            ("123", "", b"123-1"),
            ("", "2", b"new-id"),
            ("1\u00e9", "", b"new-id"),
            ("9" * 127, "1", b"new-id"),
        ]:
            provider = build(
                given_to(BLUEPRINT, GITHUB_RUN_ID=run, GITHUB_RUN_ATTEMPT=attempt)
            )
            self.assertEqual(provider.interaction_id, expected)

    def test_integration_id_by_configuration(self) -> None:
        """It has a default, and must fit into a header."""
        self.assertEqual(
            build(given_to(BLUEPRINT)).integration_id, b"agentic-workflows"
        )
        given = given_to(BLUEPRINT, COPILOT_INTEGRATION_ID="me")
        self.assertEqual(build(given).integration_id, b"me")
        given = given_to(BLUEPRINT, COPILOT_INTEGRATION_ID="a\r\nb")
        build(given)
        self.assertIn("COPILOT_INTEGRATION_ID", given.problems[0])
