"""One slow clock for all deadlines."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.wire.watch import Stall, Watch


class Looker:
    """Writes down when it looked."""

    def __init__(self) -> None:
        self.looked: list[float] = []

    def look(self, now: float) -> None:
        self.looked.append(now)


class Broken(Looker):
    """Raises each time it looks."""

    def look(self, now: float) -> None:
        super().look(now)
        raise ZeroDivisionError


class WatchTests(SynchronousTestCase):
    """Everyone watched looks once a tick."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.watch = Watch(self.clock, self.clock.seconds, 2.0)

    def test_everyone_looks_once_a_tick(self) -> None:
        """From its start to its stop."""
        looker = Looker()
        self.watch.add(looker)
        self.clock.pump([2, 2])
        self.watch.start()
        self.clock.pump([1, 1, 1, 1])
        self.watch.stop()
        self.clock.pump([2, 2])
        self.assertEqual(looker.looked, [6, 8])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(repr(self.watch), "<Watch 1 watched every 2.0s>")

    def test_whoever_is_removed_is_asked_no_more(self) -> None:
        """Removing it twice is harmless."""
        looker = Looker()
        self.watch.add(looker)
        self.watch.remove(looker)
        self.watch.remove(looker)
        self.watch.start()
        self.clock.advance(2)
        self.assertEqual(looker.looked, [])

    def test_it_can_be_stopped_before_it_starts(self) -> None:
        """Nothing happens."""
        self.watch.stop()
        self.assertEqual(self.clock.calls, [])

    def test_one_that_breaks_does_not_keep_the_others_from_looking(self) -> None:
        """Its bug is reported; everybody's deadlines hold."""
        lookers = [Broken(), Looker(), Broken(), Looker()]
        for looker in lookers:
            self.watch.add(looker)
        self.watch.start()
        self.clock.pump([2, 2])
        self.assertEqual([looker.looked for looker in lookers], [[2, 4]] * 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)


class StallTests(SynchronousTestCase):
    """For how long something has not moved."""

    def test_a_figure_that_moves_starts_anew(self) -> None:
        """Whatever kind of figure it is."""
        stall = Stall()
        told = [
            stall.seconds(figure, now)
            for now, figure in enumerate([1, 1, 1, (2, "a"), (2, "a"), 1])
        ]
        self.assertEqual(told, [0, 1, 2, 0, 1, 0])
