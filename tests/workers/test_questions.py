"""Questions that the front has for all workers."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.workers.messages import Message, Show
from apiproxy.workers.questions import Questions


class Member:
    """A worker that is asked."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked: list[Message] = []

    def send(self, message: Message) -> None:
        self.asked.append(message)


class QuestionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.questions = Questions(self.clock)
        self.members = [Member(0), Member(1)]

    def test_all_answer(self) -> None:
        """The answer is there with the last of them; what is said twice counts once."""
        answer = self.questions.ask(self.members, Show)
        self.assertEqual([each.asked for each in self.members], [[Show(1)], [Show(1)]])
        self.questions.heard(0, 1, "a")
        self.questions.heard(0, 1, "again")
        self.assertNoResult(answer)
        self.questions.heard(1, 1, "b")
        self.assertEqual(self.successResultOf(answer), ["a", "b"])
        self.questions.heard(1, 1, "late")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_does_not_answer(self) -> None:
        """After a second what there is has to do."""
        answer = self.questions.ask(self.members, Show)
        self.questions.heard(1, 1, "b")
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(answer), ["b"])

    def test_one_ends_meanwhile(self) -> None:
        """It is not waited for, in whatever it was asked."""
        first = self.questions.ask(self.members, Show)
        second = self.questions.ask(self.members[1:], Show)
        self.assertEqual(repr(self.questions), "<Questions, 2 open>")
        self.questions.heard(0, 1, "a")
        self.questions.gone(1)
        self.assertEqual(self.successResultOf(first), ["a"])
        self.assertEqual(self.successResultOf(second), [])

    def test_nobody(self) -> None:
        """The answer is there at once, and empty."""
        answer = self.questions.ask([], Show)
        self.assertEqual(self.successResultOf(answer), [])
