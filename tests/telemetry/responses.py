"""Responses that are over, for tests of what is told of them."""

from typing import Any

from apiproxy.core.metered import Cost, Metered
from apiproxy.core.usage import Record, Usage

USAGE = Usage(
    input=60,
    cached=30,
    written=7,
    written_hour=3,
    output=20,
    reasoning=5,
    audio_input=1,
    audio_output=2,
    image_input=3,
    image_output=4,
    inclusive=True,
)
"""A hundred tokens in, as the provider counts, and twenty out."""

COST = Cost(
    effective_tokens=155.5,
    effective_tokens_total=1000.0,
    multiplier=1.0,
    nanodollars=4_750_000,
    nanodollars_total=10_000_000,
    source="operator",
    tier="default",
    accounting="concrete_model",
    fallback=False,
)


def record(**said: Any) -> Record:
    """A record that says everything."""
    facts: dict[str, Any] = {
        "usage": USAGE,
        "model": "gpt-4o",
        "id": "resp_1",
        "tier": "default",
        "stop": "stop",
        "state": "completed",
    }
    return Record(**facts | said)


def response(said: Record | None = None, **facts: Any) -> Metered:
    """A response that took 12.5 ms, begun at 1 000 000.5 s."""
    known: dict[str, Any] = {
        "record": said or record(),
        "request_id": "req-1",
        "provider": "openai",
        "path": "/v1/responses",
        "status": 200,
        "started": 1_000_000.5,
        "seconds": 0.0125,
        "bytes": 85,
    }
    return Metered(**known | facts)
