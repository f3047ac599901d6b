"""Places: how many exchanges are carried at once, and the part of one process in that."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import Overloaded, QueueTimeout
from apiproxy.core.exchange import Exchange
from apiproxy.policy.rules import Places
from apiproxy.wire.places import PlaceQueue, part_of


class PartTests(SynchronousTestCase):
    def test_parts_make_the_whole(self) -> None:
        """Some have one more than others."""
        places = Places(concurrent=10, per_caller=4, waiting=7)
        parts = [part_of(places, worker, 4) for worker in range(4)]
        self.assertEqual([part.concurrent for part in parts], [3, 3, 2, 2])
        self.assertEqual([part.per_caller for part in parts], [1, 1, 1, 1])
        self.assertEqual([part.waiting for part in parts], [2, 2, 2, 1])

    def test_each_has_one(self) -> None:
        """Also where there are more processes than places."""
        parts = [part_of(Places(concurrent=2), worker, 4) for worker in range(4)]
        self.assertEqual([part.concurrent for part in parts], [1, 1, 1, 1])

    def test_no_limit_is_none(self) -> None:
        """And one process has all there is."""
        self.assertIsNone(part_of(Places(), 0, 2).concurrent)
        places = Places(concurrent=3)
        self.assertIs(part_of(places, 0, 1), places)


class QueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = PlaceQueue(Places(concurrent=1, waiting=2, seconds=5), self.clock)

    def entered(self) -> Deferred[object]:
        exchange = self.exchange = Exchange("1", "a", "GET", "/", seconds=float)
        return Deferred.fromCoroutine(self.queue.enter(exchange))

    def test_one_after_the_other(self) -> None:
        """Who comes second has a place when the first has left; its time is noted."""
        leave = self.successResultOf(self.entered())
        second = self.entered()
        self.clock.advance(2)
        self.assertNoResult(second)
        assert callable(leave)
        leave()
        self.successResultOf(second)
        self.assertEqual(self.exchange.queued_seconds, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(repr(self.queue).startswith("<PlaceQueue <"))

    def test_too_long(self) -> None:
        """Nobody waits for ever."""
        self.successResultOf(self.entered())
        second = self.entered()
        self.clock.advance(5)
        self.failureResultOf(second, QueueTimeout)

    def test_too_many(self) -> None:
        """There is an end to the queue, too."""
        self.successResultOf(self.entered())
        for _ in range(2):
            _ = self.entered().addErrback(lambda _: None)
        self.failureResultOf(self.entered(), Overloaded)
        self.clock.advance(5)

    def test_one_that_leaves_the_queue(self) -> None:
        """It is not in the way of others."""
        leave = self.successResultOf(self.entered())
        second, third = self.entered(), self.entered()
        _ = second.addErrback(lambda _: None)
        second.cancel()
        assert callable(leave)
        leave()
        self.successResultOf(third)

    def test_no_limit(self) -> None:
        """Everybody has a place."""
        self.queue = PlaceQueue(Places(), self.clock)
        for _ in range(9):
            leave = self.successResultOf(self.entered())
            assert callable(leave)
            leave()
