"""What an operator stops ends at once, with words that the agent's client understands."""

from typing import Any, cast

from apiproxy.bookkeeping import Bookkeeping
from apiproxy.core.chunked import LAST_CHUNK
from apiproxy.core.errors import Stopped
from apiproxy.core.stopping import StopOrder
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.stopping import Stopping
from tests.kit.frames import TEXT, frame
from tests.kit.memory import Agent, Bench, BenchCase, Upstream, get, head, post
from tests.kit.sockets import opened
from tests.test_service import settings

CHAT = "/v1/chat/completions"
BODY = b'{"model":"gpt-4o","stream":true,"messages":[]}'
EVENT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
STREAM = head("200 OK", "Content-Type: text/event-stream")


class StoppingCase(BenchCase):
    """A listener whose answers are metered, and an operator."""

    def staged(self, **variables: str) -> Bench:
        bench = self.bench()
        books = Bookkeeping(
            settings(**variables),
            cast(Any, bench.clock),
            cast(Any, None),
            LineLog(lambda line: None, level="error", now=float),
            Counters(now=bench.clock.seconds, version=""),
            seconds=bench.clock.seconds,
            complain=lambda sentence, error: bench.complaints.append(sentence),
        )
        bench.site.route.metering = books.metering
        bench.site.route.run = "r1"
        self.stopping = Stopping(lambda: [bench.site], bench.clock)
        return bench

    def stop(self, what: Any = "all", name: str = "") -> int:
        order = StopOrder(what, name)
        return self.stopping.stop(order.matches, Stopped())

    def streaming(self, bench: Bench, *data: bytes) -> tuple[Agent, Upstream]:
        """A chat whose answer has come so far."""
        agent = bench.agent()
        agent.send(post(CHAT, BODY))
        line = bench.line()
        line.send(STREAM, *data)
        return agent, line

    def assert_told(self, agent: Agent, bench: Bench) -> None:
        """The stream has ended whole, with the error in an event."""
        self.assertTrue(agent.received.endswith(LAST_CHUNK))
        last = agent.received.rpartition(b'"delta"')[2]
        self.assertIn(b'"code":"stopped_by_operator"', last)
        self.assertEqual(agent.state, "open")
        self.assertEqual(bench.told[-1], "closed 200 stopped_by_operator")
        self.assertEqual((bench.census.live, bench.pool.busy), (0, 0))


class HttpTests(StoppingCase):
    def test_a_stream_between_two_events(self) -> None:
        """It ends at once with the error of its dialect; upstream is hung up on."""
        bench = self.staged()
        agent, line = self.streaming(bench, EVENT)
        self.assertEqual(self.stop(), 1)
        self.assert_told(agent, bench)
        self.assertEqual(line.state, "aborted")
        self.assertEqual(self.stop(), 0)

    def test_a_stream_on_which_a_budget_is_watched(self) -> None:
        """The same."""
        bench = self.staged(AWF_MAX_EFFECTIVE_TOKENS="100000")
        agent, _ = self.streaming(bench, EVENT, EVENT)
        self.assertEqual(self.stop("run", "r1"), 1)
        self.assert_told(agent, bench)

    def test_a_stream_that_has_said_nothing(self) -> None:
        """Its error is the first event."""
        bench = self.staged()
        agent, _ = self.streaming(bench)
        self.assertEqual(self.stop(), 1)
        self.assert_told(agent, bench)

    def test_a_stream_in_the_middle_of_an_event(self) -> None:
        """The event comes whole, and then its end; nothing behind it does."""
        bench = self.staged()
        agent, line = self.streaming(bench, EVENT + EVENT[:20])
        self.assertEqual(self.stop(), 1)
        self.assertEqual(bench.census.live, 1)
        line.send(EVENT[20:] + b"data: MORE\n\n")
        self.assert_told(agent, bench)
        self.assertNotIn(b"MORE", agent.received)
        bench.wait(1)
        self.assertEqual(agent.state, "open")

    def test_an_event_that_does_not_end(self) -> None:
        """It is cut off after a moment that nobody notices."""
        bench = self.staged()
        agent, _ = self.streaming(bench, EVENT + EVENT[:20])
        self.assertEqual(self.stop(), 1)
        bench.clock.advance(0.09)
        self.assertEqual(agent.state, "aborted")
        self.assertEqual(bench.told[-1], "closed 200 stopped_by_operator")

    def test_a_document(self) -> None:
        """Nothing can be appended to it: it is cut off, so that nobody takes it for whole."""
        bench = self.staged()
        agent = bench.agent()
        agent.send(post(CHAT, BODY))
        bench.line().send(head("200 OK", "Content-Length: 100") + b'{"id":')
        self.assertEqual(self.stop(), 1)
        self.assertEqual(agent.state, "aborted")

    def test_what_is_not_metered(self) -> None:
        """A stream that nobody reads is cut off."""
        bench = self.staged()
        agent = bench.agent()
        agent.send(get("/v1/files/1/content"))
        bench.line().send(STREAM, b"data: 1\n\n")
        self.assertEqual(self.stop(), 1)
        self.assertEqual(agent.state, "aborted")

    def test_a_request_that_waits_for_its_answer(self) -> None:
        """It gets the error; the agent's connection lives on."""
        bench = self.staged()
        agent = bench.agent()
        agent.send(post(CHAT, BODY))
        self.assertEqual(self.stop("provider", "acme"), 1)
        self.assert_error(agent, 400, "stopped_by_operator")
        self.assertEqual(bench.line().state, "aborted")

    def test_a_request_that_is_not_whole(self) -> None:
        """It gets the error where it stands at the door, too."""
        bench = self.staged(AWF_MAX_RUNS="5")
        agent = bench.agent()
        agent.send(post(CHAT, BODY)[:-5])
        self.assertEqual(bench.endpoint.lines, [])
        self.assertEqual(self.stop(), 1)
        self.assert_error(agent, 400, "stopped_by_operator")

    def test_only_what_is_meant(self) -> None:
        """By request, run, caller and provider; others go on."""
        bench = self.staged()
        agent, _ = self.streaming(bench, EVENT)
        bench.agent()  # one that asks nothing
        for what, name in (
            ("exchange", "id-2"),
            ("run", "r2"),
            ("caller", "somebody"),
            ("provider", "other"),
        ):
            self.assertEqual(self.stop(what, name), 0)
        self.assertEqual(self.stop("exchange", "id-1"), 1)
        self.assert_told(agent, bench)
        self.assertEqual(repr(self.stopping), "<Stopping>")


class SocketTests(StoppingCase):
    def test_a_socket(self) -> None:
        """Nobody follows it, so it is closed with the reason."""
        bench = self.staged()
        bench.site.route.metering = None
        agent, _ = opened(bench)
        self.assertEqual(self.stop(), 1)
        self.assertEqual(agent.received[:1], b"\x88")
        self.assertIn(b"stopped_by_operator", agent.received)
        self.assertEqual(bench.told[-1], "closed 101 stopped_by_operator")
        self.assertEqual(self.stop(), 0)

    def test_a_conversation(self) -> None:
        """The error event that its client knows comes before the Close."""
        bench = self.staged()
        agent, _ = opened(bench)
        self.assertEqual(self.stop(), 1)
        event, _, closing = agent.received.partition(b"\x88")
        self.assertIn(b'"type":"error"', event)
        self.assertIn(b"stopped_by_operator", closing)
        self.assertEqual(bench.told[-1], "closed 101 stopped_by_operator")

    def test_in_the_middle_of_a_message(self) -> None:
        """The message comes whole first, if it comes soon."""
        bench = self.staged()
        agent, line = opened(bench)
        message = frame(TEXT, b'{"type":"response.output_text.delta"}')
        line.send(message[:10])
        agent.take()
        self.assertEqual(self.stop(), 1)
        self.assertEqual(agent.received, b"")
        line.send(message[10:])
        self.assertTrue(agent.received.startswith(message[10:]))
        self.assertIn(b'"type":"error"', agent.received)
        self.assertIn(b"\x88", agent.received)

    def test_a_message_that_does_not_end(self) -> None:
        """It is cut off after a moment."""
        bench = self.staged()
        agent, line = opened(bench)
        line.send(frame(TEXT, b"x" * 100)[:10])
        self.assertEqual(self.stop(), 1)
        bench.clock.advance(0.09)
        self.assertEqual(agent.state, "aborted")
        self.assertEqual(bench.told[-1], "closed 101 stopped_by_operator")
