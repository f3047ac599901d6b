"""What is told of metering: counted, logged, and written down for good.

It fails open: that something could not be told is complained of, and nothing else comes of it.
"""

from collections.abc import Mapping

from apiproxy.core.errors import PolicyRefusal, ProxyError, RateLimited
from apiproxy.core.exchange import Complain, Exchange
from apiproxy.core.metered import Metered
from apiproxy.policy.inspection import ToolUse
from apiproxy.policy.rate import SHORT
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.usage_lines import UsageLines
from apiproxy.telemetry.usage_log import UsageLog


class Chronicle:
    """Tells of responses, refusals and hosted tools.

    Attributes:
        usage_log: where responses are written down; None for nowhere.
    """

    def __init__(self, log: LineLog, counters: Counters, complain: Complain) -> None:
        """Nothing is written down yet.

        Args:
            log: where lines go.
            counters: count what is metered.
            complain: told of bugs.
        """
        self.usage_log: UsageLog | None = None
        self._log = log
        self._counters = counters
        self._lines = UsageLines(log)
        self._complain = complain

    def metered(self, metered: Metered) -> None:
        """A response is over, and some milliseconds have passed."""
        try:
            self._counters.metered(metered)
            if metered.transport != "http":
                self._lines.metered(metered)
            if self.usage_log is not None:
                self.usage_log.metered(metered)
        except Exception as error:
            self._complain("a response could not be reported", error)

    def tool_used(self, exchange: Exchange, use: ToolUse) -> None:
        """A request asks for a hosted tool, which policy lets pass and wants to be known."""
        self._log.log(
            "info",
            "hosted_tool",
            request_id=exchange.id,
            provider=exchange.provider,
            kind=use.kind,
            host=use.host or None,
        )

    def refused(self, exchange: Exchange, error: ProxyError) -> None:
        """A rule says no: count and log it, with its figures."""
        if isinstance(error, RateLimited):
            self._limited(exchange, error)
        elif isinstance(error, PolicyRefusal):
            self._counters.refused(exchange.provider, error.code)
            self._refusal_line(exchange, error.code, error.details)

    def _limited(self, exchange: Exchange, error: RateLimited) -> None:
        figures = dict(error.details)
        kind = SHORT[str(figures.pop("window"))]
        self._counters.rate_limited(exchange.provider, kind)
        self._refusal_line(exchange, error.code, {**figures, "limit_type": kind})

    def _refusal_line(
        self, exchange: Exchange, event: str, figures: Mapping[str, object]
    ) -> None:
        told = {"request_id": exchange.id, **figures, "provider": exchange.provider}
        self._log.log("warning", event, **told)
