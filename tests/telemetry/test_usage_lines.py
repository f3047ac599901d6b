"""What is written down of each response."""

import re
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.metered import Cost
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.usage_lines import UsageLines, schema_of, usage_line
from tests.telemetry.responses import COST, record, response

REFERENCE = """
_schema timestamp event request_id provider model path status streaming input_tokens
output_tokens cache_read_tokens cache_write_tokens duration_ms response_bytes x_initiator
billing effective_tokens_this_response effective_tokens_total model_multiplier
ai_credits_this_response ai_credits_total ai_credits_pricing_source
ai_credits_pricing_tier ai_credits_accounting_policy ai_credits_fallback_pricing_used
ai_credits_dynamic_selector
""".split()  # noqa: SIM905
"""The fields of the Node sidecar, in their order; not those of prices asked for at runtime."""


def written(**facts: Any) -> dict[str, object]:
    line = usage_line(
        response(**facts),
        LineLog(lambda line: None, level="info", now=float).shorten,
        schema="token-usage/v1.2.3",
        at="A",
        started="S",
    )
    decoded: dict[str, object] = msgspec.json.decode(msgspec.json.encode(line))
    return decoded


class UsageLineTests(SynchronousTestCase):
    def test_names_and_order(self) -> None:
        """Programs that read the Node sidecar's files can read these."""
        cost = Cost(**msgspec.structs.asdict(COST) | {"selector": "copilot:auto"})
        line = written(cost=cost, initiator="user", billing={"plan": "x"})
        self.assertEqual([*line][: len(REFERENCE)], REFERENCE)

    def test_figures(self) -> None:
        """Input as the provider counts it, and behind the known fields the finer ones."""
        self.assertEqual(
            written(cost=COST, run="r1", caller="ann"),
            {
                "_schema": "token-usage/v1.2.3",
                "timestamp": "A",
                "event": "token_usage",
                "request_id": "req-1",
                "provider": "openai",
                "model": "gpt-4o",
                "path": "/v1/responses",
                "status": 200,
                "streaming": False,
                "input_tokens": 100,
                "output_tokens": 20,
                "cache_read_tokens": 30,
                "cache_write_tokens": 10,
                "duration_ms": 12,
                "response_bytes": 85,
                "effective_tokens_this_response": 155.5,
                "effective_tokens_total": 1000.0,
                "model_multiplier": 1.0,
                "ai_credits_this_response": 0.475,
                "ai_credits_total": 1.0,
                "ai_credits_pricing_source": "operator",
                "ai_credits_pricing_tier": "default",
                "ai_credits_accounting_policy": "concrete_model",
                "ai_credits_fallback_pricing_used": False,
                "reasoning_tokens": 5,
                "total_tokens": 120,
                "input_tokens_include_cache": True,
                "cache_write_5m_tokens": 7,
                "cache_write_1h_tokens": 3,
                "audio_input_tokens": 1,
                "audio_output_tokens": 2,
                "image_input_tokens": 3,
                "image_output_tokens": 4,
                "response_id": "resp_1",
                "service_tier": "default",
                "stop_reason": "stop",
                "state": "completed",
                "transport": "http",
                "estimated": False,
                "caller": "ann",
                "run": "r1",
                "started": "S",
            },
        )

    def test_on_a_websocket(self) -> None:
        """Which response of the socket it is."""
        line = written(said=record(turn=7, stream_id="s2"), transport="websocket")
        self.assertEqual((line["turn"], line["stream_id"]), (7, "s2"))

    def test_nothing_is_known(self) -> None:
        """A response that could not be read has a line all the same, and the reason."""
        line = written(
            said=record(usage=None, model="", gap="agent_gone"), asked="auto"
        )
        self.assertEqual((line["input_tokens"], line["total_tokens"]), (0, 0))
        self.assertEqual((line["gap"], line["model"]), ("agent_gone", "auto"))
        self.assertNotIn("ai_credits_total", line)

    def test_texts_of_a_hostile_provider(self) -> None:
        """What is long is cut, and what is no text becomes some."""
        line = written(said=record(model="m" * 9999, id="\ud800"), path="/" * 9999)
        self.assertEqual(len(str(line["model"])), 257)
        self.assertEqual(len(str(line["path"])), 513)
        self.assertEqual(line["response_id"], "\\ud800")

    def test_schema(self) -> None:
        """Whatever the version is called, the reference's readers know the schema."""
        pattern = re.compile(r"token-usage/v\d+\.\d+\.\d+(-\w+)?")
        for version, schema in (
            ("1.2.3", "1.2.3"),
            ("1.2.3-rc.1", "1.2.3"),
            ("1.2.3+build.7", "1.2.3"),
            ("1.2", "1.2.0"),
            ("dev", "0.0.0"),
        ):
            made = schema_of(version)
            self.assertEqual(made, f"token-usage/v{schema}")
            self.assertIsNotNone(pattern.fullmatch(made))


class LogLineTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A log."""
        self.written: list[bytes] = []
        self.log = LineLog(self.written.append, level="info", now=lambda: 0.0)
        self.lines = UsageLines(self.log)

    def test_token_usage(self) -> None:
        """One line for each response, with the ids by which others are found."""
        self.lines.metered(response(run="r1", transport="websocket"))
        self.assertEqual(
            msgspec.json.decode(self.written[0]),
            {
                "timestamp": "1970-01-01T00:00:00.000Z",
                "level": "info",
                "event": "token_usage",
                "request_id": "req-1",
                "provider": "openai",
                "model": "gpt-4o",
                "input_tokens": 100,
                "output_tokens": 20,
                "cache_read_tokens": 30,
                "cache_write_tokens": 10,
                "reasoning_tokens": 5,
                "streaming": False,
                "transport": "websocket",
                "state": "completed",
                "duration_ms": 12,
                "estimated": False,
                "response_id": "resp_1",
                "run": "r1",
            },
        )

    def test_half_a_secret(self) -> None:
        """Is in no line."""
        self.log.redact([b"sk-planted-0001"])
        cut = "m" * 246 + "sk-planted-0001"
        self.lines.metered(response(record(model=cut, id=cut), transport="websocket"))
        self.assertNotIn(b"sk-p", self.written[0])

    def test_no_usage(self) -> None:
        """A response of unknown usage is another event, with the reason."""
        self.lines.metered(response(record(usage=None), transport="websocket"))
        line = msgspec.json.decode(self.written[0])
        self.assertEqual(
            (line["event"], line["gap"]), ("token_track_no_usage", "no_usage")
        )

    def test_level(self) -> None:
        """Whoever logs warnings only gets none of these."""
        self.log.set_level("warning")
        self.lines.metered(response(transport="websocket"))
        self.assertEqual(self.written, [])

    def test_over_http(self) -> None:
        """There is none, since the line of the exchange has it all."""
        self.lines.metered(response())
        self.assertEqual(self.written, [])
