"""The figures of all workers, called in."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.telemetry.report import Report
from apiproxy.telemetry.tally import Tally
from apiproxy.workers.messages import Tell
from apiproxy.workers.roll import Roll


class Worker:
    """Remembers what it was asked."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked: list[int] = []

    def send(self, message: Tell) -> None:
        self.asked.append(message.round)


def counted(requests: int, active: int = 0) -> Report:
    """The figures of a worker that has carried so many."""
    tally = Tally(requests={("GET", 2): requests}, active=active)
    return Report(version="1", uptime=0.0, tallies={"openai": tally})


class RollTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.workers = [Worker(0), Worker(1)]
        self.stuck: list[int] = []
        self.roll = Roll(
            self.clock, lambda: self.workers, self.blank, self.stuck.append
        )

    def blank(self) -> Report:
        return Report(version="1", uptime=5.0, workers=len(self.workers))

    def requests(self, whole: object) -> tuple[int, int]:
        """Those that ended, and those under way."""
        assert isinstance(whole, Report)
        tally = whole.tallies["openai"]
        return tally.requests["GET", 2], tally.active

    def test_the_sum(self) -> None:
        """Of all, once all have answered; nothing is summed into what it was summed from."""
        for _ in range(2):
            asked = self.roll.whole()
            round_ = self.workers[0].asked[-1]
            self.roll.heard(0, round_, counted(3, 1))
            self.assertNoResult(asked)
            self.roll.heard(1, round_, counted(4))
            whole = self.successResultOf(asked)
            self.assertEqual(self.requests(whole), (7, 1))
            self.assertEqual((whole.uptime, whole.workers), (5.0, 2))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_figures_are_newer_than_the_question(self) -> None:
        """Who asks in the middle of a round gets the next one; many share it."""
        first = self.roll.whole()
        self.roll.heard(0, 1, counted(1))
        later, also = self.roll.whole(), self.roll.whole()
        self.roll.heard(1, 1, counted(1))
        self.assertEqual(self.requests(self.successResultOf(first)), (2, 0))
        self.assertNoResult(later)
        self.assertEqual(self.workers[0].asked, [1, 2])
        self.roll.heard(0, 2, counted(5))
        self.roll.heard(1, 2, counted(5))
        self.assertEqual(self.requests(self.successResultOf(later)), (10, 0))
        self.assertEqual(self.requests(self.successResultOf(also)), (10, 0))

    def test_a_worker_that_does_not_answer(self) -> None:
        """After a second it is shown as it was; that is counted; nobody waits for it again."""
        _ = self.roll.whole()
        self.roll.heard(0, 1, counted(1))
        self.roll.heard(1, 1, counted(10))
        asked = self.roll.whole()
        self.roll.heard(0, 2, counted(2))
        self.clock.advance(0.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        whole = self.successResultOf(asked)
        self.assertEqual((self.requests(whole), whole.silences), ((12, 0), 1))
        self.assertEqual(self.roll.silent, {1})
        asked = self.roll.whole()
        self.roll.heard(0, 3, counted(3))
        whole = self.successResultOf(asked)
        self.assertEqual((self.requests(whole), whole.silences), ((13, 0), 2))
        self.roll.heard(1, 2, counted(20))  # at last
        self.assertEqual(self.roll.silent, set())
        asked = self.roll.whole()
        self.assertEqual(self.workers[1].asked, [1, 2, 4])
        self.roll.heard(0, 4, counted(4))
        self.roll.heard(1, 4, counted(21))
        self.assertEqual(self.requests(self.successResultOf(asked)), (25, 0))

    def test_a_worker_that_has_ended(self) -> None:
        """What it had counted stays; what it had under way does not."""
        _ = self.roll.whole()
        self.roll.heard(0, 1, counted(1))
        self.roll.heard(1, 1, counted(10, 3))
        asked = self.roll.whole()
        self.roll.heard(0, 2, counted(2))
        lost = self.workers.pop()
        self.roll.gone(lost.number)
        self.assertEqual(self.requests(self.successResultOf(asked)), (12, 0))
        self.workers.append(Worker(1))
        for number in (1, 2):
            asked = self.roll.whole()
            round_ = self.workers[0].asked[-1]
            self.roll.heard(1, round_, counted(number))
            self.roll.heard(0, round_, counted(2))
            self.assertEqual(
                self.requests(self.successResultOf(asked)), (12 + number, 0)
            )
        self.roll.gone(1)
        self.roll.gone(1)
        self.workers.pop()
        asked = self.roll.whole()
        self.roll.heard(0, self.workers[0].asked[-1], counted(2))
        self.assertEqual(self.requests(self.successResultOf(asked)), (14, 0))

    def test_nobody_to_ask(self) -> None:
        """There is an answer all the same."""
        self.workers.clear()
        whole = self.successResultOf(self.roll.whole())
        self.assertEqual((whole.tallies, whole.workers), ({}, 0))

    def test_it_is_called_regularly(self) -> None:
        """So that little is lost with a worker that is killed."""
        self.roll.start()
        self.clock.advance(5)
        self.assertEqual(self.workers[0].asked, [1])
        self.roll.heard(0, 1, counted(9))
        self.roll.gone(1)
        self.clock.advance(5)
        self.assertEqual(self.workers[0].asked, [1, 2])
        self.clock.advance(1)
        _ = self.roll.whole()
        self.clock.advance(4)
        self.roll.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.roll.stop()

    def test_a_worker_that_is_stuck(self) -> None:
        """It is told after six rounds without an answer, unless one comes late."""
        self.roll.start()
        for round_ in range(1, 7):
            self.clock.advance(5)
            self.roll.heard(0, round_, counted(round_))
            self.clock.advance(0)
        self.assertEqual(self.stuck, [])
        self.roll.heard(1, 1, counted(1))  # at last
        for round_ in range(7, 13):
            self.clock.advance(5)
            self.roll.heard(0, round_, counted(round_))
            self.clock.advance(1)
        self.assertEqual(self.stuck, [])
        self.clock.advance(4)
        self.assertEqual(self.stuck, [1])
        self.roll.gone(1)
        self.roll.stop()

    def test_it_stops_in_the_middle_of_a_round(self) -> None:
        """Who has asked gets what is there; who asks later is answered, too."""
        self.roll.start()
        asked = self.roll.whole()
        self.roll.heard(0, 1, counted(3))
        self.roll.stop()
        self.assertEqual(self.requests(self.successResultOf(asked)), (3, 0))
        self.roll.heard(1, 1, counted(4))
        later = self.roll.whole()
        self.roll.heard(0, 2, counted(5))
        self.roll.heard(1, 2, counted(6))
        self.assertEqual(self.requests(self.successResultOf(later)), (11, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
