"""Which exchanges are under way."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.exchange import Exchange, Observers
from apiproxy.core.roster import MOST_SHOWN, Roster


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

    def test_a_crowd(self) -> None:
        """The oldest are shown, and not more than somebody can look at."""
        roster = Roster()
        for number in range(MOST_SHOWN + 1):
            Exchange(
                str(number), "a", "GET", "/", seconds=float, observers=Observers(roster)
            )
        shown = [one.id for one in roster.shown()]
        self.assertEqual((len(shown), shown[0]), (MOST_SHOWN, "0"))
