"""Which header lines pass, in each direction; pure functions on lists of lines.

Lines keep their order, their case and their repeats. What does not pass is sorted out once,
in one walk, and handed back by name, because the walk is also how the framing fields, the
request id and the agent's own credential are found.
"""

import re
from collections.abc import Callable

from apiproxy.core.values import Fields

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Never forwarded, either way (RFC 9110, section 7.6.1)."""

CREDENTIAL_SLOTS = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"x-goog-user-project",
        b"x-goog-iam-authorization-token",
        b"cookie",
        b"openai-organization",
        b"openai-project",
        b"x-github-token",
        b"x-auth-token",
        b"x-access-token",
        b"x-authorization",
        b"x-serverless-authorization",
        b"x-goog-iam-authority-selector",
        b"x-ms-token-aad-access-token",
        b"ocp-apim-subscription-key",
    }
)
"""Where any provider looks for a credential; removed on every port."""

FORWARDING = frozenset({b"forwarded", b"via", b"x-real-ip", b"client-ip"})

_OURS = frozenset(
    {
        b"host",
        b"content-length",
        b"expect",
        b"x-request-id",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"sec-websocket-accept",
        b"http2-settings",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-host",
        b"x-original-host",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
"""Said anew by us to upstream, or meant for us alone. The last seven make some servers serve
another host, method or path than the one that was decided on."""

_OF_BROWSERS = frozenset({b"origin", b"sec-fetch-site"})
"""What browsers say of the page behind a request; ``Origin`` goes on if it may (see
``wire.site``), the other has no meaning beyond the first hop."""

_DROPPED = HOP_BY_HOP | CREDENTIAL_SLOTS | FORWARDING | _OURS | _OF_BROWSERS
_DROPPED_PREFIXES = (b"x-forwarded-", b"x-amz-", b"x-apiproxy-")

_ANSWER_DROPPED = HOP_BY_HOP | {
    b"alt-svc",
    b"x-upstream-request-id",
    b"x-apiproxy-error",
    b"sec-websocket-accept",
    b"sec-websocket-extensions",
    b"sec-websocket-protocol",
}
"""``alt-svc`` would lead the agent around us; the others are said by us or not at all."""

_SPECIAL = frozenset({b"content-length", b"x-request-id"})

_SUBPROTOCOL_CREDENTIALS = (
    b"openai-insecure-api-key.",
    b"openai-ephemeral-token.",
    b"openai-organization.",
    b"openai-project.",
)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,128}")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_NOT_NAMED = frozenset({b"close", b"keep-alive", b"upgrade", b"content-length"})

Special = dict[bytes, list[bytes]]
"""Values of lines that were sorted out, by lower-case name."""


PASSES = b""  # false, and the only kind that is
VANISHES = b"_"  # no name in lower case with "-" for "_" is this

Kind = Callable[[bytes], bytes]
"""Tells of a line's name what becomes of the line: the name in lower case for a line that is
sorted out or looked at, ``VANISHES`` for one that is dropped without a word, ``PASSES`` for
all others."""


def request_kind(own_slots: frozenset[bytes] = frozenset()) -> Kind:
    """What becomes of an agent's line.

    A name with ``_`` is judged as if it had ``-``, and so is a custom one, because some
    servers fold the two; it can only make a line be dropped, never give it a meaning.

    Args:
        own_slots: further names to drop, lower case: a custom credential header.
    """
    own = own_slots | {slot.replace(b"_", b"-") for slot in own_slots}

    def is_dropped(name: bytes) -> bool:
        return name in _DROPPED or name.startswith(_DROPPED_PREFIXES) or name in own

    def kind(name: bytes) -> bytes:
        name = name.lower()
        if b"_" in name and is_dropped(name.replace(b"_", b"-")):
            return VANISHES
        return name if is_dropped(name) else PASSES

    return kind


_any_request_kind = request_kind()


def answer_kind(name: bytes) -> bytes:
    """What becomes of a provider's line."""
    name = name.lower()
    return name if name in _ANSWER_DROPPED or name in _SPECIAL else PASSES


def sort_request(
    fields: Fields, kind: Kind = _any_request_kind
) -> tuple[Fields, Special]:
    """Part an agent's lines into those that pass and those that do not.

    Args:
        fields: the agent's lines.
        kind: ``request_kind``, or something that remembers what it gave.

    Returns:
        The lines that pass, and the values of the others by name.
    """
    kept: Fields = []
    special: Special = {}
    for line in fields:
        name = kind(line[0])
        if not name:
            kept.append(line)
        elif name != VANISHES:
            special.setdefault(name, []).append(line[1])
    if b"connection" in special:
        kept = without_connection_options(kept, special)
    return kept, special


def sort_answer(fields: Fields, kind: Kind = answer_kind) -> tuple[Fields, Special]:
    """Part a provider's lines into those that pass and those that do not.

    ``content-length`` passes, a repeat of the same value but once (RFC 9110, section 8.6),
    and is reported too. The provider's own ``x-request-id`` passes as
    ``x-upstream-request-id``, because the agent knows the exchange by ours.
    """
    kept: Fields = []
    special: Special = {}
    for line in fields:
        name = kind(line[0])
        if not name:
            kept.append(line)
            continue
        values = special.setdefault(name, [])
        values.append(line[1])
        if name == b"x-request-id":
            kept.append((b"x-upstream-request-id", line[1]))
        elif name == b"content-length" and line[1] not in values[:-1]:
            kept.append(line)
    if b"connection" in special:
        kept = without_connection_options(kept, special)
    return kept, special


def without_connection_options(kept: Fields, special: Special) -> Fields:
    """Drop the lines that ``Connection`` names as meant for this hop only.

    It cannot name the length: an answer without one would run into the next.
    """
    named = connection_options(special) - _NOT_NAMED
    if not named:
        return kept
    return [line for line in kept if line[0].lower() not in named]


def connection_options(special: Special) -> frozenset[bytes]:
    """The options of all ``Connection`` lines, lower case."""
    values = special.get(b"connection")
    if values is None:
        return _NO_OPTIONS
    if len(values) == 1 and values[0] in _USUAL_OPTIONS:
        return _USUAL_OPTIONS[values[0]]
    return _NO_OPTIONS.union(*map(_split_options, values))


def _split_options(value: bytes) -> frozenset[bytes]:
    return frozenset(option.strip(b" \t").lower() for option in value.split(b","))


_NO_OPTIONS: frozenset[bytes] = frozenset()
_USUAL_OPTIONS = {
    value: _split_options(value)
    for value in (b"keep-alive", b"Keep-Alive", b"close", b"Upgrade", b"upgrade")
}


def wants_websocket(special: Special) -> bool:
    """Whether this asks for a WebSocket (RFC 6455, section 4.2.1)."""
    upgrade = special.get(b"upgrade")
    return (
        upgrade is not None
        and b"upgrade" in connection_options(special)
        and any(value.strip().lower() == b"websocket" for value in upgrade)
    )


def request_id(special: Special) -> str | None:
    """The agent's own request id if it is one line of harmless characters."""
    values = special.get(b"x-request-id", ())
    if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]):
        return values[0].decode("ascii")
    return None


def subprotocols(special: Special) -> list[bytes]:
    """The WebSocket subprotocols offered, without those that carry a credential.

    What is not a token (RFC 6455, section 4.1) is left out: quotes could hide a credential.
    """
    offered = b",".join(special.get(b"sec-websocket-protocol", ()))
    names = (name.strip(b" \t") for name in offered.split(b","))
    return [
        name
        for name in names
        if _TOKEN.fullmatch(name) is not None
        and not name.lower().startswith(_SUBPROTOCOL_CREDENTIALS)
    ]


def join(fields: Fields) -> bytes:
    """The lines as they go on the wire, each ended by CRLF."""
    return b"\r\n".join([*map(b": ".join, fields), b""])
