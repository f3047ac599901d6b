"""A reload that is over when all workers have done it."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.workers.reloading import PATIENCE_SECONDS, Reloading


class ReloadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.done: list[str] = []

    def reloading(self, *workers: str) -> Reloading:
        return Reloading(workers, lambda: self.done.append("done"), self.clock)

    def test_all_have_done_it(self) -> None:
        """It is said once, and nothing is left of it."""
        reloading = self.reloading("a", "b")
        reloading.begin()
        reloading.done_by("a")
        reloading.done_by("c")
        self.assertEqual(self.done, [])
        reloading.done_by("b")
        reloading.end()
        self.assertEqual((self.done, self.clock.getDelayedCalls()), (["done"], []))

    def test_nobody_to_wait_for(self) -> None:
        """It is over when it has begun."""
        reloading = self.reloading()
        self.assertEqual(self.done, [])
        reloading.begin()
        self.assertEqual(self.done, ["done"])

    def test_a_worker_that_does_not_do_it(self) -> None:
        """It is not waited for, for ever."""
        self.reloading("a").begin()
        self.clock.advance(PATIENCE_SECONDS)
        self.assertEqual(self.done, ["done"])
