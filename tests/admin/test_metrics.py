"""JSON or text, by what the client wants."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.answer import JSON, LocalAnswer
from apiproxy.admin.metrics import OPENMETRICS, TEXT, Metrics, preferred
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.report import Report

PROMETHEUS = (
    b"application/openmetrics-text;version=1.0.0;q=0.5,"
    b"application/openmetrics-text;version=0.0.1;q=0.4,"
    b"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class PreferredTests(SynchronousTestCase):
    """The choice by ``Accept``."""

    def test_choice(self) -> None:
        """The highest weight wins, then the first; JSON if nothing fits."""
        for accept, form in (
            (b"", JSON),
            (b"*/*", JSON),
            (b"application/json", JSON),
            (b"text/html, application/xhtml+xml, */*;q=0.8", JSON),
            (b"text/plain", TEXT),
            (b"Text/Plain; charset=utf-8", TEXT),
            (b"text/*;q=0.5, */*;q=0.1", TEXT),
            (b"application/openmetrics-text", OPENMETRICS),
            (PROMETHEUS, OPENMETRICS),
            (b"application/json, text/plain, */*", JSON),
            (b"text/plain;q=0.5, application/json", JSON),
            (b"application/json;q=0.1, text/plain;q=0.2", TEXT),
            (b"text/plain;q=0", JSON),
            (b"text/plain;q=high", JSON),
            (b"image/png, ,;q=1", JSON),
        ):
            self.assertEqual(preferred(accept), form, accept)


class MetricsTests(SynchronousTestCase):
    """The endpoint over real counters."""

    def render(self, accept: bytes | None) -> tuple[int, bytes, bytes]:
        """Status, type and body."""
        clock = Clock()
        counters = Counters(now=clock.seconds, version="1.2.3")
        answer = Metrics(counters.report, clock.seconds).render(accept)
        assert isinstance(answer, LocalAnswer)
        return answer.status, answer.content_type, answer.body

    def test_json_by_default(self) -> None:
        """Who asks for nothing gets what the Node sidecar gave."""
        body = b'{"counters":{},"histograms":{},"gauges":{"uptime_seconds":0}}'
        self.assertEqual(self.render(None), (200, JSON, body))

    def test_text(self) -> None:
        """Who asks for text gets Prometheus text."""
        status, kind, body = self.render(b"text/plain")
        self.assertEqual((status, kind), (200, TEXT))
        self.assertIn(b'apiproxy_build_info{version="1.2.3"} 1.0\n', body)
        self.assertNotIn(b"# EOF", body)

    def test_text_is_not_rendered_for_everybody_who_asks(self) -> None:
        """It is given again for a second; JSON is always fresh."""
        clock = Clock()
        counters = Counters(now=clock.seconds, version="1.2.3")
        metrics = Metrics(counters.report, clock.seconds)
        first = metrics.render(b"text/plain")
        clock.advance(0.9)
        self.assertIs(metrics.render(b"text/plain" + b"," * 9999), first)
        self.assertIsNot(metrics.render(None), metrics.render(None))
        clock.advance(0.1)
        self.assertIsNot(metrics.render(b"text/plain"), first)

    def test_figures_that_come_later(self) -> None:
        """The answer comes then, and is not given again: others may have given newer."""
        clock = Clock()
        counters = Counters(now=clock.seconds, version="1.2.3")
        asked: list[Deferred[Report]] = []

        def figures() -> Deferred[Report]:
            asked.append(Deferred())
            return asked[-1]

        metrics = Metrics(figures, clock.seconds)
        answer = metrics.render(b"text/plain")
        assert isinstance(answer, Deferred)
        self.assertNoResult(answer)
        asked[0].callback(counters.report())
        first = self.successResultOf(answer)
        self.assertIn(b"apiproxy_uptime_seconds 0.0", first.body)
        self.assertIsInstance(metrics.render(b"text/plain"), Deferred)

    def test_openmetrics(self) -> None:
        """Who asks for OpenMetrics gets OpenMetrics."""
        status, kind, body = self.render(PROMETHEUS)
        self.assertEqual((status, kind), (200, OPENMETRICS))
        self.assertTrue(body.endswith(b"# EOF\n"))
