"""A question that is asked seldom."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.answer import Later
from apiproxy.admin.seldom import LONG, Seldom


class SeldomTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Nobody has asked."""
        self.clock = Clock()
        self.asked = 0
        self.answer: Later[list[int]] = []
        self.seldom: Seldom[list[int]] = Seldom(self.ask, self.clock.seconds)

    def ask(self) -> Later[list[int]]:
        self.asked += 1
        return self.answer

    def test_a_short_answer_is_fresh(self) -> None:
        """It costs nothing."""
        for number in range(5):
            self.answer = [number]
            self.assertEqual(self.seldom.get(), [number])

    def test_a_long_answer_is_given_again(self) -> None:
        """For a second, however often somebody asks."""
        self.answer = [0] * LONG
        for _ in range(9):
            self.assertEqual(len(self.seldom.get()), LONG)  # type: ignore[arg-type]
            self.clock.advance(0.11)
        self.assertEqual(self.asked, 1)
        self.clock.advance(0.02)
        self.seldom.get()
        self.assertEqual(self.asked, 2)

    def test_whoever_asks_meanwhile_gets_the_same_answer(self) -> None:
        """Also if the first that asked has left."""
        later: Deferred[list[int]] = Deferred()
        self.answer = later
        first, second, third = (self.seldom.get() for _ in range(3))
        self.assertEqual(repr(self.seldom), "<Seldom, 3 wait>")
        assert isinstance(first, Deferred)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        later.callback([7])
        for each in (second, third):
            assert isinstance(each, Deferred)
            self.assertEqual(self.successResultOf(each), [7])
        self.assertEqual(self.asked, 1)

    def test_what_fails_fails_for_all_who_asked(self) -> None:
        """And is asked anew."""
        later: Deferred[list[int]] = Deferred()
        self.answer = later
        asked = [self.seldom.get() for _ in range(2)]
        later.errback(ValueError())
        for each in asked:
            assert isinstance(each, Deferred)
            self.failureResultOf(each, ValueError)
        self.answer = [1]
        self.assertEqual(self.seldom.get(), [1])
