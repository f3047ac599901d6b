"""The Exchange: phases go forward, one end, guards fail closed and observers open."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import (
    AgentGone,
    InternalError,
    Overloaded,
    ProxyError,
    UpstreamReset,
    UpstreamSilent,
)
from apiproxy.core.exchange import Census, Exchange, Guard, Observer, Observers, Phase
from apiproxy.core.values import Answer, Ask

ASK = Ask(b"POST", b"/v1/x?y", b"/v1/x", [])
ANSWER = Answer(200, b"OK", [])


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The seconds now."""
        return self.now


class Diary:
    """An observer that writes down each phase."""

    def __init__(self, events: list[str], name: str = "saw", *phases: Phase) -> None:
        self._events = events
        self._name = name
        self._phases = phases or tuple(Phase)

    def wants(self, phase: Phase, transport: str) -> bool:
        """Those it was made for."""
        return phase in self._phases

    def observe(self, exchange: Exchange) -> None:
        """Write it down."""
        self._events.append(f"{self._name} {exchange.phase.name}")


class Broken:
    """An observer or guard that has a bug."""

    def wants(self, phase: Phase, transport: str) -> bool:
        """All."""
        return True

    def observe(self, exchange: Exchange) -> None:
        """Break."""
        raise ZeroDivisionError

    def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """Break."""
        raise ZeroDivisionError

    def __repr__(self) -> str:
        return "<Broken>"


class Rule:
    """A guard that always decides the same."""

    def __init__(
        self, events: list[str], name: str, refusal: ProxyError | None
    ) -> None:
        self._events = events
        self._name = name
        self._refusal = refusal

    def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """Decide."""
        self._events.append(f"{self._name} asked about {ask.path.decode()}")
        return self._refusal


class ExchangeCase(SynchronousTestCase):
    """A clock, and the list of what happened."""

    def setUp(self) -> None:
        """Nothing has happened yet."""
        self.clock = Clock()
        self.events: list[str] = []

    def exchange(self, *observers: Observer) -> Exchange:
        """An exchange that has just begun."""
        return Exchange(
            "0123456789",
            "openai",
            "POST",
            "/v1/x",
            seconds=self.clock,
            observers=Observers(*observers),
            complain=self.complain,
        )

    def complain(self, sentence: str, error: BaseException) -> None:
        """Write it down."""
        self.events.append(f"{sentence}: {type(error).__name__}")


class PhaseTests(ExchangeCase):
    def test_story_of_an_answer(self) -> None:
        """Each phase is told once, and the clock is read at each."""
        exchange = self.exchange(Diary(self.events))
        self.assertEqual(
            (exchange.phase, exchange.status, exchange.error), (Phase.ASKED, 0, None)
        )
        self.clock.now = 101.0
        exchange.forward(reused=False, dial_seconds=0.5)
        self.clock.now = 102.0
        exchange.answer(ANSWER)
        self.clock.now = 105.0
        self.assertEqual(exchange.age, 5.0)
        self.assertTrue(exchange.close())
        self.clock.now = 200.0
        self.assertEqual(
            self.events, ["saw ASKED", "saw FORWARDED", "saw ANSWERING", "saw CLOSED"]
        )
        self.assertEqual(
            (exchange.started, exchange.forwarded, exchange.answered, exchange.ended),
            (100.0, 101.0, 102.0, 105.0),
        )
        self.assertEqual((exchange.status, exchange.age), (200, 5.0))
        self.assertEqual((exchange.transport, exchange.error), ("http", None))

    def test_phases_never_go_back(self) -> None:
        """What comes late changes nothing that was told."""
        exchange = self.exchange(Diary(self.events))
        exchange.answer(ANSWER)
        exchange.forward(reused=True)
        exchange.answer(Answer(500, b"", []))
        self.assertEqual((exchange.phase, exchange.status), (Phase.ANSWERING, 200))
        exchange.close()
        exchange.forward(reused=True)
        exchange.answer(Answer(500, b"", []))
        self.assertEqual((exchange.phase, exchange.status), (Phase.CLOSED, 200))
        self.assertEqual(self.events, ["saw ASKED", "saw ANSWERING", "saw CLOSED"])
        self.assertIsNone(exchange.forwarded)

    def test_second_line_adds_to_the_dial_time(self) -> None:
        """A stale line is replaced without being told as a second request."""
        exchange = self.exchange(Diary(self.events))
        exchange.forward(reused=True)
        self.clock.now = 103.0
        exchange.forward(reused=False, dial_seconds=2.0)
        self.assertEqual(
            (exchange.reused, exchange.dial_seconds, exchange.forwarded),
            (False, 2.0, 100.0),
        )
        self.assertEqual(self.events, ["saw ASKED", "saw FORWARDED"])

    def test_first_reason_wins(self) -> None:
        """One disconnect arrives by several paths; it ends once."""
        exchange = self.exchange(Diary(self.events))
        first = UpstreamReset()
        self.assertTrue(exchange.close(first))
        self.clock.now = 150.0
        self.assertFalse(exchange.close(AgentGone()))
        self.assertFalse(exchange.close())
        self.assertIs(exchange.error, first)
        self.assertEqual((exchange.status, exchange.ended), (502, 100.0))
        self.assertEqual(self.events, ["saw ASKED", "saw CLOSED"])

    def test_orderly_end_is_not_made_an_error(self) -> None:
        """An agent that leaves after its answer has left in order."""
        exchange = self.exchange()
        exchange.answer(ANSWER)
        exchange.close()
        self.assertFalse(exchange.close(AgentGone()))
        self.assertEqual((exchange.error, exchange.status), (None, 200))

    def test_status_is_what_the_agent_got(self) -> None:
        """An error before the answer gives it, one after the answer does not."""
        for answered, status, expected in [
            (False, 0, 504),
            (False, 426, 426),
            (True, 0, 200),
            (True, 426, 200),
        ]:
            exchange = self.exchange()
            if answered:
                exchange.answer(ANSWER)
            exchange.close(UpstreamSilent(), status)
            self.assertEqual(exchange.status, expected)
        nothing = self.exchange()
        nothing.close()
        self.assertEqual(nothing.status, 0)

    def test_repr_says_where_it_is(self) -> None:
        """Phase, age, bytes and error at a glance, and no path."""
        exchange = self.exchange()
        exchange.bytes_up, exchange.bytes_down = 7, 8
        self.clock.now = 101.25
        self.assertEqual(repr(exchange), "<Exchange 01234567 openai ASKED 1.2s 7↑ 8↓>")
        exchange.close(AgentGone())
        self.assertEqual(
            repr(exchange),
            "<Exchange 01234567 openai CLOSED 1.2s 7↑ 8↓ agent_gone>",
        )


class GuardTests(ExchangeCase):
    def test_all_guards_must_let_it_pass(self) -> None:
        """They are asked in order."""
        guards = [Rule(self.events, name, None) for name in ("one", "two")]
        self.assertIsNone(self.exchange().ask(ASK, guards))
        self.assertIsNone(self.exchange().ask(ASK, []))
        self.assertEqual(
            self.events, ["one asked about /v1/x", "two asked about /v1/x"]
        )

    def test_first_refusal_wins(self) -> None:
        """Whoever comes after it is not asked."""
        refusal = Overloaded()
        guards = [
            Rule(self.events, "one", refusal),
            Rule(self.events, "two", InternalError()),
        ]
        exchange = self.exchange()
        self.assertIs(exchange.ask(ASK, guards), refusal)
        self.assertEqual(self.events, ["one asked about /v1/x"])
        self.assertIs(exchange.phase, Phase.ASKED)

    def test_guard_that_breaks_refuses(self) -> None:
        """A bug in a policy lets nothing pass."""
        guards: list[Guard] = [Broken(), Rule(self.events, "two", None)]
        refusal = self.exchange().ask(ASK, guards)
        self.assertIsInstance(refusal, InternalError)
        self.assertEqual(
            self.events,
            ["guard <Broken> broke and therefore refused: ZeroDivisionError"],
        )

    def test_nobody_has_to_be_complained_to(self) -> None:
        """Without anybody to tell, a broken guard refuses all the same."""
        exchange = Exchange("a", "b", "GET", "/", seconds=self.clock)
        self.assertIsInstance(exchange.ask(ASK, [Broken()]), InternalError)


class ObserverTests(ExchangeCase):
    def test_observer_that_breaks_is_dropped(self) -> None:
        """It is reported once; the others see everything, and the exchange goes on."""
        exchange = self.exchange(
            Diary(self.events, "one"), Broken(), Diary(self.events, "two")
        )
        exchange.forward(reused=False)
        exchange.close()
        self.assertEqual(
            self.events,
            [
                "one ASKED",
                "observer <Broken> broke and was dropped: ZeroDivisionError",
                "two ASKED",
                "one FORWARDED",
                "two FORWARDED",
                "one CLOSED",
                "two CLOSED",
            ],
        )

    def test_observer_is_dropped_for_this_exchange_only(self) -> None:
        """The next exchange tells it again."""
        observers = Observers(Broken())
        for _ in range(2):
            Exchange(
                "a",
                "b",
                "GET",
                "/",
                seconds=self.clock,
                observers=observers,
                complain=self.complain,
            ).close()
        self.assertEqual(len(self.events), 2)

    def test_observer_is_told_only_what_it_wants(self) -> None:
        """Whoever wants the end alone is not called before."""
        last = Diary(self.events, "last", Phase.CLOSED)
        exchange = self.exchange(last)
        exchange.forward(reused=False)
        exchange.answer(ANSWER)
        self.assertEqual(self.events, [])
        exchange.close()
        self.assertEqual(self.events, ["last CLOSED"])


class CensusTests(ExchangeCase):
    def test_census_returns_to_zero(self) -> None:
        """However exchanges end, and however often, each counts once."""
        census = Census()
        exchanges = [self.exchange(census) for _ in range(3)]
        self.assertEqual(census.live, 3)
        exchanges[0].close()
        exchanges[0].close(AgentGone())
        exchanges[1].answer(ANSWER)
        exchanges[1].close(UpstreamReset())
        self.assertEqual(repr(census), "<Census 1 live>")
        exchanges[2].forward(reused=False)
        exchanges[2].close(UpstreamSilent())
        self.assertEqual(census.live, 0)
