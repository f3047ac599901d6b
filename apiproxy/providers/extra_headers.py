"""Header lines an operator configures for a provider behind Copilot (BYOK)."""

import msgspec

from apiproxy.core.values import Fields
from apiproxy.providers.blueprint import Given, parse_header_name, parse_header_value

_HEADERS, _SESSION = "AWF_BYOK_EXTRA_HEADERS", "AWF_PROVIDER_SESSION_ID"

_PROTECTED = frozenset(
    {"authorization", "x-api-key", "x-goog-api-key", "proxy-authorization"}
)
"""Slots of credentials, which have variables of their own; skipped with a warning."""

_NOT_NAMES = frozenset({"__proto__", "constructor", "prototype"})


def extra_headers(given: Given) -> Fields:
    """The configured lines, and the session id unless one of them is it already."""
    lines = given.read(_HEADERS, lambda text: _lines(given, text)) or []
    session = given.read(_SESSION, parse_header_value)
    if session and not any(name.lower() == b"x-session-id" for name, _ in lines):
        lines.append((b"x-session-id", session))
    return lines


def _lines(given: Given, text: str) -> Fields:
    """Read a JSON object of names and values.

    Raises:
        ValueError: the rest of a sentence that begins with the variable's name.
    """
    try:
        members = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError:
        raise ValueError("must be a JSON object of strings") from None
    lines: Fields = []
    for name, value in members.items():
        if not isinstance(value, str) or name in _NOT_NAMES:
            given.warn(
                _HEADERS, "has members that are skipped: not a header and string"
            )
        elif name.lower() in _PROTECTED:
            given.warn(_HEADERS, f"sets {name}, which is skipped: it has own settings")
        else:
            lines.append((parse_header_name(name), parse_header_value(value)))
    return _once(lines)


def _once(lines: Fields) -> Fields:
    if len({name.lower() for name, _ in lines}) < len(lines):
        raise ValueError("names a header twice")
    return lines
