"""Tests of ``apiproxy.policy.queue``."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import Overloaded, QueueTimeout
from apiproxy.policy.queue import FairQueue, Ticket
from apiproxy.policy.rules import Places
from tests.kit.hypothesis_profile import STEADY


def enter(queue: FairQueue, key: str) -> Ticket:
    ticket = queue.enter(key)
    assert isinstance(ticket, Ticket)
    return ticket


class QueueTests(SynchronousTestCase):
    def test_without_limits_nobody_waits(self) -> None:
        """However many come."""
        queue = FairQueue(Places())
        self.assertTrue(all(enter(queue, "a").ready for _ in range(500)))
        self.assertEqual(repr(queue), "<FairQueue 500 carried, 0 waiting>")

    def test_first_come_first_served(self) -> None:
        """Of one caller."""
        queue = FairQueue(Places(concurrent=1))
        first, second, third = (enter(queue, "a") for _ in range(3))
        self.assertEqual(repr(first), "<Ticket a ready>")
        self.assertEqual(repr(second), "<Ticket a waiting>")
        self.assertEqual(queue.leave(first), [second])
        self.assertEqual(queue.leave(second), [third])
        self.assertEqual(queue.leave(third), [])
        self.assertEqual(queue.carried, 0)
        self.assertEqual(repr(third), "<Ticket a over>")

    def test_a_caller_with_many_delays_nobody_with_one(self) -> None:
        """One caller after the other is served."""
        queue = FairQueue(Places(concurrent=1))
        now = enter(queue, "many")
        for _ in range(9):
            enter(queue, "many")
        one, other = enter(queue, "one"), enter(queue, "other")
        order = []
        for _ in range(4):
            [now] = queue.leave(now)
            order.append(now.key)
        self.assertEqual(order, ["many", "one", "other", "many"])
        self.assertTrue(one.ready and other.ready)

    def test_a_caller_has_places_of_its_own(self) -> None:
        """Those left over wait, though there are places, and others do not."""
        queue = FairQueue(Places(concurrent=3, per_caller=1))
        first, second = enter(queue, "a"), enter(queue, "a")
        self.assertEqual((first.ready, second.ready), (True, False))
        self.assertTrue(enter(queue, "b").ready)
        self.assertEqual(queue.leave(first), [second])

    def test_other_limits_hold_for_who_is_there(self) -> None:
        """More are served if there is more room; fewer as those leave who have places."""
        queue = FairQueue(Places(concurrent=1))
        first, second = enter(queue, "a"), enter(queue, "a")
        third, other = enter(queue, "a"), enter(queue, "b")
        self.assertEqual(queue.use(Places(concurrent=4, per_caller=2)), [second, other])
        self.assertEqual(queue.use(Places(concurrent=1)), [])
        self.assertEqual([queue.leave(one) for one in (first, second)], [[], []])
        self.assertEqual(queue.leave(other), [third])
        self.assertEqual(queue.leave(third), [])
        self.assertEqual(repr(queue), "<FairQueue 0 carried, 0 waiting>")

    def test_who_may_have_no_more_is_passed_over(self) -> None:
        """Though it waited before the limit for each was there."""
        queue = FairQueue(Places(concurrent=2))
        first, second = enter(queue, "a"), enter(queue, "a")
        third, other = enter(queue, "a"), enter(queue, "b")
        self.assertEqual(queue.use(Places(concurrent=2, per_caller=1)), [])
        self.assertEqual(queue.leave(first), [other])
        self.assertEqual(queue.leave(second), [third])

    def test_the_line_is_bounded(self) -> None:
        """Whoever comes then is told at once."""
        queue = FairQueue(Places(concurrent=1, waiting=1))
        enter(queue, "a")
        enter(queue, "b")
        self.assertIsInstance(queue.enter("c"), Overloaded)
        self.assertEqual(queue.waiting, 1)

    def test_whoever_gives_up_is_not_served(self) -> None:
        """And leaves nothing behind."""
        queue = FairQueue(Places(concurrent=1))
        first, second, third = (enter(queue, key) for key in "abc")
        self.assertIsInstance(queue.give_up(second), QueueTimeout)
        self.assertEqual(queue.leave(second), [])
        self.assertEqual(queue.leave(first), [third])
        self.assertEqual(queue.waiting, 0)
        for number in range(100):
            queue.give_up(enter(queue, str(number)))
        self.assertEqual((len(queue._round), len(queue._lines)), (0, 0))


class PropertyTests(SynchronousTestCase):
    @STEADY
    @given(
        st.integers(1, 4),
        st.integers(1, 3),
        st.lists(st.tuples(st.sampled_from("eeelg"), st.integers(0, 30)), max_size=150),
    )
    def test_no_place_is_empty_while_somebody_could_have_it(
        self, concurrent: int, per_caller: int, steps: list[tuple[str, int]]
    ) -> None:
        """Nor taken twice, in whatever order agents come, leave and give up."""
        places = Places(concurrent=concurrent, per_caller=per_caller, waiting=20)
        queue, tickets = FairQueue(places), list[Ticket]()
        for step, number in steps:
            if step == "e":
                ticket = queue.enter("abc"[number % 3])
                if isinstance(ticket, Ticket):
                    tickets.append(ticket)
            elif tickets:
                ticket = tickets.pop(number % len(tickets))
                if step == "l" or ticket.ready:
                    served = queue.leave(ticket)
                    self.assertTrue(all(each.ready for each in served))
                else:
                    queue.give_up(ticket)
            self.look(queue, tickets, places)

    def look(self, queue: FairQueue, tickets: list[Ticket], places: Places) -> None:
        carried = [ticket.key for ticket in tickets if ticket.ready]
        waiting = [ticket.key for ticket in tickets if not ticket.ready]
        self.assertEqual((queue.carried, queue.waiting), (len(carried), len(waiting)))
        assert places.concurrent is not None and places.per_caller is not None
        self.assertLessEqual(len(carried), places.concurrent)
        for key in "abc":
            self.assertLessEqual(carried.count(key), places.per_caller)
            if key in waiting:
                full = len(carried) == places.concurrent
                self.assertTrue(full or carried.count(key) == places.per_caller)
