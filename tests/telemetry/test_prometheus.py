"""The counters as Prometheus text."""

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from apiproxy.core.errors import AgentGone
from apiproxy.telemetry.prometheus import ReportCollector
from tests.telemetry.responses import COST, record, response
from tests.telemetry.test_counters import CountersTestCase

Labels = dict[str, str]


class PrometheusTests(CountersTestCase):
    """What a scrape shows."""

    def samples(self) -> dict[str, list[tuple[Labels, float]]]:
        """All samples by name, as Prometheus parses them."""
        self.assertEqual(self.complaints, [])
        found: dict[str, list[tuple[Labels, float]]] = {}
        for family in parse_text(self.counters.report().as_text().decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    def test_fresh(self) -> None:
        """A fresh process shows what it is, how old it is, and that no line was lost."""
        self.clock.advance(3)
        self.assertEqual(
            self.samples(),
            {
                "apiproxy_build_info": [({"version": "1.2.3"}, 1)],
                "apiproxy_uptime_seconds": [({}, 3)],
                "apiproxy_log_lines_dropped_total": [({}, 0)],
                "apiproxy_usage_lines_dropped_total": [({}, 0)],
                "apiproxy_workers": [({}, 1)],
                "apiproxy_worker_restarts_total": [({}, 0)],
                "apiproxy_worker_silences_total": [({}, 0)],
            },
        )

    def test_counts(self) -> None:
        """Counters have the labels of the contract."""
        self.carry(error=AgentGone())
        self.counters.connected("openai")
        self.counters.retried("openai")
        samples = self.samples()
        openai = {"provider": "openai"}
        for name, labels, value in (
            ("requests", openai | {"method": "POST", "status_class": "2xx"}, 1),
            ("requests_errors", openai | {"code": "agent_gone"}, 1),
            ("request_bytes", openai, 10),
            ("response_bytes", openai, 100),
            ("connects", openai, 1),
            ("retries", openai, 1),
        ):
            self.assertEqual(samples[f"apiproxy_{name}_total"], [(labels, value)])

    def test_gauges(self) -> None:
        """Gauges, those of others included, are read when asked."""
        self.begin()
        self.begin("GET", "websocket")
        self.counters.upstream_lines = lambda: [
            ("openai", "idle", 3),
            ("openai", "busy", 2),
        ]
        self.counters.log_lines_dropped = lambda: 17
        samples = self.samples()
        self.assertEqual(
            samples["apiproxy_active_requests"], [({"provider": "openai"}, 2)]
        )
        self.assertEqual(
            samples["apiproxy_websocket_sessions_active"], [({"provider": "openai"}, 0)]
        )
        self.assertEqual(
            samples["apiproxy_upstream_lines"],
            [
                ({"provider": "openai", "state": "idle"}, 3),
                ({"provider": "openai", "state": "busy"}, 2),
            ],
        )
        self.assertEqual(samples["apiproxy_log_lines_dropped_total"], [({}, 17)])

    def test_histograms(self) -> None:
        """Buckets are cumulative and in seconds."""
        self.carry(seconds=0.02)
        self.carry(seconds=1000)
        samples = self.samples()
        buckets = {
            labels["le"]: value
            for labels, value in samples["apiproxy_request_duration_seconds_bucket"]
        }
        self.assertEqual(
            (buckets["0.01"], buckets["0.05"], buckets["600.0"], buckets["+Inf"]),
            (0, 1, 1, 2),
        )
        openai = {"provider": "openai"}
        for name, total in (
            ("request_duration", 2000.04),
            ("first_byte", 1000.02),
            ("dial", 0.008),
        ):
            self.assertEqual(samples[f"apiproxy_{name}_seconds_count"], [(openai, 2)])
            [(_, value)] = samples[f"apiproxy_{name}_seconds_sum"]
            self.assertAlmostEqual(value, total)

    def test_websocket(self) -> None:
        """Sessions have figures of their own."""
        self.carry(status=101, seconds=30, method="GET", transport="websocket")
        samples = self.samples()
        openai = {"provider": "openai"}
        self.assertEqual(
            samples["apiproxy_websocket_sessions_total"],
            [(openai | {"outcome": "complete"}, 1)],
        )
        name = "apiproxy_websocket_session_duration_seconds"
        self.assertEqual(samples[f"{name}_sum"], [(openai, 60)])
        self.assertEqual(
            samples["apiproxy_request_duration_seconds_count"], [(openai, 0)]
        )

    def test_usage(self) -> None:
        """Tokens, money, coverage and refusals have the labels of the contract."""
        self.counters.metered(response(cost=COST))
        self.counters.metered(response(record(usage=None, gap="agent_gone")))
        self.counters.refused("openai", "ai_credits_limit_exceeded")
        self.counters.rate_limited("openai", "rpm")
        self.counters.usage_lines_dropped = lambda: 3
        samples = self.samples()
        openai = {"provider": "openai"}
        tokens = {
            labels["kind"]: value for labels, value in samples["apiproxy_tokens_total"]
        }
        self.assertEqual(
            tokens,
            {"input": 60, "cached": 30, "written": 10, "output": 20, "reasoning": 5},
        )
        for name, labels, value in (
            ("cost_dollars", {"model": "gpt-4o"}, 0.00475),
            ("gaps", {"gap": "agent_gone"}, 1),
            ("gap_bytes", {"gap": "agent_gone"}, 85),
            ("budget_refusals", {"code": "ai_credits_limit_exceeded"}, 1),
            ("rate_limit_rejected", {"limit_type": "rpm"}, 1),
        ):
            self.assertEqual(
                samples[f"apiproxy_{name}_total"], [(openai | labels, value)]
            )
        for name, value in (("responses", 1), ("answer_bytes", 85)):
            self.assertEqual(
                samples[f"apiproxy_{name}_total"],
                [
                    (openai | {"metering": "metered"}, value),
                    (openai | {"metering": "unmetered"}, value),
                ],
            )
        self.assertEqual(samples["apiproxy_usage_lines_dropped_total"], [({}, 3)])

    def test_openmetrics(self) -> None:
        """The OpenMetrics form is complete and parses."""
        self.carry()
        text = self.counters.report().as_text(True).decode()
        self.assertTrue(text.endswith("# EOF\n"))
        names = [family.name for family in parse_openmetrics(text)]
        self.assertIn("apiproxy_requests", names)
        self.assertEqual(len(names), len(set(names)))

    def test_collector(self) -> None:
        """The collector can be registered with a registry of somebody else."""
        collector: Collector = ReportCollector(self.counters.report())
        for family in collector.collect():
            self.assertTrue(family.name.startswith("apiproxy_"))
