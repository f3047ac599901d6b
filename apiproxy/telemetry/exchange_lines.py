"""What became of each exchange, in one canonical line."""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from apiproxy.core.errors import InternalError
from apiproxy.core.exchange import ASKED, CLOSED, Exchange, Phase
from apiproxy.core.metered import NANODOLLARS_PER_CREDIT, Metered, Transport
from apiproxy.telemetry.lines import LineLog, Shorten

LONGEST_NAME = 256
"""Characters of a model's name, an id, a reason: the provider chooses them."""

LONGEST_PATH = 512
"""Characters of a path; the agent chooses it, and could fill the log with it."""


class _Line(msgspec.Struct, gc=False):
    timestamp: str
    level: str
    event: str
    request_id: str
    provider: str
    method: str
    path: str
    upstream_host: str | None
    status: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET
    queue_ms: float | UnsetType = UNSET
    dial_ms: float | UnsetType = UNSET
    first_byte_ms: float | UnsetType | None = UNSET
    request_bytes: int | UnsetType = UNSET
    response_bytes: int | UnsetType = UNSET
    line_reused: bool | UnsetType = UNSET
    close_code: int | UnsetType | None = UNSET
    model: str | UnsetType = UNSET
    input_tokens: int | UnsetType = UNSET
    output_tokens: int | UnsetType = UNSET
    cache_read_tokens: int | UnsetType = UNSET
    cache_write_tokens: int | UnsetType = UNSET
    reasoning_tokens: int | UnsetType = UNSET
    state: str | UnsetType = UNSET
    estimated: bool | UnsetType = UNSET
    gap: str | UnsetType = UNSET
    response_id: str | UnsetType = UNSET
    caller: str | UnsetType = UNSET
    run: str | UnsetType = UNSET
    ai_credits_this_response: float | UnsetType = UNSET
    x_initiator: str | UnsetType = UNSET
    billing: Mapping[str, object] | UnsetType = UNSET


class ExchangeLines:
    """The observer that writes what became of each exchange.

    An HTTP exchange gets one ``request_complete`` line when it has ended, with what its
    response has used, if a model made one. A WebSocket gets
    ``websocket_upgrade_start`` and, when it has ended, one of ``websocket_upgrade_complete``,
    ``_rejected`` and ``_failed``.
    """

    def __init__(self, log: LineLog, hosts: Mapping[str, str]) -> None:
        """Make the observer.

        Args:
            log: where to.
            hosts: upstream host by provider name.
        """
        self._log = log
        self._hosts = hosts

    def wants(self, phase: Phase, transport: Transport) -> bool:
        """Ends, and the beginnings of WebSockets."""
        return phase is CLOSED or (phase is ASKED and transport == "websocket")

    def observe(self, exchange: Exchange) -> None:
        """Write the line of this phase."""
        if exchange.transport == "http":
            self._ended(exchange, severity(exchange), "request_complete")
        elif exchange.phase is CLOSED:
            self._socket_ended(exchange)
        else:
            line = self._line(exchange, "info", "websocket_upgrade_start")
            self._log.put("info", line)

    def _socket_ended(self, exchange: Exchange) -> None:
        end = outcome(exchange)
        level = severity(exchange)
        if end == "failed" and exchange.error is None:
            level = "error"
        self._ended(exchange, level, f"websocket_upgrade_{end}")

    def _ended(self, exchange: Exchange, level: str, event: str) -> None:
        if not self._log.wants(level):
            return
        line = self._line(exchange, level, event)
        started, answered, error = exchange.started, exchange.answered, exchange.error
        line.status = exchange.status
        if error is not None:
            line.error = error.code
            line.error_message = error.message
        line.duration_ms = _tenths((exchange.ended or started) - started)
        line.queue_ms = _tenths(exchange.queued_seconds)
        line.dial_ms = _tenths(exchange.dial_seconds)
        line.first_byte_ms = None if answered is None else _tenths(answered - started)
        line.request_bytes = exchange.bytes_up
        line.response_bytes = exchange.bytes_down
        line.line_reused = exchange.reused
        if event == "websocket_upgrade_complete":
            line.close_code = exchange.close_code
        if exchange.metered is not None:
            _add_usage(line, exchange.metered, self._log.shorten)
        self._log.put(level, line)

    def _line(self, exchange: Exchange, level: str, event: str) -> _Line:
        path = exchange.path
        if len(path) > LONGEST_PATH or "?" in path:
            path = self._log.shorten(path.partition("?")[0], LONGEST_PATH)
        return _Line(
            self._log.stamp(exchange.ended_ago),
            level,
            event,
            exchange.id,
            exchange.provider,
            exchange.method[:32],
            path,
            self._hosts.get(exchange.provider),
        )


def _add_usage(line: _Line, metered: Metered, shorten: Shorten) -> None:
    """What the response has used, in the words of ``token_usage``."""
    record, nanodollars = metered.record, metered.cost.nanodollars
    model = record.model or metered.asked or metered.provider
    # Compared and not measured: a call for each text is more than all the rest.
    line.model = (
        model if model == model[:LONGEST_NAME] else shorten(model, LONGEST_NAME)
    )
    usage = record.usage
    if usage is not None:
        written = usage.written + usage.written_hour
        whole = usage.input + usage.cached + written
        line.input_tokens = whole if usage.inclusive else usage.input
        line.output_tokens = usage.output
        line.cache_read_tokens = usage.cached
        line.cache_write_tokens = written
        line.reasoning_tokens = usage.reasoning
        line.estimated = record.estimated
    line.state = record.state
    if usage is None or record.gap:
        line.gap = metered.gap
    id = record.id
    if id:
        line.response_id = id if id == id[:LONGEST_NAME] else shorten(id, LONGEST_NAME)
    if metered.caller:
        line.caller = metered.caller[:LONGEST_NAME]
    if metered.run:
        line.run = metered.run[:LONGEST_NAME]
    if nanodollars is not None:
        credits = round(nanodollars / NANODOLLARS_PER_CREDIT, 6)
        line.ai_credits_this_response = credits
    if metered.initiator:
        line.x_initiator = shorten(metered.initiator, LONGEST_NAME)
    if metered.billing is not None:
        line.billing = metered.billing


def _tenths(seconds: float) -> float:
    """Milliseconds, rounded to a tenth."""
    return int(seconds * 10_000 + 0.5) / 10 if seconds else 0.0


def severity(exchange: Exchange) -> str:
    """The level of the line about an exchange that has ended.

    An answer of the provider, whatever its status, is information. What the agent did, and
    a limit or a missing key on our side, is a warning. Where somebody should look at the
    egress proxy, the provider or our code, it is an error.
    """
    error = exchange.error
    if error is None:
        return "info"
    if error.fault == "agent":
        return "warning"
    if error.fault == "us" and not isinstance(error, InternalError):
        return "warning"
    return "error"


def outcome(exchange: Exchange) -> Literal["complete", "rejected", "failed"]:
    """What became of a WebSocket that has ended.

    Complete: it was open. Rejected: we, or the agent by what it sent, kept it from being
    forwarded. Failed: everything else, an answer other than 101 included.
    """
    if exchange.answered is not None and exchange.status == 101:
        return "complete"
    error = exchange.error
    if (
        error is not None
        and exchange.forwarded is None
        and error.fault in ("agent", "us")
    ):
        return "rejected"
    return "failed"
