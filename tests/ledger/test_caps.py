"""Whether an operator has set a cap."""

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.ledger.caps import LOOK_SECONDS, Caps
from apiproxy.policy.ledger import Later, LedgerUnavailable, Standing

NONE = [Standing("run:1", "runs", 3)]
SOME = [*NONE, Standing("run:1", "money", cap=0)]


class CapsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[bool] = []
        self.matters = True
        self.found: Later[list[Standing]] | None = NONE
        self.caps = Caps(self.look, lambda: self.matters, self.told.append, self.clock)

    def look(self) -> Later[list[Standing]]:
        if self.found is None:
            raise LedgerUnavailable
        return self.found

    def test_another_process_sets_one(self) -> None:
        """It is known a few seconds later."""
        self.caps.start()
        self.found = SOME
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.told, [False, True])
        self.assertEqual(repr(self.caps), "<Caps looked for>")
        self.caps.stop()
        self.caps.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(repr(self.caps), "<Caps at rest>")

    def test_a_ledger_on_another_host(self) -> None:
        """It is known when that has answered."""
        waiting: Deferred[list[Standing]] = Deferred()
        self.found = waiting
        self.caps.look()
        self.assertEqual(self.told, [])
        waiting.callback(SOME)
        self.assertEqual(self.told, [True])

    def test_a_ledger_that_is_away(self) -> None:
        """It is as it was."""
        self.found = None
        self.caps.look()
        self.found = fail(LedgerUnavailable())
        self.caps.look()
        self.assertEqual(self.told, [])

    def test_rules_see_everything_anyway(self) -> None:
        """Nobody looks."""
        self.matters = False
        self.found = None
        self.caps.start()
        self.caps.stop()
        self.assertEqual(self.told, [])
