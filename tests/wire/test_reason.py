"""Reason phrases."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core import errors
from apiproxy.core.errors import ProxyError
from apiproxy.wire.reason import reason_phrase


class ReasonTests(SynchronousTestCase):
    """What stands behind a status we send."""

    def test_known_and_unknown(self) -> None:
        """An unknown status gets a word that fits its class."""
        phrases = [reason_phrase(status) for status in (200, 204, 413, 431, 418, 599)]
        self.assertEqual(
            phrases,
            [
                b"OK",
                b"OK",
                b"Content Too Large",
                b"Request Header Fields Too Large",
                b"Error",
                b"Error",
            ],
        )

    def test_every_error_an_agent_can_get_has_a_phrase(self) -> None:
        """Of its own; 499 is never sent."""
        statuses = {
            kind.status
            for kind in vars(errors).values()
            if isinstance(kind, type) and issubclass(kind, ProxyError)
        }
        for status in statuses - {499}:
            self.assertNotEqual(reason_phrase(status), b"Error")
