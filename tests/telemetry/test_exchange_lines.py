"""The canonical line of each exchange."""

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import (
    AgentGone,
    EgressDenied,
    InternalError,
    NotConfigured,
    Overloaded,
    ProxyError,
    UpstreamReset,
    WebSocketUnavailable,
)
from apiproxy.core.exchange import Exchange, Observers
from apiproxy.core.metered import Transport
from apiproxy.core.values import Answer
from apiproxy.telemetry.exchange_lines import (
    LONGEST_NAME,
    LONGEST_PATH,
    ExchangeLines,
)
from apiproxy.telemetry.lines import LineLog
from tests.telemetry.responses import COST, record, response

OK = Answer(200, b"OK", [])
SWITCHING = Answer(101, b"Switching Protocols", [])
REFUSED = Answer(401, b"Unauthorized", [])


CUT = "m" * (LONGEST_NAME - 10) + "sk-0123456789"


class ExchangeLinesTests(SynchronousTestCase):
    """What is written when, and at which level."""

    def setUp(self) -> None:
        """A log, a clock, and exchanges between them."""
        self.clock = Clock()
        self.raw: list[bytes] = []
        self.complaints: list[BaseException] = []

    def exchange(
        self,
        transport: Transport = "http",
        path: str = "/v1/responses",
        level: str = "debug",
    ) -> Exchange:
        """A new exchange, watched by new lines."""
        log = LineLog(self.raw.append, level=level, now=lambda: 0.0)
        log.redact([b"sk-0123456789"])
        return Exchange(
            "id-1",
            "openai",
            "GET" if transport == "websocket" else "POST",
            path,
            seconds=self.clock.seconds,
            observers=Observers(ExchangeLines(log, {"openai": "api.openai.com"})),
            complain=lambda sentence, error: self.complaints.append(error),
            transport=transport,
        )

    @property
    def lines(self) -> list[dict[str, object]]:
        """All lines so far, without the timestamp."""
        self.assertEqual(self.complaints, [])
        decoded = [msgspec.json.decode(line) for line in self.raw]
        for line in decoded:
            self.assertEqual(line.pop("timestamp"), "1970-01-01T00:00:00.000Z")
        return decoded

    def story(self) -> list[tuple[object, object, object]]:
        """Level, event and error of each line."""
        return [
            (line["level"], line["event"], line.get("error")) for line in self.lines
        ]

    def test_what_the_response_has_used(self) -> None:
        """The line of an exchange over HTTP has its figures, and what they cost."""
        exchange = self.exchange()
        exchange.metered = response(cost=COST, caller="ann", run="r1")
        exchange.close()
        told = {
            "model": "gpt-4o",
            "input_tokens": 100,
            "output_tokens": 20,
            "cache_read_tokens": 30,
            "cache_write_tokens": 10,
            "reasoning_tokens": 5,
            "state": "completed",
            "estimated": False,
            "response_id": "resp_1",
            "caller": "ann",
            "run": "r1",
            "ai_credits_this_response": 0.475,
        }
        self.assertEqual(self.lines[0] | told, self.lines[0])
        self.assertNotIn("gap", self.lines[0])

    def test_a_response_that_could_not_be_read(self) -> None:
        """Has no figures, and tells why; names are cut, and secrets in them hidden."""
        exchange = self.exchange()
        said = record(usage=None, model="m" * 999, id="sk-0123456789", gap="agent_gone")
        exchange.metered = response(said)
        exchange.close()
        line = self.lines[0]
        self.assertEqual((line["gap"], line["model"]), ("agent_gone", "m" * 256 + "…"))
        self.assertNotIn("input_tokens", line)
        self.assertNotIn(b"sk-0123456789", self.raw[0])

    def test_a_name_that_is_cut_has_no_half_of_a_secret(self) -> None:
        """A provider chooses it, and knows the key."""
        for facts in ({"model": CUT}, {"id": CUT}):
            exchange = self.exchange()
            exchange.metered = response(record(**facts))
            exchange.close()
        self.assertNotIn(b"sk-01", b"".join(self.raw))

    def test_request_complete(self) -> None:
        """An HTTP exchange is one line with all that is known about it."""
        exchange = self.exchange()
        exchange.queued_seconds = 0.00123
        self.clock.advance(0.25)
        exchange.forward(reused=False, dial_seconds=0.21)
        self.clock.advance(0.5)
        exchange.answer(OK)
        exchange.bytes_up, exchange.bytes_down = 12, 345
        self.clock.advance(1)
        exchange.close()
        exchange.close(AgentGone())
        self.assertEqual(
            self.lines,
            [
                {
                    "level": "info",
                    "event": "request_complete",
                    "request_id": "id-1",
                    "provider": "openai",
                    "method": "POST",
                    "path": "/v1/responses",
                    "upstream_host": "api.openai.com",
                    "status": 200,
                    "duration_ms": 1750.0,
                    "queue_ms": 1.2,
                    "dial_ms": 210.0,
                    "first_byte_ms": 750.0,
                    "request_bytes": 12,
                    "response_bytes": 345,
                    "line_reused": False,
                }
            ],
        )

    def test_refusal(self) -> None:
        """A refused request has its error, no first byte, and the agent's status."""
        self.exchange().close(NotConfigured("set OPENAI_API_KEY"))
        [line] = self.lines
        self.assertEqual(line["status"], 403)
        self.assertEqual(line["error"], "provider_not_configured")
        self.assertEqual(line["error_message"], "set OPENAI_API_KEY")
        self.assertIsNone(line["first_byte_ms"])

    def test_levels(self) -> None:
        """Agents and limits are warnings; egress, provider and our bugs are errors."""
        for error, level in (
            (None, "info"),
            (AgentGone(), "warning"),
            (NotConfigured(), "warning"),
            (Overloaded(), "warning"),
            (InternalError(), "error"),
            (EgressDenied(), "error"),
            (UpstreamReset(), "error"),
        ):
            self.raw.clear()
            self.exchange().close(error)
            code = error.code if error else None
            self.assertEqual(self.story(), [(level, "request_complete", code)])

    def test_threshold(self) -> None:
        """A line under the level of the log is not even made."""
        self.exchange(level="warning").close()
        self.exchange("websocket", level="warning").close(AgentGone())
        self.assertEqual(
            self.story(), [("warning", "websocket_upgrade_rejected", "agent_gone")]
        )

    def test_path_has_no_query(self) -> None:
        """Should a query get into the path, it does not get into the line."""
        self.exchange(path="/v1/models?key=placeholder").close()
        self.assertEqual(self.lines[0]["path"], "/v1/models")

    def test_path_is_cut(self) -> None:
        """A long path is cut, and the cut leaves no half of a secret."""
        path = "/" + "x" * (LONGEST_PATH - 10) + "sk-0123456789" + "y" * 20
        self.exchange(path=path).close()
        shown = str(self.lines[0]["path"])
        self.assertTrue(shown.endswith("…"))
        self.assertEqual(len(shown), LONGEST_PATH + 1)
        self.assertNotIn("sk-", shown)

    def test_unknown_provider(self) -> None:
        """A provider without a host in the table has none in the line."""
        log = LineLog(self.raw.append, level="info", now=lambda: 0.0)
        exchange = self.exchange()
        self.assertEqual(self.lines, [])
        exchange.close()
        ExchangeLines(log, {}).observe(exchange)
        self.assertIsNone(self.lines[1]["upstream_host"])

    def test_websocket_complete(self) -> None:
        """An open WebSocket has a line at its start and one at its end."""
        exchange = self.exchange("websocket")
        exchange.forward(reused=False, dial_seconds=0.1)
        self.clock.advance(0.3)
        exchange.answer(SWITCHING)
        exchange.bytes_up, exchange.bytes_down = 7, 8
        exchange.close_code = 1000
        self.clock.advance(60)
        exchange.close()
        start, end = self.lines
        self.assertEqual(
            start,
            {
                "level": "info",
                "event": "websocket_upgrade_start",
                "request_id": "id-1",
                "provider": "openai",
                "method": "GET",
                "path": "/v1/responses",
                "upstream_host": "api.openai.com",
            },
        )
        self.assertEqual(
            {key: value for key, value in end.items() if key not in start},
            {
                "status": 101,
                "duration_ms": 60300.0,
                "queue_ms": 0.0,
                "dial_ms": 100.0,
                "first_byte_ms": 300.0,
                "request_bytes": 7,
                "response_bytes": 8,
                "line_reused": False,
                "close_code": 1000,
            },
        )
        self.assertEqual(
            (end["level"], end["event"]), ("info", "websocket_upgrade_complete")
        )

    def test_websocket_that_broke(self) -> None:
        """A WebSocket that broke was open: complete, with the error and no close code."""
        exchange = self.exchange("websocket")
        exchange.forward(reused=False)
        exchange.answer(SWITCHING)
        exchange.close(UpstreamReset())
        self.assertEqual(
            self.story()[1:],
            [("error", "websocket_upgrade_complete", "upstream_reset")],
        )
        self.assertIsNone(self.lines[1]["close_code"])

    def outcome(
        self, error: ProxyError | None, *, forwarded: bool, answer: Answer | None = None
    ) -> tuple[object, object, object]:
        """The line at the end of a WebSocket that went this far."""
        self.raw.clear()
        exchange = self.exchange("websocket")
        if forwarded:
            exchange.forward(reused=False)
        if answer is not None:
            exchange.answer(answer)
        exchange.close(error)
        start, end = self.story()
        self.assertEqual(start, ("info", "websocket_upgrade_start", None))
        return end

    def test_websocket_rejected(self) -> None:
        """What we refuse before it is forwarded is rejected."""
        for error in (WebSocketUnavailable(), NotConfigured()):
            self.assertEqual(
                self.outcome(error, forwarded=False),
                ("warning", "websocket_upgrade_rejected", error.code),
            )

    def test_websocket_failed(self) -> None:
        """What egress or provider refuse, or an agent does not wait for, has failed."""
        event = "websocket_upgrade_failed"
        self.assertEqual(
            self.outcome(EgressDenied(), forwarded=False),
            ("error", event, "egress_denied"),
        )
        self.assertEqual(
            self.outcome(AgentGone(), forwarded=True), ("warning", event, "agent_gone")
        )
        self.assertEqual(
            self.outcome(None, forwarded=True, answer=REFUSED), ("error", event, None)
        )
        self.assertEqual(
            self.outcome(UpstreamReset(), forwarded=True, answer=REFUSED),
            ("error", event, "upstream_reset"),
        )
        self.assertEqual(self.outcome(None, forwarded=False), ("error", event, None))
