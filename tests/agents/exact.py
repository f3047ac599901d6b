"""Byte exactness: the provider receives what the agent has sent, but for a few header lines.

Both sides were tapped. Here their bytes are read as requests, each request of the provider's
is looked for among the agent's, and the two are compared: target, header lines in order and
case, body, and on a WebSocket every frame's opcode, bits and payload (still compressed).
"""

import re
import struct
from collections.abc import Iterator, Sequence

from attrs import frozen

from tests.kit.frames import masked

CHANGED = frozenset(
    {
        # said anew: the connection is another one
        b"host",
        b"connection",
        b"keep-alive",
        b"upgrade",
        b"content-length",
        b"transfer-encoding",
        b"x-request-id",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        # the credential
        b"authorization",
        b"x-api-key",
        b"x-goog-api-key",
    }
)
"""Header lines that may differ (docs/security.md, docs/providers.md)."""

ADDED = {
    b"api.anthropic.com": frozenset({b"anthropic-version"}),
    b"api.githubcopilot.com": frozenset(
        {b"copilot-integration-id", b"x-initiator", b"x-interaction-id"}
    ),
}
"""Lines that a provider needs and gets if the agent has sent none (docs/providers.md)."""

_KEY_IN_QUERY = re.compile(rb"\?key=[^& ]*")
"""A credential in the query, as Gemini takes one; it is dropped."""

_TWO_SLASHES = re.compile(rb"^GET //(?=ws/google\.)")
"""How ``@google/genai`` for Node begins the path of Live; one slash is dropped."""

_DATA = (0x0, 0x1, 0x2)

Frame = tuple[int, bytes]
Fields = list[tuple[bytes, bytes]]


@frozen
class Sent:
    """A request as it was on the wire.

    Attributes:
        line: the request line.
        fields: header lines.
        body: without framing.
        frames: of a WebSocket: first byte (FIN, RSV, opcode) and payload of each data frame.
    """

    line: bytes
    fields: Fields
    body: bytes
    frames: tuple[Frame, ...] = ()

    def get(self, name: bytes) -> bytes:
        """The value of a header line; empty if there is none."""
        return next((value for key, value in self.fields if key.lower() == name), b"")


def read(data: bytes, upgraded: bool) -> Iterator[Sent]:
    """The requests on a connection.

    Args:
        data: all that was sent on it; the last request may be incomplete, and is left out.
        upgraded: whether a WebSocket that is asked for has come about.
    """
    while (end := data.find(b"\r\n\r\n")) >= 0:
        line, *lines = data[:end].split(b"\r\n")
        fields = [_field(each) for each in lines]
        data = data[end + 4 :]
        head = Sent(line, fields, b"")
        if head.get(b"upgrade") and upgraded:
            yield Sent(line, fields, b"", tuple(_frames(data)))
            return
        taken = _body(head, data)
        if taken is None:
            return
        body, data = taken
        yield Sent(line, fields, body)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip()


def _body(head: Sent, data: bytes) -> tuple[bytes, bytes] | None:
    """The body, and what comes after it; None if it is not all there."""
    if head.get(b"transfer-encoding").lower() == b"chunked":
        return _chunks(data)
    length = int(head.get(b"content-length") or 0)
    return None if len(data) < length else (data[:length], data[length:])


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        size, found, rest = data.partition(b"\r\n")
        if not found:
            return None
        count = int(size.partition(b";")[0], 16)
        if len(rest) < count + 2:
            return None
        if not count:
            return body, rest[2:]
        body += rest[:count]
        data = rest[count + 2 :]


def _frames(data: bytes) -> Iterator[Frame]:
    while len(data) >= 6:
        size, at = data[1] & 0x7F, 2
        if size == 126:
            (size,), at = struct.unpack_from("!H", data, 2), 4
        elif size == 127:
            (size,), at = struct.unpack_from("!Q", data, 2), 10
        mask, at = data[at : at + 4], at + 4
        if len(data) < at + size:
            return
        if data[0] & 0x0F in _DATA:
            yield data[0], masked(data[at : at + size], mask)
        data = data[at + size :]


def differences(
    agent: Sequence[Sent], provider: Sequence[Sent], refused: int = 0
) -> list[str]:
    """What the provider received and the agent had not sent, in words.

    An agent's request that the provider has not seen is none: apiproxy may have answered it.

    Args:
        agent: what it has sent.
        provider: what it has received.
        refused: how many messages of a WebSocket may not have got there.
    """
    left = list(agent)
    found = []
    for request in provider:
        match = next(
            (each for each in left if not _contrast(each, request, refused)), None
        )
        if match is None:
            found.append(_nearest(left, request))
        else:
            left.remove(match)
    return found


def _nearest(agent: Sequence[Sent], request: Sent) -> str:
    """How it differs from the first of the same request line."""
    near = next((each for each in agent if _path(each) == _path(request)), None)
    what = "was sent by nobody" if near is None else _contrast(near, request)
    return f"{request.line!r} {what}"


def _contrast(agent: Sent, provider: Sent, refused: int = 0) -> str:
    """What differs, in words; nothing if it is the same request."""
    words = []
    asked = _TWO_SLASHES.sub(b"GET /", _KEY_IN_QUERY.sub(b"", agent.line))
    if asked != provider.line:
        words.append(f"{asked!r} became {provider.line!r}")
    had = {name.lower() for name, _ in agent.fields}
    free = CHANGED | (ADDED.get(_host(provider), frozenset()) - had)
    before, after = _without(agent, CHANGED), _without(provider, free)
    if before != after:
        lost = [each for each in before if each not in after]
        new = [each for each in after if each not in before]
        words.append(f"header: lost {lost}, new {new}")
    offer = b"sec-websocket-extensions"
    if agent.get(offer) != provider.get(offer):
        words.append(f"offer: {agent.get(offer)!r} became {provider.get(offer)!r}")
    if agent.body != provider.body:
        words.append(f"body: {agent.body[:200]!r} became {provider.body[:200]!r}")
    if not _came(agent.frames, provider.frames, refused):
        words.append(f"frames: {len(agent.frames)} and {len(provider.frames)}")
    return "; ".join(words)


def _came(sent: Sequence[Frame], got: Sequence[Frame], refused: int) -> bool:
    """Whether all frames came, in order, but for as many as were refused."""
    rest = iter(sent)
    return len(sent) - len(got) <= refused and all(frame in rest for frame in got)


def _path(request: Sent) -> bytes:
    return request.line.partition(b"?")[0]


def _host(request: Sent) -> bytes:
    return request.get(b"host").partition(b":")[0]


def _without(request: Sent, names: frozenset[bytes]) -> Fields:
    return [each for each in request.fields if each[0].lower() not in names]
