"""Waiting."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.demo.patience import until


class PatienceTests(SynchronousTestCase):
    def test_it_comes(self) -> None:
        """Waiting ends when it is so."""
        clock = Clock()
        so: list[int] = []
        waiting = Deferred.fromCoroutine(until(clock, lambda: so))
        self.assertNoResult(waiting)
        so.append(1)
        clock.advance(0.01)
        self.assertTrue(self.successResultOf(waiting))

    def test_it_does_not_come(self) -> None:
        """Or when it took too long."""
        clock = Clock()
        waiting = Deferred.fromCoroutine(until(clock, lambda: False, 1))
        clock.pump([0.01] * 101)
        self.assertFalse(self.successResultOf(waiting))
