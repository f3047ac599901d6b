"""What is counted, and the JSON of it."""

import subprocess
import sys

import msgspec
from hypothesis import given, settings, strategies
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import AgentGone, EgressDenied, NotConfigured, ProxyError
from apiproxy.core.exchange import Exchange, Observers
from apiproxy.core.metered import Transport
from apiproxy.core.values import Answer
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.tally import REQUEST_SECONDS, Histogram


class CountersTestCase(SynchronousTestCase):
    """Counters, a clock, and exchanges between them."""

    def setUp(self) -> None:
        """Nothing counted yet."""
        self.clock = Clock()
        self.counters = Counters(now=self.clock.seconds, version="1.2.3")
        self.complaints: list[BaseException] = []

    def begin(
        self,
        method: str = "POST",
        transport: Transport = "http",
        provider: str = "openai",
    ) -> Exchange:
        """An exchange that has been asked."""
        return Exchange(
            "id",
            provider,
            method,
            "/v1/responses",
            seconds=self.clock.seconds,
            observers=Observers(self.counters),
            complain=lambda sentence, error: self.complaints.append(error),
            transport=transport,
        )

    def carry(
        self,
        status: int = 200,
        seconds: float = 0.02,
        error: ProxyError | None = None,
        **options: str,
    ) -> None:
        """One exchange from beginning to end."""
        exchange = self.begin(**options)  # type: ignore[arg-type]
        exchange.forward(reused=False, dial_seconds=0.004)
        self.clock.advance(seconds)
        exchange.answer(Answer(status, b"", []))
        exchange.bytes_up, exchange.bytes_down = 10, 100
        self.clock.advance(seconds)
        exchange.close(error)

    def json(self) -> dict[str, dict[str, object]]:
        """The JSON, decoded."""
        self.assertEqual(self.complaints, [])
        decoded: dict[str, dict[str, object]] = msgspec.json.decode(
            self.counters.report().as_json()
        )
        return decoded


class CountersTests(CountersTestCase):
    """What goes up when."""

    def test_fresh(self) -> None:
        """Keys appear after first use."""
        self.clock.advance(12.9)
        self.assertEqual(
            self.counters.report().as_json(),
            b'{"counters":{},"histograms":{},"gauges":{"uptime_seconds":12}}',
        )

    def test_active(self) -> None:
        """An exchange under way is in the gauge, and in nothing else."""
        exchange = self.begin()
        self.assertEqual(
            self.json(),
            {
                "counters": {},
                "histograms": {},
                "gauges": {"active_requests": {"openai": 1}, "uptime_seconds": 0},
            },
        )
        exchange.close()
        self.assertEqual(self.json()["gauges"]["active_requests"], {"openai": 0})

    def test_json(self) -> None:
        """The reference's shape."""
        self.carry()
        self.carry(status=404, seconds=0.5)
        self.carry(provider="gemini", method="GET", error=AgentGone())
        self.assertEqual(
            self.json()["counters"],
            {
                "requests_total:openai:POST:2xx": 1,
                "requests_total:openai:POST:4xx": 1,
                "request_bytes_total:openai": 20,
                "response_bytes_total:openai": 200,
                "requests_total:gemini:GET:2xx": 1,
                "requests_errors_total:gemini": 1,
                "request_bytes_total:gemini": 10,
                "response_bytes_total:gemini": 100,
            },
        )
        durations = self.json()["histograms"]["request_duration_ms"]
        assert isinstance(durations, dict)
        self.assertEqual(list(durations), ["openai", "gemini"])
        self.assertEqual(
            durations["openai"],
            {
                "p50": 50,
                "p90": 900,
                "p99": 990,
                "count": 2,
                "sum": 1040,
                "buckets": {
                    "10": 0,
                    "50": 1,
                    "100": 1,
                    "250": 1,
                    "500": 1,
                    "1000": 2,
                    "2500": 2,
                    "5000": 2,
                    "10000": 2,
                    "30000": 2,
                    "+Inf": 2,
                },
            },
        )
        self.assertEqual(list(durations["openai"]["buckets"])[-1], "+Inf")

    def test_odd_methods_share_a_label(self) -> None:
        """An agent cannot make labels by inventing methods."""
        for number in range(5):
            self.carry(method=f"HACK{number}")
        self.assertEqual(self.counters.tally("openai").requests, {("OTHER", 2): 5})

    def test_refusal(self) -> None:
        """A refusal is counted with the agent's status and its code; no first byte."""
        self.begin().close(NotConfigured())
        tally = self.counters.tally("openai")
        self.assertEqual(tally.requests, {("POST", 4): 1})
        self.assertEqual(tally.errors, {"provider_not_configured": 1})
        self.assertEqual(
            (tally.duration.count, tally.first_byte.count, tally.dial.count), (1, 0, 0)
        )

    def test_times(self) -> None:
        """Duration, first byte and dial each have their histogram."""
        self.carry(seconds=0.25)
        tally = self.counters.tally("openai")
        self.assertEqual(
            (tally.duration.sum, tally.first_byte.sum, tally.dial.sum),
            (0.5, 0.25, 0.004),
        )

    def test_websocket(self) -> None:
        """A session does not pollute the durations of requests."""
        exchange = self.begin("GET", "websocket")
        tally = self.counters.tally("openai")
        exchange.forward(reused=False, dial_seconds=0.1)
        self.assertEqual((tally.active, tally.sockets), (1, 0))
        exchange.answer(Answer(101, b"", []))
        self.assertEqual((tally.active, tally.sockets), (1, 1))
        exchange.bytes_down = 7
        self.clock.advance(3600)
        exchange.close()
        self.assertEqual((tally.active, tally.sockets), (0, 0))
        self.assertEqual((tally.duration.count, tally.first_byte.count), (0, 0))
        self.assertEqual(tally.socket_duration.sum, 3600)
        self.assertEqual(tally.socket_ends, {"complete": 1})
        self.assertEqual(
            self.json(),
            {
                "counters": {
                    "requests_total:openai:GET:1xx": 1,
                    "response_bytes_total:openai": 7,
                },
                "histograms": {},
                "gauges": {"active_requests": {"openai": 0}, "uptime_seconds": 3600},
            },
        )

    def test_websocket_that_was_never_open(self) -> None:
        """Refused and failed upgrades are outcomes, not sessions."""
        self.begin("GET", "websocket").close(NotConfigured())
        self.begin("GET", "websocket").close(EgressDenied())
        self.carry(status=401, method="GET", transport="websocket")
        tally = self.counters.tally("openai")
        self.assertEqual(tally.socket_ends, {"rejected": 1, "failed": 2})
        self.assertEqual((tally.sockets, tally.socket_duration.count), (0, 0))

    def test_connections_and_retries(self) -> None:
        """The pool reports what exchanges do not show."""
        self.counters.connected("openai")
        self.counters.connected("openai")
        self.counters.retried("openai")
        self.assertEqual(
            self.json()["counters"],
            {"connects_total:openai": 2, "retries_total:openai": 1},
        )

    def test_summary(self) -> None:
        """The aggregate health has the figures of all providers together."""
        self.assertEqual(
            self.counters.report().summary(),
            {
                "total_requests": 0,
                "total_errors": 0,
                "active_requests": 0,
                "avg_latency_ms": 0,
            },
        )
        self.carry(seconds=0.1)
        self.carry(seconds=0.2, provider="gemini", error=AgentGone())
        self.begin()
        self.assertEqual(
            self.counters.report().summary(),
            {
                "total_requests": 2,
                "total_errors": 1,
                "active_requests": 1,
                "avg_latency_ms": 300,
            },
        )

    def test_text(self) -> None:
        """The figures can be had as text, in either format."""
        self.assertIn(
            b"apiproxy_uptime_seconds 0.0\n", self.counters.report().as_text()
        )
        self.assertTrue(self.counters.report().as_text(True).endswith(b"# EOF\n"))

    def test_prometheus_is_not_imported_for_counting(self) -> None:
        """The library is cold: a process that is not scraped never loads it."""
        script = (
            "import sys, apiproxy.telemetry.counters;"
            "print([name for name in sys.modules if name.startswith('prometheus')])"
        )
        out = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        self.assertEqual(out.stdout, "[]\n")


class HistogramTests(SynchronousTestCase):
    """Bins and quantiles."""

    def test_bound_belongs_to_its_bin(self) -> None:
        """Bounds are upper bounds, the last bin has none."""
        histogram = Histogram((1, 2))
        for value in (0, 1, 1.5, 2, 3):
            histogram.add(value)
        self.assertEqual((histogram.bins, histogram.count), ([2, 2, 1], 5))
        self.assertEqual(list(histogram.cumulative()), [(1, 2), (2, 4)])

    def test_quantile_of_nothing(self) -> None:
        """Without values there is nothing to exceed."""
        self.assertEqual(Histogram((1, 2)).quantile(0.5, 30), 0)

    def test_quantile_is_clipped(self) -> None:
        """What is above the limit is said to be the limit."""
        histogram = Histogram(REQUEST_SECONDS)
        histogram.add(100)
        self.assertEqual(histogram.quantile(0.5, 30), 30)
        beyond = Histogram((1, 2))
        beyond.add(5)
        self.assertEqual(beyond.quantile(0.5, 30), 30)

    @settings(derandomize=True, deadline=None, max_examples=50)
    @given(
        values=strategies.lists(strategies.floats(0, 29.9), min_size=1),
        share=strategies.floats(0.01, 1),
    )
    def test_quantile_is_in_the_right_bin(
        self, values: list[float], share: float
    ) -> None:
        """A quantile is never further from the truth than its bin is wide."""
        histogram = Histogram(REQUEST_SECONDS)
        for value in values:
            histogram.add(value)
        guess = histogram.quantile(share, 30)
        below = sum(value <= guess for value in values)
        upper = min(bound for bound in REQUEST_SECONDS if bound >= guess - 1e-9)
        self.assertGreaterEqual(
            sum(value <= upper for value in values) + 1e-6, share * len(values)
        )
        self.assertLessEqual(below, len(values))
