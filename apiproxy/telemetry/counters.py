"""What is counted: an observer with plain integers, read by whoever asks for metrics.

Counting happens on every exchange and reading every few seconds at most, so counting is an
addition to an attribute, and all that is costly (names, labels, percentiles, text) is done
when somebody asks. ``prometheus`` makes the text; it is imported then, too.

Labels have few values, whatever an agent sends: providers come from the configuration, error
codes from our classes, and a method that is not well known counts as ``OTHER``.
"""

from collections.abc import Callable, Iterable, Mapping

from apiproxy.core.exchange import ANSWERING, ASKED, CLOSED, Exchange, Phase
from apiproxy.core.metered import Metered, Transport
from apiproxy.telemetry.report import Report, UpstreamLines
from apiproxy.telemetry.tally import Tally
from apiproxy.telemetry.usage_tally import count


class Counters:
    """Counts exchanges as they pass.

    Attributes:
        version: of apiproxy.
        tallies: figures by provider, in the order of first use.
        upstream_lines: asked when metrics are; may be set later.
        log_lines_dropped: likewise.
        usage_lines_dropped: likewise.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        version: str,
        upstream_lines: Callable[[], Iterable[UpstreamLines]] = tuple,
        log_lines_dropped: Callable[[], int] = int,
        usage_lines_dropped: Callable[[], int] = int,
    ) -> None:
        """Begin counting.

        Args:
            now: seconds of a clock that does not jump; uptime begins now.
            version: of apiproxy.
            upstream_lines: gives the lines to upstream there are, for each state.
            log_lines_dropped: number of log lines lost so far.
            usage_lines_dropped: number of lines of the usage log lost so far.
        """
        self.version = version
        self.tallies: dict[str, Tally] = {}
        self.upstream_lines = upstream_lines
        self.log_lines_dropped = log_lines_dropped
        self.usage_lines_dropped = usage_lines_dropped
        self._now = now
        self._started = now()

    def wants(self, phase: Phase, transport: Transport) -> bool:
        """Beginnings and ends, and when a WebSocket is open."""
        return phase in (ASKED, CLOSED) or (
            phase is ANSWERING and transport == "websocket"
        )

    def observe(self, exchange: Exchange) -> None:
        """Count what this phase adds."""
        phase, tally = exchange.phase, self.tally(exchange.provider)
        if phase is CLOSED:
            tally.close(exchange)
        elif phase is ASKED:
            tally.active += 1
        elif exchange.status == 101:
            tally.sockets += 1

    def connected(self, provider: str) -> None:
        """A connection to this provider was made."""
        self.tally(provider).connects += 1

    def retried(self, provider: str) -> None:
        """A request to this provider was sent again on a fresh line."""
        self.tally(provider).retries += 1

    def metered(self, metered: Metered) -> None:
        """A response is over."""
        tally = self.tallies.get(metered.provider) or self.tally(metered.provider)
        tally.usage.add(metered)

    def refused(self, provider: str, code: str) -> None:
        """A budget or a guard has refused a request, with the error of this code."""
        count(self.tally(provider).usage.refusals, code)

    def rate_limited(self, provider: str, limit_type: str) -> None:
        """A rate limit (``rpm``, ``rph`` or ``bytes_pm``) has refused a request."""
        count(self.tally(provider).usage.rate_limits, limit_type)

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

    def report(self, keys: Mapping[str, object] | None = None) -> Report:
        """The figures as they are now; the tallies are those that go on counting.

        Args:
            keys: what is known of the keys.
        """
        return Report(
            version=self.version,
            uptime=self.uptime,
            tallies=self.tallies,
            upstream_lines=list(self.upstream_lines()),
            log_lines_dropped=self.log_lines_dropped(),
            usage_lines_dropped=self.usage_lines_dropped(),
            keys=dict(keys or {}),
        )
