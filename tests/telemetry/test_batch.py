"""Things told later: in order, each once, and all of them when somebody reads."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.telemetry.batch import Batch


class BatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[int] = []
        self.batch: Batch[int] = Batch(self.clock, self.told.append)

    def test_told_a_moment_later(self) -> None:
        """And no timer is left."""
        self.batch.add(1)
        self.batch.add(2)
        self.assertEqual(repr(self.batch), "<Batch of 2 to be told>")
        self.assertEqual(self.told, [])
        self.clock.advance(0.1)
        self.assertEqual(self.told, [1, 2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_told_may_note_more(self) -> None:
        """It comes with the next."""
        batch: Batch[int] = Batch(self.clock, lambda n: batch.add(n - 1) if n else None)
        batch.add(3)
        for _ in range(3):
            self.assertEqual(repr(batch), "<Batch of 1 to be told>")
            self.clock.advance(0.1)
        self.clock.advance(0.1)
        self.assertEqual(repr(batch), "<Batch of 0 to be told>")
