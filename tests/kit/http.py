"""HTTP/1.1 as the kit's two ends read it: strictly, and keeping every byte to look at."""

import json
from collections.abc import Iterable
from typing import Any, Literal

from tests.kit.line import Gone, Line

Fields = list[tuple[bytes, bytes]]
Framing = Literal["none", "length", "chunked", "close"]

NO_FIELDS: tuple[tuple[bytes, bytes], ...] = ()

REASONS = {
    100: b"Continue",
    101: b"Switching Protocols",
    103: b"Early Hints",
    200: b"OK",
    204: b"No Content",
    302: b"Found",
    304: b"Not Modified",
    307: b"Temporary Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    407: b"Proxy Authentication Required",
    413: b"Content Too Large",
    422: b"Unprocessable Content",
    426: b"Upgrade Required",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    529: b"Overloaded",
}


class Malformed(Exception):
    """What the other side sent is not HTTP/1.1 as RFC 9112 has it."""


class Message:
    """A request or an answer, as far as it has come.

    Attributes:
        head: the bytes up to and including the empty line.
        first_line: without its CRLF.
        fields: header lines in the order and case they came.
        body: what has come of the body, without the framing.
        chunks: the sizes of its chunks, if it came in chunks.
        trailers: fields after a chunked body.
        framing: how the body's end is known.
        complete: whether the body has come to its end.
    """

    def __init__(self, head: bytes) -> None:
        self.head = head
        if b"\n" in head.replace(b"\r\n", b""):
            raise Malformed(f"a bare LF in {head!r}")
        self.first_line, *lines = head[:-4].split(b"\r\n")
        self.fields: Fields = [_field(line) for line in lines]
        self.body = bytearray()
        self.chunks: list[int] = []
        self.trailers: Fields = []
        self.framing: Framing = "none"
        self.complete = False

    def get(self, name: bytes) -> bytes | None:
        """The value of the only field of this name; None if there is none.

        Raises:
            Malformed: it is there more than once.
        """
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{len(values)} fields {name!r} in {self.head!r}")
        return values[0] if values else None

    def all(self, name: bytes) -> list[bytes]:
        """The values of all fields of this name, in any case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def json(self) -> Any:
        """The body, parsed; any JSON, hence any type."""
        return json.loads(self.body)

    def frame(self, otherwise: Framing) -> int:
        """Settle how the body's end is known; its length if announced, else 0.

        Args:
            otherwise: what holds when no field says anything.
        """
        length = self.get(b"content-length")
        coding = self.get(b"transfer-encoding")
        if length is not None and coding is not None:
            raise Malformed(f"both framings in {self.head!r}")
        if coding is not None:
            if coding.lower() != b"chunked":
                raise Malformed(f"transfer-encoding {coding!r}")
            self.framing = "chunked"
        elif length is not None:
            if not length.isdigit():
                raise Malformed(f"content-length {length!r}")
            self.framing = "length"
            return int(length)
        else:
            self.framing = otherwise
        return 0

    async def read_body(self, line: Line, length: int) -> None:
        """Take the body from a connection; ``complete`` when it is all there.

        Args:
            line: where it comes from.
            length: what ``frame`` has answered.

        Raises:
            Gone: the connection ended before the body.
            Malformed: the chunks are not chunks.
        """
        if self.framing == "length":
            await self._read(line, length)
        elif self.framing == "chunked":
            await self._read_chunks(line)
        elif self.framing == "close":
            try:
                while True:
                    self.body += await line.read_some()
            except Gone:
                pass
        self.complete = True

    async def _read(self, line: Line, count: int) -> None:
        while count:
            piece = await line.read_some(count)
            self.body += piece
            count -= len(piece)
            line.changed()

    async def _read_chunks(self, line: Line) -> None:
        while True:
            size = (await line.read_until(b"\r\n"))[:-2]
            try:
                count = int(size, 16)
            except ValueError:
                raise Malformed(f"chunk size {size!r}") from None
            if not count:
                break
            self.chunks.append(count)
            await self._read(line, count)
            if await line.read(2) != b"\r\n":
                raise Malformed("a chunk that is longer than it says")
        while trailer := (await line.read_until(b"\r\n"))[:-2]:
            self.trailers.append(_field(trailer))


class Response(Message):
    """An answer as an agent received it.

    Attributes:
        status: three digits.
        reason: the reason phrase, possibly empty.
        interim: the 1xx answers that came before.
    """

    def __init__(self, head: bytes) -> None:
        super().__init__(head)
        version, _, rest = self.first_line.partition(b" ")
        status, _, self.reason = rest.partition(b" ")
        if version != b"HTTP/1.1" or not status.isdigit() or len(status) != 3:
            raise Malformed(f"status line {self.first_line!r}")
        self.status = int(status)
        self.interim: list[Response] = []

    def __repr__(self) -> str:
        state = "complete" if self.complete else "incomplete"
        return f"<Response {self.status} {len(self.body)} bytes, {state}>"


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip():
        raise Malformed(f"header line {line!r}")
    return name, value.strip(b" \t")


def head(first_line: bytes, fields: Iterable[tuple[bytes, bytes]] = NO_FIELDS) -> bytes:
    """The bytes of a head."""
    lines = [first_line, *(name + b": " + value for name, value in fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def status_line(status: int, reason: bytes | None = None) -> bytes:
    """The first line of an answer."""
    return b"HTTP/1.1 %d %s" % (status, REASONS[status] if reason is None else reason)


def chunk(data: bytes) -> bytes:
    """The bytes of one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)
