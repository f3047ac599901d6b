"""Gemini."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.gemini import BLUEPRINT
from tests.providers.settings_for import made, sent


class GeminiTests(SynchronousTestCase):
    def test_key_goes_to_its_host(self) -> None:
        """A key alone is enough."""
        provider = made(BLUEPRINT, GEMINI_API_KEY="k")
        self.assertEqual(BLUEPRINT.port, 10003)
        self.assertEqual(provider.host, "generativelanguage.googleapis.com")
        self.assertEqual(sent(provider.credential), (b"x-goog-api-key", b"k"))

    def test_host_and_base_path_by_configuration(self) -> None:
        """The variables are those of the reference."""
        provider = made(
            BLUEPRINT, GEMINI_API_TARGET="x.example", GEMINI_API_BASE_PATH="/y"
        )
        self.assertEqual((provider.host, provider.base_path), ("x.example", b"/y"))
