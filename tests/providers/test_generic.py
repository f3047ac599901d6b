"""A provider made by configuration alone."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.dialects import AnthropicDialect, OpenAIDialect
from apiproxy.providers.generic import NAME, generic
from tests.providers.settings_for import given_to, made, sent

MISTRAL = generic("mistral", "Mistral", "MISTRAL_API_KEY")


class GenericTests(SynchronousTestCase):
    def test_key_and_target_are_enough(self) -> None:
        """The rest is as most providers have it."""
        provider = made(MISTRAL, MISTRAL_API_KEY="k", target="api.mistral.ai:444")
        self.assertEqual(provider.authority, b"api.mistral.ai:444")
        self.assertEqual(provider.base_path, b"")
        self.assertEqual(provider.dialect, OpenAIDialect())
        self.assertEqual(sent(provider.credential), (b"Authorization", b"Bearer k"))

    def test_key_travels_as_configured(self) -> None:
        """A header other than Authorization has no scheme unless one is configured."""
        for header, scheme, line in [
            ("X-Key", "", (b"X-Key", b"k")),
            ("X-Key", "Raw", (b"X-Key", b"Raw k")),
            ("authorization", "", (b"authorization", b"Bearer k")),
            ("", "token", (b"Authorization", b"token k")),
        ]:
            provider = made(
                MISTRAL, MISTRAL_API_KEY="k", target="x", header=header, scheme=scheme
            )
            self.assertEqual(sent(provider.credential), line)

    def test_prefix_and_dialect_by_configuration(self) -> None:
        """Errors can look like those of any known provider."""
        provider = made(MISTRAL, target="x", base_path="v1", dialect="anthropic")
        self.assertEqual(provider.base_path, b"/v1")
        self.assertEqual(provider.dialect, AnthropicDialect())

    def test_missing_key_is_named(self) -> None:
        """Without a key, the refusal says which variable to set."""
        refusal = made(MISTRAL, target="x").not_configured()
        assert refusal is not None
        self.assertIn("Mistral is not configured; set MISTRAL_API_KEY", refusal.message)

    def test_nonsense_is_a_problem(self) -> None:
        """So is a provider without an upstream."""
        given = given_to(MISTRAL, dialect="klingon", header="a b", scheme="a\nb")
        MISTRAL.build(given)
        self.assertEqual(
            [problem.split()[0] for problem in given.problems],
            ["providers.mistral.target", "dialect", "header", "scheme"],
        )

    def test_names_are_short_and_plain(self) -> None:
        """They become parts of variables, metrics and log lines."""
        for name in ("mistral", "a", "my-llm2"):
            self.assertTrue(NAME.fullmatch(name))
        for name in ("", "2x", "A", "a_b", "a.b", "-", "x" * 33):
            self.assertFalse(NAME.fullmatch(name))
