"""The WebSocket opening handshake (RFC 6455, section 4): what to ask, what was agreed.

Extensions are negotiated end to end, because frames are passed on as they are. The only one
that is passed is permessage-deflate (RFC 7692), the only one the frame scanner can follow.
"""

import re

from apiproxy.core.errors import MalformedRequest
from apiproxy.core.headers import Special
from apiproxy.core.values import Fields

_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_DEFLATE = re.compile(
    rb"permessage-deflate(?:[ \t]*;[ \t]*[a-z_]{1,40}(?:=(?:[0-9]{1,2}|\"[0-9]{1,2}\"))?)*",
    re.IGNORECASE,
)


def check_handshake(method: bytes, minor: int, length: int, special: Special) -> None:
    """See that an agent's request is a handshake we can carry on.

    Raises:
        MalformedRequest: it asks for a WebSocket, but not as RFC 6455 has it.
    """
    keys = special.get(b"sec-websocket-key", [])
    versions = special.get(b"sec-websocket-version", [])
    if method != b"GET" or minor != 1 or length:
        raise MalformedRequest("A WebSocket handshake is a GET on HTTP/1.1, no body.")
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise MalformedRequest("Sec-WebSocket-Key must be one 16-byte value in base64.")
    if versions != [b"13"]:
        raise MalformedRequest("The only Sec-WebSocket-Version understood is 13.")


def deflate_offers(special: Special) -> bytes:
    """The agent's permessage-deflate offers, in its own words; empty for none."""
    offers = b",".join(special.get(b"sec-websocket-extensions", ())).split(b",")
    stripped = (offer.strip(b" \t") for offer in offers)
    return b", ".join(offer for offer in stripped if _DEFLATE.fullmatch(offer))


def handshake_fields(key: bytes, protocols: list[bytes], extensions: bytes) -> Fields:
    """The lines that make a request an opening handshake.

    Args:
        key: our own ``Sec-WebSocket-Key``.
        protocols: subprotocols to offer.
        extensions: extension offers as they go on the wire.
    """
    fields: Fields = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", key),
    ]
    if protocols:
        fields.append((b"Sec-WebSocket-Protocol", b", ".join(protocols)))
    if extensions:
        fields.append((b"Sec-WebSocket-Extensions", extensions))
    return fields
