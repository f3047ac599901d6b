"""A reload that is over when all workers have done it."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.workers.reloading import PATIENCE_SECONDS, Reloading


class ReloadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.done: list[tuple[set[str], set[str]]] = []

    def reloading(self, *workers: str) -> Reloading[str]:
        return Reloading(workers, lambda *how: self.done.append(how), self.clock)

    def test_all_have_done_it(self) -> None:
        """It is said once, and nothing is left of it."""
        reloading = self.reloading("a", "b")
        reloading.begin()
        reloading.done_by("a")
        reloading.done_by("c")
        self.assertEqual(self.done, [])
        reloading.done_by("b")
        reloading.done_by("b", ok=False)
        reloading.cancel()
        self.assertEqual(self.done, [(set(), set())])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_to_wait_for(self) -> None:
        """It is over when it has begun."""
        reloading = self.reloading()
        self.assertEqual(self.done, [])
        reloading.begin()
        self.assertEqual(self.done, [(set(), set())])

    def test_who_could_not_and_who_did_not(self) -> None:
        """They are told apart; nobody is waited for, for ever."""
        reloading = self.reloading("a", "b", "c")
        reloading.begin()
        reloading.done_by("a", ok=False)
        reloading.done_by("b")
        self.clock.advance(PATIENCE_SECONDS)
        self.assertEqual(self.done, [({"a"}, {"c"})])

    def test_it_is_overtaken(self) -> None:
        """By another one, or by the end; then nothing is said."""
        self.reloading("a").cancel()
        self.assertEqual((self.done, self.clock.getDelayedCalls()), ([], []))
