"""The keys that an agent has sent, wherever it has put them.

They go nowhere (see ``core.headers`` and ``core.target``). But where callers are told apart,
one of them is the caller's token. Agents put it where their provider wants the key, so all of
those places are looked at, the usual ones first.
"""

from base64 import b64decode
from binascii import Error
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from apiproxy.core.headers import CREDENTIAL_SLOTS, Special
from apiproxy.core.target import CREDENTIAL_KEYS

_BARE = (
    b"x-api-key",
    b"x-goog-api-key",
    b"api-key",
    b"x-github-token",
    b"x-auth-token",
    b"x-access-token",
    b"ocp-apim-subscription-key",
)
_SCHEMES = (b"bearer", b"token", b"basic")
_SUBPROTOCOLS = (b"openai-insecure-api-key.", b"openai-ephemeral-token.")
_MOST = 16

assert set(_BARE) < CREDENTIAL_SLOTS


def presented(
    special: Special, query: bytes, own_slots: frozenset[bytes] = frozenset()
) -> list[bytes]:
    """The keys in a request, each once, in the order in which they are looked at.

    Args:
        special: values of the lines that do not pass, by lower-case name.
        query: as the agent sent it, with its ``?``, or empty.
        own_slots: header names, lower case, that this provider fills.
    """
    found: dict[bytes, None] = {}
    for key in _all(special, query, own_slots):
        if key and len(found) < _MOST:
            found[key] = None
    return list(found)


def _all(
    special: Special, query: bytes, own_slots: frozenset[bytes]
) -> Iterator[bytes]:
    for value in special.get(b"authorization", ()):
        yield _without_scheme(value)
    for name in (*_BARE, *sorted(own_slots - {b"authorization", *_BARE})):
        for value in special.get(name, ()):
            yield _without_scheme(value)
    for parameter in query[1:].split(b"&") if query else ():
        key, _, value = parameter.partition(b"=")
        if key.lower().replace(b"_", b"-") in CREDENTIAL_KEYS:
            yield unquote_to_bytes(value)
    for value in special.get(b"sec-websocket-protocol", ()):
        for name in value.split(b","):
            name = name.strip(b" \t")
            for prefix in _SUBPROTOCOLS:
                if name.lower().startswith(prefix):
                    yield name[len(prefix) :]


def _without_scheme(value: bytes) -> bytes:
    """The key in a header; of ``Basic`` the password."""
    scheme, space, key = value.strip().partition(b" ")
    if not space or scheme.lower() not in _SCHEMES:
        return value.strip()
    if scheme.lower() != b"basic":
        return key.strip()
    try:
        return b64decode(key.strip(), validate=True).rpartition(b":")[2]
    except (Error, ValueError):
        return b""
