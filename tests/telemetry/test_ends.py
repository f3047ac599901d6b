"""Ends that are told later: nothing is lost, nothing comes twice, reading comes first."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.exchange import Exchange, Observers, Phase
from apiproxy.telemetry.ends import Ends


class Diary:
    """An observer that writes down what it is told."""

    def __init__(self, *phases: Phase) -> None:
        self.phases = phases
        self.told: list[str] = []

    def wants(self, phase: Phase, transport: str) -> bool:
        """Those it was made for."""
        return phase in self.phases

    def observe(self, exchange: Exchange) -> None:
        """Write it down."""
        self.told.append(f"{exchange.id} {exchange.phase.name}")


class Broken(Diary):
    """An observer that has a bug."""

    def observe(self, exchange: Exchange) -> None:
        """Break."""
        raise ZeroDivisionError


class EndsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.complaints: list[str] = []
        self.counted = Diary(Phase.ASKED, Phase.CLOSED)
        self.logged = Diary(Phase.CLOSED)
        self.ends = Ends(self.clock)
        self.patient: list[Diary] = [self.counted, self.logged]

    def complain(self, sentence: str, error: BaseException) -> None:
        """A bug."""
        self.complaints.append(f"{sentence}: {type(error).__name__}")

    def exchange(self, name: str) -> Exchange:
        """One that has begun."""
        return Exchange(
            name,
            "acme",
            "GET",
            "/",
            seconds=self.clock.seconds,
            observers=Observers(self.ends, patient=self.patient),
            complain=self.complain,
        )

    def test_an_end_is_told_a_moment_later(self) -> None:
        """The beginning at once; the end to everybody who wants it."""
        exchange = self.exchange("a")
        self.assertEqual(self.counted.told, ["a ASKED"])
        exchange.forward(reused=False)
        exchange.close()
        self.assertEqual(repr(self.ends), "<Ends of 1 to be told>")
        self.assertEqual(self.logged.told, [])
        self.clock.advance(0.1)
        self.assertEqual(self.counted.told, ["a ASKED", "a CLOSED"])
        self.assertEqual(self.logged.told, ["a CLOSED"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_ends_are_told_without_waiting(self) -> None:
        """In the order in which they came, each once, and memory stays small."""
        names = [f"{number}" for number in range(200)]
        for name in names:
            self.exchange(name).close()
        self.assertGreater(len(self.logged.told), 150)
        self.clock.advance(1)
        self.assertEqual(self.logged.told, [f"{name} CLOSED" for name in names])

    def test_whoever_reads_flushes(self) -> None:
        """Then all is told, and no timer is left."""
        self.exchange("a").close()
        self.ends.flush()
        self.ends.flush()
        self.assertEqual(self.logged.told, ["a CLOSED"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_observer_that_breaks(self) -> None:
        """It is complained of, and the others are told all the same."""
        after = Diary(Phase.CLOSED)
        self.patient = [Broken(Phase.CLOSED), after]
        self.exchange("a").close()
        self.exchange("b").close()
        self.ends.flush()
        self.assertEqual(after.told, ["a CLOSED", "b CLOSED"])
        self.assertEqual(len(self.complaints), 2)

    def test_an_observer_that_breaks_at_the_beginning(self) -> None:
        """It is complained of once, and not told of the end."""
        broken = Broken(Phase.ASKED, Phase.CLOSED)
        self.patient = [broken, self.counted]
        self.exchange("a").close()
        self.ends.flush()
        self.assertEqual(len(self.complaints), 1)
        self.assertEqual(self.counted.told, ["a ASKED", "a CLOSED"])

    def test_how_long_ago(self) -> None:
        """A line that is written later still says when the exchange ended."""
        exchange = self.exchange("a")
        self.assertEqual(exchange.ended_ago, 0.0)
        exchange.close()
        self.clock.advance(0.02)
        self.assertEqual(exchange.ended_ago, 0.02)
