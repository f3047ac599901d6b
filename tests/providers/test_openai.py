"""OpenAI, and Azure OpenAI behind the same port."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.openai import BLUEPRINT
from tests.providers.settings_for import given_to, made, sent

AZURE = {
    "COPILOT_PROVIDER_TYPE": "Azure ",
    "COPILOT_PROVIDER_API_KEY": "azure-key",
    "COPILOT_PROVIDER_BASE_URL": "https://me.openai.azure.com/openai/v1/",
}


class OpenAITests(SynchronousTestCase):
    def test_stock_endpoint_has_v1_in_front(self) -> None:
        """With a key alone, requests go to api.openai.com below /v1."""
        provider = made(BLUEPRINT, OPENAI_API_KEY="k")
        self.assertEqual(provider.authority, b"api.openai.com")
        self.assertEqual(provider.base_path, b"/v1")
        self.assertEqual(sent(provider.credential), (b"Authorization", b"Bearer k"))
        self.assertIsNone(provider.not_configured())

    def test_missing_key_is_named(self) -> None:
        """Without a key, the refusal says which variable to set."""
        refusal = made(BLUEPRINT).not_configured()
        assert refusal is not None
        self.assertIn("set OPENAI_API_KEY", refusal.message)

    def test_host_and_base_path_by_configuration(self) -> None:
        """Another host has no prefix unless one is configured; a port is honoured."""
        for target, base_path, authority, prefix in [
            ("llm.example:8443", "", b"llm.example:8443", b""),
            ("llm.example", "v2/", b"llm.example", b"/v2"),
            ("api.openai.com", "", b"api.openai.com", b"/v1"),
            ("", "/", b"api.openai.com", b""),
            ("", "/x", b"api.openai.com", b"/x"),
        ]:
            provider = made(
                BLUEPRINT, OPENAI_API_TARGET=target, OPENAI_API_BASE_PATH=base_path
            )
            self.assertEqual(provider.authority, authority)
            self.assertEqual(provider.base_path, prefix)

    def test_custom_header_carries_the_bare_key(self) -> None:
        """AWF_OPENAI_AUTH_HEADER beats every other rule about the header."""
        for more in ({}, AZURE):
            provider = made(
                BLUEPRINT, OPENAI_API_KEY="k", AWF_OPENAI_AUTH_HEADER="X-Me", **more
            )
            self.assertEqual(sent(provider.credential), (b"X-Me", b"k"))
            self.assertEqual(provider.own_slots, {b"x-me"})

    def test_azure_takes_key_and_target_of_the_copilot_provider(self) -> None:
        """In Azure mode the COPILOT_PROVIDER_ variables configure this port."""
        provider = made(BLUEPRINT, **AZURE)
        self.assertEqual(provider.authority, b"me.openai.azure.com")
        self.assertEqual(provider.base_path, b"/openai/v1")
        self.assertEqual(sent(provider.credential), (b"api-key", b"azure-key"))

    def test_openai_variables_beat_azures(self) -> None:
        """What is said for this port counts before what is said for another."""
        provider = made(
            BLUEPRINT,
            OPENAI_API_KEY="k",
            OPENAI_API_TARGET="llm.example",
            OPENAI_API_BASE_PATH="/p",
            **AZURE,
        )
        self.assertEqual(provider.authority, b"llm.example")
        self.assertEqual(provider.base_path, b"/p")
        self.assertEqual(sent(provider.credential), (b"api-key", b"k"))

    def test_azure_url_without_a_path_has_no_prefix(self) -> None:
        """Nor does an Azure mode without a URL leave OpenAI's own host."""
        values = {**AZURE, "COPILOT_PROVIDER_BASE_URL": "https://me.openai.azure.com/"}
        self.assertEqual(made(BLUEPRINT, **values).base_path, b"")
        values["COPILOT_PROVIDER_BASE_URL"] = ""
        self.assertEqual(made(BLUEPRINT, **values).base_path, b"/v1")

    def test_other_types_do_not_touch_this_port(self) -> None:
        """A key for another kind of provider is not OpenAI's."""
        provider = made(BLUEPRINT, **{**AZURE, "COPILOT_PROVIDER_TYPE": "anthropic"})
        self.assertEqual(provider.authority, b"api.openai.com")
        self.assertIsNone(provider.credential)

    def test_oidc_is_said_to_have_no_effect(self) -> None:
        """The key then travels as a bearer token, as it would beside OIDC."""
        given = given_to(BLUEPRINT, AWF_AUTH_TYPE="GitHub-OIDC", **AZURE)
        provider = BLUEPRINT.build(given)
        self.assertEqual(
            sent(provider.credential), (b"Authorization", b"Bearer azure-key")
        )
        self.assertIn("AWF_AUTH_TYPE", given.warnings[0])

    def test_nonsense_is_a_problem_that_names_the_variable(self) -> None:
        """All of it at once, and a provider is made all the same."""
        given = given_to(
            BLUEPRINT,
            OPENAI_API_TARGET="http://plain.example",
            OPENAI_API_BASE_PATH="/a/../b",
            AWF_OPENAI_AUTH_HEADER="not a name",
            COPILOT_PROVIDER_TYPE="azure",
            COPILOT_PROVIDER_BASE_URL="https://x/a b",
        )
        self.assertEqual(BLUEPRINT.build(given).name, "openai")
        self.assertEqual(
            [problem.split()[0] for problem in given.problems],
            [
                "OPENAI_API_TARGET",
                "OPENAI_API_BASE_PATH",
                "COPILOT_PROVIDER_BASE_URL",
                "AWF_OPENAI_AUTH_HEADER",
            ],
        )
