"""Tests of ``apiproxy.policy.habits``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.habits import ANSWERS, MODELS, Habits


class HabitTests(SynchronousTestCase):
    def test_few_answers_say_nothing(self) -> None:
        """From the fifth on, something is expected."""
        habits = Habits()
        for output in (10, 20, 30, 40):
            habits.learn("m", output)
            self.assertIsNone(habits.expect("m"))
        habits.learn("m", 5)
        self.assertEqual(habits.expect("m"), 40)
        self.assertIsNone(habits.expect("other"))

    def test_what_95_of_100_answers_do_not_exceed(self) -> None:
        """A single long one does not count."""
        habits = Habits()
        for output in [*range(1, 40), 100_000]:
            habits.learn("m", output)
        self.assertEqual(habits.expect("m"), 38)

    def test_old_answers_are_forgotten(self) -> None:
        """As are models that nobody uses."""
        habits = Habits()
        for output in [1000] * ANSWERS + [1] * ANSWERS:
            habits.learn("m", output)
        self.assertEqual(habits.expect("m"), 1)
        for number in range(MODELS):
            habits.learn(f"m{number}", 1)
        self.assertIsNone(habits.expect("m"))
        self.assertEqual(len(habits._next), MODELS)
