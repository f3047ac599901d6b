"""The chunked transfer coding (RFC 9112, section 7.1), cut anywhere.

``ChunkedReader`` takes the payload out of a chunked body, and says where the body ended, to
the byte: what follows belongs to another message and is never passed on as part of this one.
Trailers are read, bounded and dropped. What we send is always framed by ``chunk``.
"""

import re

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_SIZE_WITH_EXTENSION = re.compile(
    rb"([0-9A-Fa-f]{1,15})[ \t]*+(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?"
)
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[^\x00-\x08\x0a-\x1f\x7f]*+")

_MAX_SIZE_LINE = 256
_MAX_TRAILERS = 8192

LAST_CHUNK = b"0\r\n\r\n"


class ChunkedError(ValueError):
    """These bytes are not a chunked body."""


def chunk(payload: bytes) -> bytes:
    """One chunk; ``payload`` must not be empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class ChunkedReader:
    """Takes the payload out of one chunked body.

    Attributes:
        ended: whether the whole body, trailers and all, has been read.
        rest: the bytes after its end, once it has ended.
    """

    __slots__ = (
        "_extensions",
        "_left",
        "_line",
        "_state",
        "_trailers",
        "ended",
        "rest",
    )

    def __init__(self, *, extensions: bool) -> None:
        """A reader at the start of a body.

        Args:
            extensions: whether chunk extensions are tolerated (and dropped). Smugglers
                use them, so an agent may not; a provider may.
        """
        self._extensions = extensions
        self._state = _at_size
        self._left = 0
        self._line = b""
        self._trailers = 0
        self.ended = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the body.

        Returns:
            The payload in them, possibly empty.

        Raises:
            ChunkedError: this is not a chunked body; the reader is of no more use.
        """
        if self._line:
            data = self._line + data
            self._line = b""
        elif self._state is _at_size:
            end = data.find(b"\r\n", 0, _MAX_SIZE_LINE)
            # One whole chunk and nothing else, as an event of a stream mostly comes.
            if end > 0 and data.endswith(b"\r\n"):
                size = self._parse_size(data[:end])
                if size and size == len(data) - end - 4:
                    return data[end + 2 : -2]
        payload: list[bytes] = []
        at = 0
        while not self.ended:
            after = self._state(self, data, at, payload)
            if after < 0:
                break
            at = after
        else:
            self.rest = data[at:]
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _take_line(self, data: bytes, at: int, limit: int) -> int:
        """Where the line at ``at`` ends; -1 if it is not complete, which is remembered."""
        end = data.find(b"\r\n", at, at + limit)
        if end < 0:
            self._line = data[at:]
            if len(self._line) >= limit:
                raise ChunkedError("a line is too long")
            if b"\n" in self._line:
                raise ChunkedError("a line ends in a bare LF")
        return end

    def _parse_size(self, line: bytes) -> int:
        if _SIZE.fullmatch(line) is not None:
            return int(line, 16)
        if self._extensions:
            found = _SIZE_WITH_EXTENSION.fullmatch(line)
            if found is not None:
                return int(found[1], 16)
        raise ChunkedError("a chunk size is not hexadecimal")

    def __repr__(self) -> str:
        return f"<ChunkedReader {self._state.__name__} left {self._left}>"


# The four states. Each reads from ``data`` at ``at``, and returns where it stopped, or -1
# when it needs more bytes than there are.


def _at_size(reader: ChunkedReader, data: bytes, at: int, payload: list[bytes]) -> int:
    end = reader._take_line(data, at, _MAX_SIZE_LINE)
    if end < 0:
        return -1
    reader._left = reader._parse_size(data[at:end])
    reader._state = _in_data if reader._left else _in_trailers
    return end + 2


def _in_data(reader: ChunkedReader, data: bytes, at: int, payload: list[bytes]) -> int:
    piece = data[at : at + reader._left]
    if not piece:
        return -1
    payload.append(piece)
    reader._left -= len(piece)
    if reader._left:
        return -1
    reader._state = _after_data
    return at + len(piece)


def _after_data(
    reader: ChunkedReader, data: bytes, at: int, payload: list[bytes]
) -> int:
    end = data[at : at + 2]
    if end == b"\r\n":
        reader._state = _at_size
        return at + 2
    if end not in (b"", b"\r"):
        raise ChunkedError("a chunk is longer than its size")
    reader._line = end
    return -1


def _in_trailers(
    reader: ChunkedReader, data: bytes, at: int, payload: list[bytes]
) -> int:
    end = reader._take_line(data, at, _MAX_TRAILERS)
    if end < 0:
        return -1
    if end == at:
        reader.ended = True
        return end + 2
    reader._trailers += end - at
    if reader._trailers > _MAX_TRAILERS or _TRAILER.fullmatch(data, at, end) is None:
        raise ChunkedError("a trailer is not well-formed")
    return end + 2
