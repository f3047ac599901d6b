"""What GitHub tells of a Copilot account with each answer: quotas, and the rate limit.

A line for each quota, ``x-quota-snapshot-premium-chat: ent=300&rem=95.5&rst=2026-06-01``: what
one is entitled to, what remains of it, when it begins anew. It stands in the usage log and in
the log line of the exchange, as older tools read it there; nothing is decided by it.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from apiproxy.core.values import Fields

_QUOTA = b"x-quota-snapshot-"
_RATE = {
    b"x-ratelimit-limit": "rate_limit",
    b"x-ratelimit-remaining": "rate_remaining",
    b"x-ratelimit-reset": "rate_reset",
}

_MOST = 16
"""Quotas, and figures of each, that are kept."""

_LONGEST = 128
"""Characters of a name or a figure. What is longer is left out: if it were cut, there could be
half of a secret in it, which the log would not find."""


def read_billing(fields: Fields) -> Mapping[str, object] | None:
    """What an answer tells of billing; None for nothing.

    Args:
        fields: its header lines.

    Returns:
        ``quota_NAME`` for each quota, with its figures by name; and, where there is a limit,
        ``rate_limit``, ``rate_remaining`` and ``rate_reset``. All figures are text, as told.
    """
    quotas: dict[str, object] = {}
    rate: dict[str, object] = {}
    for line, value in fields:
        name = line.lower()
        if name.startswith(_QUOTA):
            quota, figures = name[len(_QUOTA) :], _figures(value)
            if len(quotas) < _MOST and len(quota) <= _LONGEST and figures is not None:
                quotas["quota_" + quota.decode("latin-1")] = figures
        elif name in _RATE and len(value) <= _LONGEST:
            rate[_RATE[name]] = value.decode("latin-1")
    return quotas | (rate if "rate_limit" in rate else {}) or None


def _figures(value: bytes) -> dict[str, str] | None:
    """The figures of a quota by their names; None if it says too much."""
    if len(value) > _MOST * _LONGEST:
        return None
    pairs = parse_qsl(value.decode("latin-1"), keep_blank_values=True)[:_MOST]
    return {
        name: figure
        for name, figure in pairs
        if len(name) <= _LONGEST and len(figure) <= _LONGEST
    }
