"""A place for each exchange, and waiting for one."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import Overloaded, QueueTimeout
from apiproxy.policy.rules import Places
from apiproxy.wire.places import PlaceQueue, part_of
from tests.kit.books import Desk

Leave = Callable[[], None]


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


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Take a clock."""
        self.clock = Clock()
        self.desk = Desk(self.clock)

    def enter(self, queue: PlaceQueue, caller: str = "") -> Deferred[Leave]:
        """One more comes."""
        self.exchange = self.desk.exchange()
        self.exchange.caller = caller
        return Deferred.fromCoroutine(queue.enter(self.exchange))

    def test_as_many_as_come(self) -> None:
        """Where nothing is limited nobody is counted."""
        queue = PlaceQueue(Places(), self.clock)
        self.assertFalse(queue.limited)
        self.successResultOf(self.enter(queue))()
        self.assertEqual(repr(queue), "<PlaceQueue <FairQueue 0 carried, 0 waiting>>")

    def test_who_leaves_calls_who_waits(self) -> None:
        """And the time that it waited is told."""
        queue = PlaceQueue(Places(concurrent=1), self.clock)
        self.assertTrue(queue.limited)
        leave = self.successResultOf(self.enter(queue))
        waits = self.enter(queue)
        self.assertNoResult(waits)
        self.clock.advance(2)
        leave()
        self.successResultOf(waits)()
        self.assertEqual(self.exchange.queued_seconds, 2)
        self.assertEqual(self.clock.calls, [])

    def test_too_long(self) -> None:
        """Is told, and the place stays where it is."""
        queue = PlaceQueue(Places(concurrent=1, seconds=3), self.clock)
        leave = self.successResultOf(self.enter(queue))
        late = self.enter(queue)
        self.clock.advance(3)
        self.failureResultOf(late, QueueTimeout)
        leave()
        self.successResultOf(self.enter(queue))()

    def test_too_many_wait(self) -> None:
        """Is told at once."""
        queue = PlaceQueue(Places(per_caller=1, waiting=0), self.clock)
        self.successResultOf(self.enter(queue))
        self.failureResultOf(self.enter(queue), Overloaded)

    def test_narrowed_tokens_share_the_places_of_their_caller(self) -> None:
        """Else an agent would narrow its token for every request."""
        queue = PlaceQueue(Places(per_caller=1, waiting=0), self.clock)
        self.successResultOf(self.enter(queue, "ci"))
        for name in ("ci", "ci+00000001", "ci+00000002"):
            self.failureResultOf(self.enter(queue, name), Overloaded)
        self.successResultOf(self.enter(queue, "other"))

    def test_who_gives_up_takes_nobodys_place(self) -> None:
        """The next one is served."""
        queue = PlaceQueue(Places(concurrent=1), self.clock)
        leave = self.successResultOf(self.enter(queue))
        gone, waits = self.enter(queue), self.enter(queue)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        leave()
        self.successResultOf(waits)()
        self.assertEqual(self.clock.calls, [])

    def test_other_limits(self) -> None:
        """Hold for those who have places, too; who waits is called if there is room."""
        queue = PlaceQueue(Places(concurrent=1, seconds=9), self.clock)
        leave = self.successResultOf(self.enter(queue))
        waits = self.enter(queue)
        queue.use(Places(concurrent=1, waiting=0))
        self.assertNoResult(waits)
        self.failureResultOf(self.enter(queue), Overloaded)
        queue.use(Places())
        self.assertFalse(queue.limited)
        self.successResultOf(waits)()
        leave()
        self.assertEqual(self.clock.calls, [])
