"""Which exchanges are under way."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.exchange import Exchange, Observers
from apiproxy.core.roster import Roster


class RosterTests(SynchronousTestCase):
    def test_in_and_out(self) -> None:
        """An exchange is there from its question to its end, also beside one of its id."""
        roster = Roster()

        def begin(provider: str) -> Exchange:
            return Exchange(
                "id", provider, "GET", "/", seconds=float, observers=Observers(roster)
            )

        first, second = begin("openai"), begin("gemini")
        self.assertEqual([one.provider for one in roster.shown()], ["openai", "gemini"])
        first.close()
        self.assertEqual([one.provider for one in roster.shown()], ["gemini"])
        self.assertEqual(repr(roster), "<Roster of 1>")
        second.close()
        self.assertEqual(roster.shown(), [])
