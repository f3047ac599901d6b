"""What is written down of each response: a line of the usage log, and a line of the log.

``UsageLine`` is the record of the Node sidecar, its names and their order kept, and behind
that what it lacked. Every number is there in every line; what is text, and unknown, is left
out. Counts have the meaning that they had: ``input_tokens`` is the provider's own figure,
which at some providers includes what was read from a cache (``input_tokens_include_cache``).
The one difference is Gemini's ``output_tokens``, which now includes the thoughts, as it does
with everybody else.
"""

import re
from collections.abc import Mapping
from functools import partial

from msgspec import UNSET, Struct, UnsetType, field

from apiproxy.core.metered import NANODOLLARS_PER_CREDIT, Metered
from apiproxy.telemetry.exchange_lines import LONGEST_NAME, LONGEST_PATH
from apiproxy.telemetry.lines import LineLog, Shorten


class UsageLine(Struct, kw_only=True, gc=False):
    """A line of the usage log."""

    schema: str = field(name="_schema")
    timestamp: str
    event: str = "token_usage"
    request_id: str
    provider: str
    model: str
    path: str
    status: int
    streaming: bool
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    duration_ms: int
    response_bytes: int
    x_initiator: str | UnsetType = UNSET
    billing: Mapping[str, object] | UnsetType = UNSET
    effective_tokens_this_response: float | UnsetType = UNSET
    effective_tokens_total: float | UnsetType = UNSET
    model_multiplier: float | UnsetType = UNSET
    ai_credits_this_response: float | UnsetType = UNSET
    ai_credits_total: float | UnsetType = UNSET
    ai_credits_pricing_source: str | UnsetType = UNSET
    ai_credits_pricing_tier: str | UnsetType = UNSET
    ai_credits_accounting_policy: str | UnsetType = UNSET
    ai_credits_fallback_pricing_used: bool | UnsetType = UNSET
    ai_credits_dynamic_selector: str | UnsetType = UNSET
    # What the reference's record lacked.
    reasoning_tokens: int
    total_tokens: int
    input_tokens_include_cache: bool
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    image_input_tokens: int
    image_output_tokens: int
    response_id: str | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    stop_reason: str | UnsetType = UNSET
    state: str
    transport: str
    turn: int | UnsetType = UNSET
    stream_id: str | UnsetType = UNSET
    estimated: bool
    gap: str | UnsetType = UNSET
    requested_model: str | UnsetType = UNSET
    caller: str | UnsetType = UNSET
    run: str | UnsetType = UNSET
    started: str


def usage_line(
    metered: Metered, shorten: Shorten, *, schema: str, at: str, started: str
) -> UsageLine:
    """The line of a response.

    Args:
        metered: the response.
        shorten: cuts what is too long.
        schema: see ``schema_of``.
        at: timestamp of the line.
        started: timestamp of the request.
    """
    record, usage, cost = metered.record, metered.usage, metered.cost
    text, said = partial(_text, shorten), partial(_said, shorten)
    return UsageLine(
        schema=schema,
        timestamp=at,
        request_id=text(metered.request_id),
        provider=metered.provider,
        model=text(metered.model),
        path=text(metered.path, LONGEST_PATH),
        status=metered.status,
        streaming=metered.streaming,
        input_tokens=usage.reported_input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.written + usage.written_hour,
        duration_ms=round(metered.seconds * 1000),
        response_bytes=metered.bytes,
        x_initiator=said(metered.initiator),
        billing=UNSET if metered.billing is None else metered.billing,
        effective_tokens_this_response=_or_unset(cost.effective_tokens),
        effective_tokens_total=_or_unset(cost.effective_tokens_total),
        model_multiplier=_or_unset(cost.multiplier),
        ai_credits_this_response=_credits(cost.nanodollars),
        ai_credits_total=_credits(cost.nanodollars_total),
        ai_credits_pricing_source=said(cost.source),
        ai_credits_pricing_tier=said(cost.tier),
        ai_credits_accounting_policy=said(cost.accounting),
        ai_credits_fallback_pricing_used=UNSET
        if cost.fallback is None
        else cost.fallback,
        ai_credits_dynamic_selector=said(cost.selector),
        reasoning_tokens=usage.reasoning,
        total_tokens=usage.all_input + usage.output,
        input_tokens_include_cache=usage.inclusive,
        cache_write_5m_tokens=usage.written,
        cache_write_1h_tokens=usage.written_hour,
        audio_input_tokens=usage.audio_input,
        audio_output_tokens=usage.audio_output,
        image_input_tokens=usage.image_input,
        image_output_tokens=usage.image_output,
        response_id=said(record.id),
        service_tier=said(record.tier),
        stop_reason=said(record.stop),
        state=record.state,
        transport=metered.transport,
        turn=record.turn or UNSET,
        stream_id=said(record.stream_id),
        estimated=record.estimated,
        gap=said(metered.gap),
        requested_model=said(metered.asked),
        caller=said(metered.caller),
        run=said(metered.run),
        started=started,
    )


def schema_of(version: str) -> str:
    """The name of the schema, ``token-usage/v`` and three numbers.

    Readers of these files check it by a pattern that knows no ``+build`` and no ``-rc.1``,
    and throw away what does not match. So only the numbers of a version are in it.
    """
    numbers = [*re.findall(r"[0-9]+", version)[:3], "0", "0", "0"]
    return "token-usage/v" + ".".join(numbers[:3])


class _LogLine(Struct, gc=False):
    timestamp: str
    level: str
    event: str
    request_id: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    streaming: bool
    transport: str
    state: str
    duration_ms: int
    estimated: bool
    gap: str | UnsetType = UNSET
    response_id: str | UnsetType = UNSET
    turn: int | UnsetType = UNSET
    stream_id: str | UnsetType = UNSET
    caller: str | UnsetType = UNSET
    run: str | UnsetType = UNSET
    ai_credits_this_response: float | UnsetType = UNSET


class UsageLines:
    """Writes ``token_usage``, or ``token_track_no_usage``, for each response on a socket.

    Over HTTP, the line of the exchange has it all (see ``exchange_lines``).
    """

    def __init__(self, log: LineLog) -> None:
        """Make the lines.

        Args:
            log: where to.
        """
        self._log = log

    def metered(self, metered: Metered) -> None:
        """Write the line of a response that is over."""
        if metered.transport == "http" or not self._log.wants("info"):
            return
        record, usage = metered.record, metered.usage
        said = partial(_said, self._log.shorten)
        known = record.usage is not None
        line = _LogLine(
            self._log.stamp(),
            "info",
            "token_usage" if known else "token_track_no_usage",
            metered.request_id,
            metered.provider,
            _text(self._log.shorten, metered.model),
            usage.reported_input,
            usage.output,
            usage.cached,
            usage.written + usage.written_hour,
            usage.reasoning,
            metered.streaming,
            metered.transport,
            record.state,
            round(metered.seconds * 1000),
            record.estimated,
            said(metered.gap),
            said(record.id),
            record.turn or UNSET,
            said(record.stream_id),
            said(metered.caller),
            said(metered.run),
            _credits(metered.cost.nanodollars),
        )
        self._log.put("info", line)


def _text(shorten: Shorten, text: str, longest: int = LONGEST_NAME) -> str:
    """The text as it can be written: not too long, and without half characters."""
    return shorten(text, longest).encode("utf-8", "backslashreplace").decode()


def _said(shorten: Shorten, text: str | None) -> str | UnsetType:
    return _text(shorten, text) if text else UNSET


def _or_unset(number: float | None) -> float | UnsetType:
    return UNSET if number is None else number


def _credits(nanodollars: int | None) -> float | UnsetType:
    if nanodollars is None:
        return UNSET
    return round(nanodollars / NANODOLLARS_PER_CREDIT, 6)
