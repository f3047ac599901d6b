"""One function for each parser: takes any bytes, and raises only if a promise is broken.

Beside "nothing unforeseen is raised", each sees to the promise that matters most: what was cut
in two means the same, what is refused is not sent, what is sent stays what it is.
"""

from collections.abc import Callable, Mapping

import msgspec

from apiproxy.core.chunked import ChunkedError, ChunkedReader
from apiproxy.core.connect import ConnectHandshake
from apiproxy.core.errors import BadTarget, EgressFault, ProxyError
from apiproxy.core.frames import FrameScanner, MessageTooLarge
from apiproxy.core.head import (
    parse_answer,
    parse_request,
    refuse_partial_head,
    request_length,
)
from apiproxy.core.headers import CREDENTIAL_SLOTS, sort_answer, sort_request
from apiproxy.core.presented import presented
from apiproxy.core.splice import SpliceError, find, insert_item, insert_member, replace
from apiproxy.core.sse import EventScanner
from apiproxy.core.target import canonical_path, upstream_target
from apiproxy.policy.endpoints import Endpoints, loosely
from apiproxy.policy.inspection import inspect
from apiproxy.policy.tokens import Narrowed, Verifier, narrow
from apiproxy.policy.visitors import Visitors

_TOKEN = b"sk-the-token-of-a-caller-0123456789"
_ENDPOINTS, _VISITORS = Endpoints(), Visitors(["apiproxy"])


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """Two pieces; where it is cut is in the data itself."""
    at = data[0] * len(data) // 255 if data else 0
    return data[:at], data[at:]


def target(data: bytes) -> None:
    """A target is refused, or is one path in its only spelling, below its base."""
    for base in (b"", b"/v1"):
        try:
            sent = upstream_target(data, base)
        except BadTarget:
            continue
        path = sent.partition(b"?")[0]
        assert sent.startswith(b"/") and not sent.startswith(b"//"), sent
        assert path == base or path.startswith(base + b"/"), sent
        assert not set(sent) & set(b"\x00\r\n\t #\\\x7f"), sent
        assert canonical_path(path) == path, sent
        assert upstream_target(sent, base) == sent, sent


def head(data: bytes) -> None:
    """A request head is refused, or none of its credentials pass and it has one length."""
    try:
        refuse_partial_head(data, 4096)
        request = parse_request(data, 50)
        kept, special = sort_request(request.fields)
        length = request_length(request.minor, special)
    except ProxyError:
        return
    names = {name.lower().replace(b"_", b"-") for name, _ in kept}
    assert not names & (CREDENTIAL_SLOTS | {b"host", b"content-length"}), names
    assert length >= -1
    for name, value in kept:
        assert not set(name + value) & set(b"\x00\r\n"), (name, value)
    presented(special, request.target.partition(b"?")[2])
    _VISITORS.refusal(special)


def answer(data: bytes) -> None:
    """A provider's head is refused, or none of its lines is two."""
    try:
        parsed = parse_answer(data)
    except ProxyError:
        return
    for name, value in sort_answer(parsed.fields)[0]:
        assert not set(name + value) & set(b"\x00\r\n"), (name, value)


def connect(data: bytes) -> None:
    """The answer to CONNECT is an error or it is not, however it was cut."""
    one, two = ConnectHandshake(), ConnectHandshake()
    results: list[object] = []
    for handshake, pieces in ((one, (data,)), (two, _cut(data))):
        try:
            done = False
            for piece in pieces:
                if piece and not done:
                    done = handshake.receive(piece)
        except EgressFault as error:
            results.append(error.code)
        else:
            results.append(done)
    if data and all(_cut(data)):
        refused = [each for each in results if isinstance(each, str)]
        assert len(refused) != 1 or True in results or False in results


def chunked(data: bytes) -> None:
    """Chunks are the same payload however they were cut."""
    whole: list[bytes] = []
    pieces: list[bytes] = []
    for told, parts in ((whole, (data,)), (pieces, _cut(data))):
        reader = ChunkedReader(extensions=False)
        held = b""
        try:
            for part in parts:
                if not reader.ended:
                    told.append(reader.feed(held + part))
                    held = reader.rest
        except ChunkedError:
            told.append(b"!")
    if b"!" not in whole and b"!" not in pieces:
        assert b"".join(whole) == b"".join(pieces)


def frames(data: bytes) -> None:
    """Frames pass unchanged, in order, however they were cut."""
    whole = FrameScanner(100_000)
    cut = FrameScanner(100_000)
    try:
        out = whole.feed(data)
        pieces = b"".join([cut.feed(piece) for piece in _cut(data)])
    except MessageTooLarge:
        return
    assert data.startswith(out) and out == pieces
    assert (whole.frames, whole.messages, whole.closed) == (
        cut.frames,
        cut.messages,
        cut.closed,
    )


def events(data: bytes) -> None:
    """Events are the same however they were cut, and no more than the limit is held."""
    told: tuple[list[bytes], list[bytes]] = ([], [])
    for found, parts in zip(told, ((data,), _cut(data)), strict=True):
        scanner = EventScanner(found.append, (), 500)
        for part in parts:
            scanner.feed(part)
    assert told[0] == told[1]


def splice(data: bytes) -> None:
    """What is put into JSON leaves JSON, with all else as it was."""
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError):  # bytes that are no UTF-8, too
        valid = False
    else:
        valid = True
    for act in (
        lambda: insert_member(data, (), "user", b'"x"'),
        lambda: insert_item(data, ("a",), 0, b"1"),
    ):
        try:
            made = act()
        except SpliceError:
            continue
        assert len(made) > len(data)
        if valid:
            msgspec.json.decode(made)
    try:
        span = find(data, ("model",))
    except SpliceError:
        return
    if span is not None:
        assert replace(data, span, data[span.begin : span.end]) == data


def token(data: bytes) -> None:
    """A narrowed token is verified only if it was made with the token."""
    chain = Verifier.of(_TOKEN).chain
    assert chain is not None
    for each in (data, b"apxn" + data.hex().encode()):
        narrowed = Narrowed.parse(each)
        if narrowed is not None:
            assert not narrowed.verified(chain)
            assert Narrowed.parse(narrowed.token()) == narrowed
    if 0 < len(data) < 256:
        made = Narrowed.parse(narrow(_TOKEN, [data]))
        assert made is not None and made.verified(chain) and made.caveats == (data,)


def tools(data: bytes) -> None:
    """A body is searched or cannot be; the kinds are those there are."""
    for use in inspect(data):
        assert use.kind and "\n" not in use.host


def endpoints(data: bytes) -> None:
    """A rule is passed by no prefix; the loose spelling is one."""
    loose = loosely(data)
    assert loose.startswith(b"/") and loose.endswith(b"/")
    _ENDPOINTS.rule(data)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        target,
        head,
        answer,
        connect,
        chunked,
        frames,
        events,
        splice,
        token,
        tools,
        endpoints,
    )
}
"""All of them, by name."""

SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "target": (b"/v1/models?key=a&b=c", b"/a/../%2e%2e//x;.", b"//h", b"/\\", b"*"),
    "head": (
        b"GET /v1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nX_Api_Key: y\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
        b"POST / HTTP/1.0\r\nContent-Length: 3\r\nOrigin: null\r\n",
    ),
    "answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Request-Id: a\r\n",),
    "connect": (
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.1 407 No\r\nX-Squid-Error: ERR_A 0\r\n\r\n",
    ),
    "chunked": (b"3\r\nabc\r\n0\r\n\r\n", b"3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n"),
    "frames": (b"\x81\x05hello\x88\x02\x03\xe8", b"\x82\xfe\x00\x80mask", b"\x8a\x00"),
    "events": (
        b"event: a\ndata: {}\n\n: c\r\ndata: x\r\n\r\n",
        b"\xef\xbb\xbfdata:1\n\n",
    ),
    "splice": (b'{"model":"m","a":[1,{"b":"\\u0041"}]}', b'{"a":[],"a":[]}'),
    "token": (b"m=gpt-5*", bytes(8) + b"\x03m=a" + bytes(32)),
    "tools": (
        b'{"tools":[{"type":"mcp","server_url":"https://a.example"}]}',
        b'{"\\u0074ype":"web_search","image_url":{"url":"http://x"}}',
    ),
    "endpoints": (b"/v1/realtime/client_secrets", b"/V1%2foauth;x/%252e."),
}
"""Where each begins: the corpus that comes with the source."""
