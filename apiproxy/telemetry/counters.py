"""What is counted: an observer with plain integers, read by whoever asks for metrics.

Counting happens on every exchange and reading every few seconds at most, so counting is an
addition to an attribute, and all that is costly (names, labels, percentiles, text) is done
when somebody asks. ``prometheus`` makes the text; it is imported then, too.

Labels have few values, whatever an agent sends: providers come from the configuration, error
codes from our classes, and a method that is not well known counts as ``OTHER``.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable

import msgspec

from apiproxy.core.exchange import ANSWERING, ASKED, CLOSED, Exchange
from apiproxy.telemetry.exchange_lines import outcome

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
)

REQUEST_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
DIAL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SESSION_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 43200)

_JSON_LIMIT = 30.0  # seconds; the reference's JSON has no bucket above

UpstreamLines = Callable[[], Iterable[tuple[str, str, int]]]
"""Gives provider, state and number of the lines to upstream, for each state."""


class Histogram:
    """How many values were up to each bound.

    Attributes:
        bounds: upper bounds, ascending; the last bin has none.
        bins: number of values in each bin, not cumulative.
        sum: of all values.
    """

    __slots__ = ("bins", "bounds", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.bins = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.bins)

    def add(self, value: float) -> None:
        """Count one value."""
        self.bins[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def quantile(self, share: float, limit: float) -> float:
        """The value that this share of all values does not exceed.

        Args:
            share: between 0 and 1.
            limit: what is said of all values above it.

        Returns:
            Interpolated between the bounds of a bin; 0 if there are no values.
        """
        below, lower, wanted = 0, 0.0, share * self.count
        for bound, number in zip(self.bounds, self.bins, strict=False):
            if bound > limit:
                break
            if number and below + number >= wanted:
                return lower + (bound - lower) * (wanted - below) / number
            below += number
            lower = bound
        return limit if wanted else 0.0


class Tally:
    """The figures of one provider.

    Attributes:
        active: exchanges under way, WebSockets included.
        requests: ended exchanges by method and hundreds of the status.
        errors: ended exchanges with an error, by its code.
        bytes_up: of bodies and frames, to upstream.
        bytes_down: of bodies and frames, to agents.
        duration: of HTTP exchanges, seconds.
        first_byte: from the request to the answer's head, HTTP, seconds.
        dial: of the tunnels that exchanges had to wait for, seconds.
        sockets: WebSockets that are open.
        socket_ends: WebSockets that have ended, by outcome.
        socket_duration: of WebSockets that were open, seconds.
        connects: connections made to upstream.
        retries: exchanges sent again because a warm line had died.
    """

    __slots__ = (
        "active",
        "bytes_down",
        "bytes_up",
        "connects",
        "dial",
        "duration",
        "errors",
        "first_byte",
        "requests",
        "retries",
        "socket_duration",
        "socket_ends",
        "sockets",
    )

    def __init__(self) -> None:
        self.active = self.sockets = 0
        self.bytes_up = self.bytes_down = 0
        self.connects = self.retries = 0
        self.requests: dict[tuple[str, int], int] = {}
        self.errors: dict[str, int] = {}
        self.socket_ends: dict[str, int] = {}
        self.duration = Histogram(REQUEST_SECONDS)
        self.first_byte = Histogram(REQUEST_SECONDS)
        self.dial = Histogram(DIAL_SECONDS)
        self.socket_duration = Histogram(SESSION_SECONDS)

    def close(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        self.active -= 1
        method = exchange.method if exchange.method in METHODS else "OTHER"
        key = (method, exchange.status // 100)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.bytes_up += exchange.bytes_up
        self.bytes_down += exchange.bytes_down
        if exchange.error is not None:
            code = exchange.error.code
            self.errors[code] = self.errors.get(code, 0) + 1
        if exchange.dial_seconds:
            self.dial.add(exchange.dial_seconds)
        if exchange.transport == "http":
            self.duration.add(exchange.age)
            if exchange.answered is not None:
                self.first_byte.add(exchange.answered - exchange.started)
        else:
            self._close_socket(exchange)

    def _close_socket(self, exchange: Exchange) -> None:
        end = outcome(exchange)
        self.socket_ends[end] = self.socket_ends.get(end, 0) + 1
        if end == "complete":
            self.sockets -= 1
            self.socket_duration.add(exchange.age)


class Counters:
    """Counts exchanges as they pass.

    Attributes:
        version: of apiproxy.
        tallies: figures by provider, in the order of first use.
        upstream_lines: asked when metrics are; may be set later.
        log_lines_dropped: likewise.
    """

    phases = (ASKED, ANSWERING, CLOSED)

    def __init__(
        self,
        *,
        now: Callable[[], float],
        version: str,
        upstream_lines: UpstreamLines = tuple,
        log_lines_dropped: Callable[[], int] = int,
    ) -> None:
        """Begin counting.

        Args:
            now: seconds of a clock that does not jump; uptime begins now.
            version: of apiproxy.
            upstream_lines: the lines to upstream there are.
            log_lines_dropped: number of log lines lost so far.
        """
        self.version = version
        self.tallies: dict[str, Tally] = {}
        self.upstream_lines = upstream_lines
        self.log_lines_dropped = log_lines_dropped
        self._now = now
        self._started = now()

    def observe(self, exchange: Exchange) -> None:
        """Count what this phase adds."""
        phase = exchange.phase
        if phase is CLOSED:
            self.tally(exchange.provider).close(exchange)
        elif phase is ASKED:
            self.tally(exchange.provider).active += 1
        elif (
            phase is ANSWERING
            and exchange.transport == "websocket"
            and exchange.status == 101
        ):
            self.tally(exchange.provider).sockets += 1

    def connected(self, provider: str) -> None:
        """A connection to this provider was made."""
        self.tally(provider).connects += 1

    def retried(self, provider: str) -> None:
        """A request to this provider was sent again on a fresh line."""
        self.tally(provider).retries += 1

    def tally(self, provider: str) -> Tally:
        """The figures of this provider."""
        tally = self.tallies.get(provider)
        if tally is None:
            tally = self.tallies[provider] = Tally()
        return tally

    @property
    def uptime(self) -> float:
        """Seconds since counting began."""
        return self._now() - self._started

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

    def _json_counters(self) -> dict[str, int]:
        counters: dict[str, int] = {}
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
        return counters


def _json_histogram(histogram: Histogram) -> dict[str, object]:
    buckets: dict[str, int] = {}
    below = 0
    for bound, number in zip(histogram.bounds, histogram.bins, strict=False):
        below += number
        if bound <= _JSON_LIMIT:
            buckets[f"{bound * 1000:g}"] = below
    buckets["+Inf"] = histogram.count
    figures: dict[str, object] = {
        name: round(histogram.quantile(share, _JSON_LIMIT) * 1000)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    }
    figures["count"] = histogram.count
    figures["sum"] = round(histogram.sum * 1000)
    figures["buckets"] = buckets
    return figures
