"""What can be told of a process, or of several together: a value that is made when asked for.

Processes that serve together (``apiproxy.workers``) send their reports to one another and add
them up; a process by itself makes one of what it has counted. Either is shown alike.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from apiproxy.core.metered import NANODOLLARS_PER_CREDIT
from apiproxy.telemetry.tally import Histogram, Tally
from apiproxy.telemetry.usage_tally import KINDS, UsageTally

_JSON_LIMIT = 30.0  # seconds; the reference's JSON has no bucket above

UpstreamLines = tuple[str, str, int]
"""Provider and state of lines to upstream, and how many there are."""


class Report(Struct, kw_only=True):
    """All figures of a moment.

    Attributes:
        version: of apiproxy.
        uptime: seconds since start.
        tallies: figures by provider.
        upstream_lines: the lines to upstream there are.
        log_lines_dropped: number of log lines lost so far.
        usage_lines_dropped: number of lines of the usage log lost so far.
        keys: what is known of the keys, as ``/health`` shows it.
        workers: processes that serve.
        restarts: how many of them were replaced.
        silences: how often one did not tell its figures in time.
    """

    version: str
    uptime: float
    tallies: dict[str, Tally] = {}
    upstream_lines: list[UpstreamLines] = []
    log_lines_dropped: int = 0
    usage_lines_dropped: int = 0
    keys: dict[str, object] = {}
    workers: int = 1
    restarts: int = 0
    silences: int = 0

    def include(self, other: "Report") -> None:
        """Add what another process has counted, and what goes on there."""
        for provider, tally in other.tallies.items():
            self.tallies.setdefault(provider, Tally()).include(tally)
        lines = {(provider, state): n for provider, state, n in self.upstream_lines}
        for provider, state, number in other.upstream_lines:
            lines[provider, state] = lines.get((provider, state), 0) + number
        self.upstream_lines = [(*key, number) for key, number in lines.items()]
        self.log_lines_dropped += other.log_lines_dropped
        self.usage_lines_dropped += other.usage_lines_dropped

    def end(self) -> None:
        """The process is gone: what it had counted stays, and nothing goes on there."""
        self.upstream_lines = []
        for tally in self.tallies.values():
            tally.active = tally.sockets = 0

    def summary(self) -> dict[str, int]:
        """The figures of all providers together, for the aggregate health."""
        tallies = self.tallies.values()
        timed = sum(tally.duration.count for tally in tallies)
        seconds = sum(tally.duration.sum for tally in tallies)
        return {
            "total_requests": sum(sum(tally.requests.values()) for tally in tallies),
            "total_errors": sum(sum(tally.errors.values()) for tally in tallies),
            "active_requests": sum(tally.active for tally in tallies),
            "avg_latency_ms": round(seconds * 1000 / timed) if timed else 0,
        }

    def coverage(self) -> dict[str, dict[str, object]]:
        """By provider: responses and bytes that were metered, and why others were not."""
        return {
            provider: {
                "responses": tally.usage.responses,
                "bytes": tally.usage.bytes,
                "gaps": tally.usage.gaps,
                "gap_bytes": tally.usage.gap_bytes,
            }
            for provider, tally in self.tallies.items()
            if tally.usage.responses
        }

    def as_json(self) -> bytes:
        """Everything as the JSON that users of the Node sidecar know."""
        active = {provider: tally.active for provider, tally in self.tallies.items()}
        durations = {
            provider: _json_histogram(tally.duration)
            for provider, tally in self.tallies.items()
            if tally.duration.count
        }
        gauges: dict[str, object] = {"active_requests": active} if active else {}
        return msgspec.json.encode(
            {
                "counters": self._json_counters(),
                "histograms": {"request_duration_ms": durations} if durations else {},
                "gauges": gauges | {"uptime_seconds": int(self.uptime)},
            }
        )

    def as_text(self, openmetrics: bool = False) -> bytes:
        """Everything as Prometheus text, or as OpenMetrics text."""
        from apiproxy.telemetry.prometheus import exposition

        return exposition(self, openmetrics)

    def _json_counters(self) -> dict[str, float]:
        counters: dict[str, float] = {}
        for provider, tally in self.tallies.items():
            for (method, hundreds), number in tally.requests.items():
                counters[f"requests_total:{provider}:{method}:{hundreds}xx"] = number
            for name, number in (
                ("requests_errors_total", sum(tally.errors.values())),
                ("request_bytes_total", tally.bytes_up),
                ("response_bytes_total", tally.bytes_down),
                ("connects_total", tally.connects),
                ("retries_total", tally.retries),
            ):
                if number:
                    counters[f"{name}:{provider}"] = number
            for key, figure in _json_usage(provider, tally.usage):
                if figure:
                    counters[key] = figure
        return counters


def _json_usage(provider: str, usage: UsageTally) -> Iterator[tuple[str, float]]:
    """Flat keys; what may have a colon in it, such as a model, comes last."""
    for name, number in (
        ("input_tokens_total", usage.reported),
        ("output_tokens_total", usage.total("output")),
        ("cache_read_tokens_total", usage.total("cached")),
        ("cache_write_tokens_total", usage.total("written")),
        ("reasoning_tokens_total", usage.total("reasoning")),
        ("ai_credits_total", usage.total("nanodollars") / NANODOLLARS_PER_CREDIT),
    ):
        yield f"{name}:{provider}", number
    for name, figures in (
        ("responses_total", usage.responses),
        ("answer_bytes_total", usage.bytes),
        ("gaps_total", usage.gaps),
        ("gap_bytes_total", usage.gap_bytes),
        ("budget_refused_total", usage.refusals),
        ("rate_limit_rejected_total", usage.rate_limits),
    ):
        for word, number in figures.items():
            yield f"{name}:{provider}:{word}", number
    for model, tally in usage.models.items():
        for kind in KINDS:
            number = getattr(tally, kind)
            yield f"model_tokens_total:{provider}:{kind}:{model}", number


def _json_histogram(histogram: Histogram) -> dict[str, object]:
    buckets = {
        f"{bound * 1000:g}": below
        for bound, below in histogram.cumulative()
        if bound <= _JSON_LIMIT
    }
    buckets["+Inf"] = histogram.count
    figures: dict[str, object] = {
        name: round(histogram.quantile(share, _JSON_LIMIT) * 1000)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    }
    figures["count"] = histogram.count
    figures["sum"] = round(histogram.sum * 1000)
    figures["buckets"] = buckets
    return figures
