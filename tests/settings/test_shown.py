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
