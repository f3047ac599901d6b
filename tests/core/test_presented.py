"""Where agents put their keys."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.headers import Special
from apiproxy.core.presented import presented


class PresentedTests(SynchronousTestCase):
    """All places, in order."""

    def test_every_place(self) -> None:
        """What stands there, without what stands around it."""
        special: Special = {
            b"x-api-key": [b"b"],
            b"authorization": [b"Bearer a", b"token  t", b"bare", b"Basic dTpwOnE="],
            b"x-goog-api-key": [b"c"],
            b"api-key": [b"d"],
            b"x-own": [b"Bearer o"],
            b"sec-websocket-protocol": [
                b"realtime, openai-insecure-api-key.s , OpenAI-Ephemeral-Token.e"
            ],
        }
        self.assertEqual(
            presented(special, b"?a=1&key=k%21&API_KEY=b", frozenset({b"x-own"})),
            [b"a", b"t", b"bare", b"q", b"b", b"c", b"d", b"o", b"k!", b"s", b"e"],
        )

    def test_nothing(self) -> None:
        """An agent without a key, and one with broken ones."""
        special: Special = {b"authorization": [b"Basic !!", b"Bearer ", b""]}
        self.assertEqual(presented({}, b""), [])
        self.assertEqual(presented(special, b"?key="), [b"Bearer"])

    def test_it_is_bounded(self) -> None:
        """A request can have hundreds; no more are looked at than an agent may need."""
        special: Special = {b"authorization": [b"%d" % n for n in range(200)]}
        self.assertEqual(len(presented(special, b"")), 16)
