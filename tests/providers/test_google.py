"""What Gemini and Vertex AI have in common."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.google import google
from tests.providers.settings_for import made, sent

BLUEPRINT = google("gem", "Gem", 7, "gem.example", "GEM_KEY", b"/v1/models")


class GoogleTests(SynchronousTestCase):
    def test_key_travels_in_googles_header(self) -> None:
        """Never in the query, where logs would keep it."""
        provider = made(BLUEPRINT, GEM_KEY="k")
        self.assertEqual(provider.authority, b"gem.example")
        self.assertEqual(sent(provider.credential), (b"x-goog-api-key", b"k"))

    def test_host_and_base_path_by_configuration(self) -> None:
        """The variables are named after the provider."""
        provider = made(BLUEPRINT, GEM_API_TARGET="x.example:1", GEM_API_BASE_PATH="y")
        self.assertEqual(provider.authority, b"x.example:1")
        self.assertEqual(provider.base_path, b"/y")

    def test_two_slashes_before_live(self) -> None:
        """As ``@google/genai`` for Node asks for it; only whole paths of Google's own."""
        doubled = made(BLUEPRINT).doubled
        assert doubled is not None
        service = "google.ai.generativelanguage.v1beta.GenerativeService"
        for path in (
            f"//ws/{service}.BidiGenerateContent",
            f"//ws/{service}.BidiGenerateContentConstrained",
            "//ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateMusic",
            "//ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
        ):
            self.assertIsNotNone(doubled.fullmatch(path.encode()), path)
        for path in (
            "//ws/",
            f"/ws/{service}.BidiGenerateContent",
            f"//evil.example/{service}.BidiGenerateContent",
            f"//ws/{service}.BidiGenerateContent/../x",
            f"//ws/{service}.GenerateContent",
            "//v1beta/models",
        ):
            self.assertIsNone(doubled.fullmatch(path.encode()), path)

    def test_missing_key_is_named(self) -> None:
        """Without a key, the refusal says which variable to set."""
        refusal = made(BLUEPRINT).not_configured()
        assert refusal is not None
        self.assertIn("set GEM_KEY", refusal.message)
