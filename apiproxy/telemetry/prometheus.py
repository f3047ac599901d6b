"""The figures as Prometheus sees them. Imported only when somebody scrapes."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics_text
from prometheus_client.registry import Collector

from apiproxy.telemetry.report import Report
from apiproxy.telemetry.tally import Histogram, Tally
from apiproxy.telemetry.usage_tally import KINDS, UsageTally

Samples = Iterable[tuple[tuple[str, ...], float]]


def exposition(report: Report, openmetrics: bool) -> bytes:
    """The figures as text.

    Args:
        report: what to show.
        openmetrics: OpenMetrics 1.0 rather than Prometheus text 0.0.4.
    """
    # A registry of our own: the global one would add figures of this Python.
    registry = CollectorRegistry()
    registry.register(ReportCollector(report))
    render = openmetrics_text.generate_latest if openmetrics else generate_latest
    return bytes(render(registry))


class ReportCollector(Collector):
    """Makes metric families of a report."""

    def __init__(self, report: Report) -> None:
        """Make a collector.

        Args:
            report: what to show.
        """
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """All families; one of no provider yet has no samples."""
        yield from self._counts()
        yield from self._usage()
        yield from self._gauges()
        yield from self._histograms()
        yield from self._process()

    def _counts(self) -> Iterator[Metric]:
        yield _counter(
            "requests",
            "Exchanges that have ended.",
            ("provider", "method", "status_class"),
            (
                ((provider, method, f"{hundreds}xx"), number)
                for provider, tally in self._tallies()
                for (method, hundreds), number in tally.requests.items()
            ),
        )
        yield _counter(
            "requests_errors",
            "Exchanges that ended with an error of apiproxy.",
            ("provider", "code"),
            self._labelled(lambda tally: tally.errors),
        )
        yield _counter(
            "websocket_sessions",
            "WebSockets that have ended, by outcome.",
            ("provider", "outcome"),
            self._labelled(lambda tally: tally.socket_ends),
        )
        for name, text, value in _COUNTS:
            yield _counter(name, text, ("provider",), self._each(value))

    def _usage(self) -> Iterator[Metric]:
        yield _counter(
            "tokens",
            "Tokens that responses used; reasoning is part of output.",
            ("provider", "kind", "model"),
            (
                ((provider, kind, model), getattr(figures, kind))
                for provider, tally in self._tallies()
                for model, figures in tally.usage.models.items()
                for kind in KINDS
            ),
        )
        yield _counter(
            "cost_dollars",
            "What responses cost, as far as there is a price.",
            ("provider", "model"),
            (
                ((provider, model), figures.nanodollars / 1e9)
                for provider, tally in self._tallies()
                for model, figures in tally.usage.models.items()
            ),
        )
        for name, text, label, values in _USAGE:
            yield _counter(
                name,
                text,
                ("provider", label),
                self._labelled(_of_usage(values)),
            )

    def _gauges(self) -> Iterator[Metric]:
        yield _gauge(
            "active_requests",
            "Exchanges under way, WebSockets included.",
            ("provider",),
            self._each(lambda tally: tally.active),
        )
        yield _gauge(
            "websocket_sessions_active",
            "WebSockets that are open.",
            ("provider",),
            self._each(lambda tally: tally.sockets),
        )
        yield _gauge(
            "upstream_lines",
            "Connections to the provider.",
            ("provider", "state"),
            (
                ((provider, state), number)
                for provider, state, number in self._report.upstream_lines
            ),
        )

    def _histograms(self) -> Iterator[Metric]:
        for name, text, value in _HISTOGRAMS:
            family = HistogramMetricFamily(
                f"apiproxy_{name}", text, labels=("provider",)
            )
            for provider, tally in self._tallies():
                histogram = value(tally)
                family.add_metric((provider,), _buckets(histogram), histogram.sum)
            yield family

    def _process(self) -> Iterator[Metric]:
        report = self._report
        yield _gauge(
            "build_info",
            "Which apiproxy this is.",
            ("version",),
            [((report.version,), 1)],
        )
        yield _gauge("uptime_seconds", "Time since start.", (), [((), report.uptime)])
        yield _counter(
            "log_lines_dropped",
            "Log lines lost because nobody read standard output.",
            (),
            [((), report.log_lines_dropped)],
        )
        yield _counter(
            "usage_lines_dropped",
            "Lines of the usage log lost because the disk was full, slow or gone.",
            (),
            [((), report.usage_lines_dropped)],
        )
        yield _gauge("workers", "Processes that serve.", (), [((), report.workers)])
        yield _counter(
            "worker_restarts",
            "Processes that ended unasked and were replaced.",
            (),
            [((), report.restarts)],
        )
        yield _counter(
            "worker_silences",
            "Times that a process did not tell its figures in time.",
            (),
            [((), report.silences)],
        )

    def _tallies(self) -> Iterable[tuple[str, Tally]]:
        return self._report.tallies.items()

    def _each(self, value: Callable[[Tally], float]) -> Samples:
        return (((provider,), value(tally)) for provider, tally in self._tallies())

    def _labelled(self, values: Callable[[Tally], dict[str, int]]) -> Samples:
        return (
            ((provider, label), number)
            for provider, tally in self._tallies()
            for label, number in values(tally).items()
        )


_COUNTS: tuple[tuple[str, str, Callable[[Tally], int]], ...] = (
    (
        "request_bytes",
        "Bytes of bodies and frames sent to the provider.",
        lambda tally: tally.bytes_up,
    ),
    (
        "response_bytes",
        "Bytes of bodies and frames sent to agents.",
        lambda tally: tally.bytes_down,
    ),
    ("connects", "Connections made to the provider.", lambda tally: tally.connects),
    (
        "retries",
        "Requests sent again because a warm connection had died.",
        lambda tally: tally.retries,
    ),
)

_USAGE: tuple[tuple[str, str, str, Callable[[UsageTally], dict[str, int]]], ...] = (
    (
        "responses",
        "Responses that are over, by whether their usage is known.",
        "metering",
        lambda usage: usage.responses,
    ),
    (
        "answer_bytes",
        "Bytes of those responses.",
        "metering",
        lambda usage: usage.bytes,
    ),
    (
        "gaps",
        "Responses that were not, or not completely, metered, by reason.",
        "gap",
        lambda usage: usage.gaps,
    ),
    ("gap_bytes", "Bytes of those.", "gap", lambda usage: usage.gap_bytes),
    (
        "budget_refusals",
        "Requests that a budget or a guard has refused.",
        "code",
        lambda usage: usage.refusals,
    ),
    (
        "rate_limit_rejected",
        "Requests that a rate limit has refused.",
        "limit_type",
        lambda usage: usage.rate_limits,
    ),
)

_HISTOGRAMS: tuple[tuple[str, str, Callable[[Tally], Histogram]], ...] = (
    (
        "request_duration_seconds",
        "How long HTTP exchanges took.",
        lambda tally: tally.duration,
    ),
    (
        "first_byte_seconds",
        "From an HTTP request to the head of its answer.",
        lambda tally: tally.first_byte,
    ),
    (
        "dial_seconds",
        "How long exchanges waited for a new connection.",
        lambda tally: tally.dial,
    ),
    (
        "websocket_session_duration_seconds",
        "How long WebSockets were open, from the request on.",
        lambda tally: tally.socket_duration,
    ),
)


def _of_usage(
    values: Callable[[UsageTally], dict[str, int]],
) -> Callable[[Tally], dict[str, int]]:
    return lambda tally: values(tally.usage)


def _counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(f"apiproxy_{name}", text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"apiproxy_{name}", text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    bounded = [(str(float(bound)), below) for bound, below in histogram.cumulative()]
    return [*bounded, ("+Inf", histogram.count)]
