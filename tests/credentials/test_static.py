"""A secret that was read once."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Secret
from apiproxy.credentials.static import StaticSource


class StaticSourceTests(SynchronousTestCase):
    def test_always_the_same(self) -> None:
        """It gives the secret it was made with, or says that there is none."""
        secret = Secret(b"sk-real")
        self.assertIs(StaticSource(secret).current(), secret)
        self.assertIsNone(StaticSource(None).current())
        self.assertNotIn("sk-real", repr(StaticSource(secret)))
