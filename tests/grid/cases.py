"""Raw requests, most of them odd: what an agent sends on one connection."""

from attrs import frozen

from tests.security.test_pitfalls_1_to_6 import (
    CHUNKS,
    FRAMINGS,
    HIDDEN,
    ODD_PATHS,
    TARGETS,
)

_POST = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@frozen
class Case:
    """What is sent.

    Attributes:
        name: what is odd about it.
        data: the bytes.
        most: how many requests a strict reader may find in it.
    """

    name: str
    data: bytes
    most: int = 1


def _head(first: bytes, *lines: bytes, host: bytes = b"Host: localhost") -> bytes:
    return b"\r\n".join([first, host, *lines, b"", b""])


def _of_lines() -> list[Case]:
    lines = (
        b"X: ",
        b"X:",
        b"X:a",
        b"X:\ta\t",
        b"X:  a  b  ",
        b"X: a, b",
        b"X: \xe9\xff",
        b"X: " + b"a" * 8000,
        b"X: " + b"a" * 40000,
        b"X_Y: a",
        b"X.Y: a",
        b"!#$%&'*+.^_`|~: a",
        b"X(: a",
        b'"X": a',
        b"X: a\r\nX: b",
        b"X: a\r\nx: a",
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b"X: a\r\n\r",
        b"X: a\x0b",
        b"X: a\x0c",
        b"X: a\x1f",
        b"Content-Length: 0",
        b"Content-Length: 00",
        b"Content-Length: 0\r\nContent-Length: 0",
        b"Content_Length: 5",
        b"Transfer_Encoding: chunked",
        b"Transfer-Encoding: \xc2\xa0chunked",
        b"Content-Encoding: chunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: content-length",
        b"Connection: close, host",
        b"Connection: x-request-id, transfer-encoding",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"TE: trailers",
        b"Trailer: X",
        b"Upgrade: h2c",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
        b"Upgrade: TLS/1.2\r\nConnection: Upgrade",
        b"Expect: 100-continue",
        b"Expect: 100-Continue",
        b"Expect: 417",
        b"X-HTTP-Method-Override: DELETE",
        b"X-Original-URL: /admin",
        b"X-Forwarded-Host: evil.example",
        b"Range: bytes=0-0",
        b"Accept-Encoding: identity;q=0",
        b"\r\nX: a",
    )
    found = [
        Case(f"line {one!r}"[:60], _head(b"GET /v1 HTTP/1.1", one)) for one in lines
    ]
    return found + [
        Case(
            f"post with {one!r}"[:60],
            _head(b"POST /v1 HTTP/1.1", b"Content-Length: 3", one) + b"abc",
        )
        for one in lines
        if b"ontent-Length" not in one
    ]


def _of_first_lines() -> list[Case]:
    methods = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
    odd = (
        b"get",
        b"PROPFIND",
        b"M-SEARCH",
        b"G\xc9T",
        b"GE T",
        b"",
        b"A" * 300,
        b"PRI",
    )
    versions = (
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/11",
        b"HTTP/01.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1x",
        b"http/1.1",
        b"HTTP/1,1",
        b"",
    )
    spaces = (
        b"GET  /v1 HTTP/1.1",
        b"GET\t/v1 HTTP/1.1",
        b"GET /v1\tHTTP/1.1",
        b"GET /v1  HTTP/1.1",
        b" GET /v1 HTTP/1.1",
        b"\r\nGET /v1 HTTP/1.1",
        b"\r\n\r\nGET /v1 HTTP/1.1",
        b"\nGET /v1 HTTP/1.1",
        b"GET /v1\x0bHTTP/1.1",
        b"GET /v1 x HTTP/1.1",
        b"GET /v1",
        b"GET",
    )
    first = [
        *(b"%b /v1 HTTP/1.1" % each for each in (*methods, *odd)),
        *(b"GET /v1 %b" % each for each in versions),
        *(b"GET %b HTTP/1.1" % each for each in (*TARGETS, *ODD_PATHS, *HIDDEN)),
        *spaces,
    ]
    return [Case(f"first line {one!r}"[:60], _head(one)) for one in first]


def _of_framing() -> list[Case]:
    found = [
        Case(
            f"framing {lines!r}"[:60],
            _head(b"POST /v1 HTTP/1.1", *lines) + b"abc" + SMUGGLED,
            2,
        )
        for lines in FRAMINGS
    ]
    found += [
        Case(f"chunks {body!r}"[:60], _CHUNKED + body + SMUGGLED, 2) for body in CHUNKS
    ]
    good = (
        b"0\r\n\r\n",
        b"00000\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"03\r\nabc\r\n0\r\n\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b"a\r\n0123456789\r\n0\r\n\r\n",
        b"1\r\na\r\n" * 200 + b"0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
        b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"4\r\n\r\n\r\n\r\n0\r\n\r\n",
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
    )
    return found + [Case(f"chunks {body!r}"[:60], _CHUNKED + body) for body in good]


def _of_connections() -> list[Case]:
    get = _head(b"GET /v1/one HTTP/1.1")
    post = _POST + b"Content-Length: 3\r\n\r\nabc"
    inside = _POST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    return [
        Case("two at once", get * 2, 2),
        Case("three at once", get + post + get, 3),
        Case("ten at once", get * 10, 10),
        Case("a request in a body", inside),
        Case("a request in a body, and one behind", inside + get, 2),
        Case("GET with a body", inside.replace(b"POST", b"GET")),
        Case("HEAD with a body", inside.replace(b"POST", b"HEAD")),
        Case("DELETE with a body", inside.replace(b"POST", b"DELETE")),
        Case("a body that is too long", post + b"X" + get, 2),
        Case("a body that is too short", _POST + b"Content-Length: 9\r\n\r\nabc"),
        Case("chunks that end early", _CHUNKED + b"3\r\nab"),
        Case("a head that ends early", get[:-2]),
        Case("half a head", get[:20]),
        Case("nothing", b""),
        Case(
            "one behind a close", _head(b"GET /v1 HTTP/1.1", b"Connection: close") + get
        ),
        Case("one behind HTTP/1.0", _head(b"GET /v1 HTTP/1.0") + get),
        Case("one behind an error", b"GET /\\ HTTP/1.1\r\nHost: a\r\n\r\n" + get, 1),
        Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        Case("SOCKS", b"\x05\x01\x00"),
        Case("NUL", b"\x00" * 100),
        Case("bare LF all the way", get.replace(b"\r\n", b"\n")),
        Case("CR CR LF", get.replace(b"\r\n", b"\r\r\n")),
        Case("no host", b"GET /v1 HTTP/1.1\r\n\r\n"),
        Case("two hosts", _head(b"GET /v1 HTTP/1.1", b"Host: localhost")),
        Case("empty host", b"GET /v1 HTTP/1.1\r\nHost:\r\n\r\n"),
        Case("another host", b"GET /v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    ]


CASES = (*_of_lines(), *_of_first_lines(), *_of_framing(), *_of_connections())
"""All of them."""
