"""The figures of one provider: plain integers that are cheap to count and to add up."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from msgspec import Struct, field

from apiproxy.core.exchange import Exchange
from apiproxy.telemetry.exchange_lines import outcome
from apiproxy.telemetry.usage_tally import UsageTally

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
)

REQUEST_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
DIAL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SESSION_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 43200)


class Histogram(Struct):
    """How many values were up to each bound.

    Attributes:
        bounds: upper bounds, ascending; the last bin has none.
        bins: number of values in each bin, not cumulative.
        sum: of all values.
    """

    bounds: tuple[float, ...]
    bins: list[int] = []
    sum: float = 0.0

    def __post_init__(self) -> None:
        """As many bins as there should be."""
        if not self.bins:
            self.bins = [0] * (len(self.bounds) + 1)

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.bins)

    def add(self, value: float) -> None:
        """Count one value."""
        self.bins[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each bound, and the number of values up to it."""
        return zip(self.bounds, accumulate(self.bins), strict=False)

    def include(self, other: "Histogram") -> None:
        """Add the values of another, which has the same bounds."""
        self.bins = [a + b for a, b in zip(self.bins, other.bins, strict=True)]
        self.sum += other.sum

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


class Tally(Struct):
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
        usage: what responses have used.
    """

    active: int = 0
    requests: dict[tuple[str, int], int] = {}
    errors: dict[str, int] = {}
    bytes_up: int = 0
    bytes_down: int = 0
    duration: Histogram = field(default_factory=lambda: Histogram(REQUEST_SECONDS))
    first_byte: Histogram = field(default_factory=lambda: Histogram(REQUEST_SECONDS))
    dial: Histogram = field(default_factory=lambda: Histogram(DIAL_SECONDS))
    sockets: int = 0
    socket_ends: dict[str, int] = {}
    socket_duration: Histogram = field(
        default_factory=lambda: Histogram(SESSION_SECONDS)
    )
    connects: int = 0
    retries: int = 0
    usage: UsageTally = field(default_factory=UsageTally)

    def include(self, other: "Tally") -> None:
        """Add the figures of another, gauges and all."""
        for name in self.__struct_fields__:
            mine, more = getattr(self, name), getattr(other, name)
            if isinstance(mine, Histogram | UsageTally):
                mine.include(more)
            elif isinstance(mine, dict):
                for key, number in more.items():
                    mine[key] = mine.get(key, 0) + number
            else:
                setattr(self, name, mine + more)

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
