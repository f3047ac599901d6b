"""Who tries the keys."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.workers.keys import Keys
from apiproxy.workers.messages import KeysTried, TryKeys

VALID = {"complete": True, "results": {"openai": {"status": "valid"}}}


class Worker:
    """Counts how often it was to try them."""

    def __init__(self) -> None:
        self.asked = 0
        self.question = 0

    def send(self, message: TryKeys) -> None:
        self.asked += 1
        self.question = message.id


class KeysTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.workers = [Worker(), Worker()]
        self.refused = 0
        self.keys = Keys(lambda: self.workers, self.refuse)
        self.keys.wanted = True

    def refuse(self) -> None:
        self.refused += 1

    def asked(self) -> list[int]:
        return [worker.asked for worker in self.workers]

    def test_one_worker_tries_them_once(self) -> None:
        """What it finds is known of all; others are not heard."""
        self.keys.find_somebody()
        self.keys.find_somebody()
        self.assertEqual(self.asked(), [1, 0])
        first, second = self.workers
        self.keys.heard(second, {"complete": False, "results": {"x": {}}})
        self.assertEqual(self.keys.known, {"complete": False, "results": {}})
        self.keys.heard(first, {"complete": False, "results": VALID["results"]})
        self.assertEqual(self.keys.known["results"], VALID["results"])
        self.keys.tried(second, KeysTried(1, {}, refused=True))
        self.keys.tried(first, KeysTried(1, VALID, refused=False))
        self.keys.find_somebody()
        self.assertEqual((self.keys.known, self.asked()), (VALID, [1, 0]))
        self.assertEqual(self.refused, 0)

    def test_nobody_wants_it(self) -> None:
        """Then nobody does it."""
        self.keys.wanted = False
        self.keys.find_somebody()
        self.assertEqual(self.asked(), [0, 0])

    def test_the_worker_that_tries_ends(self) -> None:
        """Another takes over, at once or when there is one."""
        self.keys.find_somebody()
        first = self.workers.pop(0)
        self.keys.gone(first)
        self.assertEqual(self.asked(), [1])
        second = self.workers.pop()
        self.keys.gone(second)
        self.keys.gone(first)
        self.workers.append(Worker())
        self.keys.find_somebody()
        self.assertEqual(self.asked(), [1])

    def test_a_key_is_refused(self) -> None:
        """That is told at the first try, and not after a reload."""
        self.keys.find_somebody()
        self.keys.tried(self.workers[0], KeysTried(1, VALID, refused=True))
        self.assertEqual(self.refused, 1)
        self.keys.forget(wanted=True)
        self.assertEqual(self.keys.known, {"complete": False, "results": {}})
        self.keys.find_somebody()
        self.keys.tried(self.workers[0], KeysTried(2, VALID, refused=True))
        self.assertEqual((self.asked(), self.refused), ([2, 0], 1))

    def test_an_answer_to_an_old_question(self) -> None:
        """What was found out about keys that are not in force any more is nothing."""
        self.keys.find_somebody()
        first = self.workers[0]
        self.keys.forget(wanted=True)
        self.keys.find_somebody()
        self.assertEqual(first.question, 2)
        self.keys.tried(first, KeysTried(1, VALID, refused=False))
        self.assertEqual(self.keys.known, {"complete": False, "results": {}})
        self.keys.tried(first, KeysTried(2, VALID, refused=False))
        self.assertEqual(self.keys.known, VALID)
