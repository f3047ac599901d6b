"""What is told of metering."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import BodyTooLarge, ProxyError, RateLimited, RunsExceeded
from apiproxy.core.exchange import Exchange
from apiproxy.policy.inspection import ToolUse
from apiproxy.telemetry.chronicle import Chronicle
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.lines import LineLog
from tests.telemetry.responses import response


class ChronicleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.counters = Counters(now=float, version="0")
        log = LineLog(
            lambda line: self.lines.append(json.loads(line)), level="info", now=float
        )
        self.chronicle = Chronicle(
            log,
            self.counters,
            lambda sentence, error: self.complaints.append(sentence),
        )
        self.exchange = Exchange(
            "id-1", "openai", "POST", "/v1/responses", seconds=float
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of this event."""
        return [line for line in self.lines if line["event"] == name]

    def told(self, error: ProxyError) -> None:
        """A refusal is told."""
        self.chronicle.refused(self.exchange, error)

    def test_a_budget(self) -> None:
        """By its name, with its figures."""
        self.told(RunsExceeded(details={"invocation_count": 3, "max_runs": 3}))
        (line,) = self.events("max_runs_exceeded")
        self.assertEqual((line["invocation_count"], line["max_runs"]), (3, 3))
        self.assertEqual((line["request_id"], line["provider"]), ("id-1", "openai"))
        usage = self.counters.tally("openai").usage
        self.assertEqual(usage.refusals, {"max_runs_exceeded": 1})

    def test_a_rate(self) -> None:
        """By the short name of its window."""
        figures = {"limit": 2, "window": "per_minute_bytes", "retry_after": 9}
        self.told(RateLimited(details=figures))
        (line,) = self.events("rate_limited")
        self.assertEqual((line["limit_type"], line["retry_after"]), ("bytes_pm", 9))
        usage = self.counters.tally("openai").usage
        self.assertEqual((usage.rate_limits, usage.refusals), ({"bytes_pm": 1}, {}))

    def test_what_no_rule_refuses(self) -> None:
        """Is told of elsewhere."""
        self.told(BodyTooLarge())
        self.assertEqual(self.lines, [])

    def test_a_response(self) -> None:
        """Is counted; one on a WebSocket has a line of its own."""
        self.chronicle.metered(response())
        self.assertEqual(self.counters.tally("openai").usage.total("output"), 20)
        self.assertEqual(self.lines, [])
        self.chronicle.metered(response(transport="websocket"))
        self.assertEqual(len(self.lines), 1)

    def test_telemetry_that_breaks(self) -> None:
        """Is complained of, and nothing else comes of it."""

        def broken(metered: object) -> None:
            raise ValueError

        self.counters.metered = broken  # type: ignore[method-assign]
        self.chronicle.metered(response())
        self.assertEqual(self.complaints, ["a response could not be reported"])

    def test_a_hosted_tool(self) -> None:
        """Its kind and where it goes, if it goes anywhere."""
        for use in (ToolUse("mcp", "a.example"), ToolUse("code")):
            self.chronicle.tool_used(self.exchange, use)
        told = [(line["kind"], line["host"]) for line in self.events("hosted_tool")]
        self.assertEqual(told, [("mcp", "a.example"), ("code", None)])
