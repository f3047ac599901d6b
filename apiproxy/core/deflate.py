"""Compressed WebSocket messages (RFC 7692): what was agreed, and inflating in bounded steps.

With context takeover, a message can only be read after all before it. So one that is too
large is inflated all the same and thrown away, up to a point: it may be a bomb, and surely is
one if a lot comes out of next to nothing (``inflate.most_of``). After that point, and after
bytes that are no deflate, the context is lost, and every compressed message to come has the
gap ``deflate_lost``. Without takeover, each message begins anew.
"""

import zlib

from msgspec import Struct

from apiproxy.core.inflate import most_of

MESSAGE_TOO_LARGE = "message_too_large"
DEFLATE_BROKEN = "deflate_broken"
DEFLATE_LOST = "deflate_lost"

_TAIL = b"\x00\x00\xff\xff"
"""What a sender leaves out at the end of a message (section 7.2.1)."""

_PIECE = 64 * 1024
"""Bytes that are inflated in one step."""

_PATIENCE = 4
"""How many times the limit we inflate, and throw away, to keep a context."""

_MAX_STREAMS = 16
"""Streams in one message, which final blocks end (section 7.2.3.4): each costs a start."""

_BITS = {str(bits).encode(): bits for bits in range(8, 16)}


class DeflateTerms(Struct, frozen=True):
    """What was agreed on how one direction is compressed (section 7.1).

    Attributes:
        takeover: whether a message may refer to those before it.
        window_bits: how far back, as a power of two.
    """

    takeover: bool = True
    window_bits: int = 15

    @classmethod
    def read(cls, extensions: bytes, *, from_agent: bool) -> "DeflateTerms | None":
        """The terms in the answer to a handshake; None if nothing is compressed.

        Args:
            extensions: ``Sec-WebSocket-Extensions`` of the 101, several joined by commas.
            from_agent: whether to read those of the agent's messages, or of upstream's.
        """
        for extension in extensions.split(b","):
            name, *parameters = extension.split(b";")
            if name.strip().lower() == b"permessage-deflate":
                return cls._of(parameters, b"client" if from_agent else b"server")
        return None

    @classmethod
    def _of(cls, parameters: list[bytes], side: bytes) -> "DeflateTerms":
        takeover, bits = True, 15
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            name = name.strip().lower()
            if name == side + b"_no_context_takeover":
                takeover = False
            elif name == side + b"_max_window_bits":
                bits = _BITS.get(value.strip(b' \t"'), 15)
        return cls(takeover, bits)


class MessageInflater:
    """Inflates the messages of one direction, one after the other.

    Attributes:
        body: what the message has inflated to so far; empty if there is a gap.
        gap: why it cannot be read: ``message_too_large``, ``deflate_broken`` or
            ``deflate_lost``; empty if it can.
    """

    __slots__ = (
        "_fed",
        "_limit",
        "_lost",
        "_made",
        "_stream",
        "_streams",
        "_terms",
        "body",
        "gap",
    )

    def __init__(self, terms: DeflateTerms, limit: int) -> None:
        """An inflater at the start of a socket.

        Args:
            terms: what was agreed.
            limit: bytes that a message may have, inflated.
        """
        self._terms = terms
        self._limit = limit
        self._stream: zlib._Decompress | None = None
        self._streams = 0
        self._fed = self._made = 0
        self._lost = False
        self.body = bytearray()
        self.gap = ""

    def begin(self) -> None:
        """A compressed message begins."""
        self.body.clear()
        self._fed = self._made = self._streams = 0
        self.gap = DEFLATE_LOST if self._lost else ""
        if self._stream is None and not self._lost:
            self._stream = self._new_stream()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the message."""
        self._fed += len(data)
        try:
            while data and self._stream is not None:
                data = self._inflate(self._stream, data)
        except zlib.error:
            self._lose(DEFLATE_BROKEN)

    def end(self) -> None:
        """The message is over, and ``body`` and ``gap`` are final."""
        self.feed(_TAIL)
        if not self._terms.takeover:
            self._stream = None

    def abandon(self) -> None:
        """The message was left unfinished, against the protocol."""
        self._lose(DEFLATE_LOST)

    def _new_stream(self) -> "zlib._Decompress":
        # Some deflate with 9 bits where 8 were agreed, since zlib cannot do with 8.
        return zlib.decompressobj(-max(self._terms.window_bits, 9))

    def _inflate(self, stream: "zlib._Decompress", data: bytes) -> bytes:
        """Inflate these bytes; returns what comes after the end of their stream."""
        while True:
            piece = stream.decompress(data, _PIECE)
            self._add(piece)
            if stream.eof:
                return self._restart(stream.unused_data)
            if len(piece) < _PIECE or self._stream is None:
                return b""
            data = stream.unconsumed_tail

    def _restart(self, rest: bytes) -> bytes:
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            self._lose(DEFLATE_BROKEN)
        elif self._stream is not None:
            self._stream = self._new_stream()
        return rest

    def _add(self, piece: bytes) -> None:
        self._made += len(piece)
        if self._made > most_of(self._fed, _PATIENCE * self._limit):
            self._lose(MESSAGE_TOO_LARGE)
        elif self._made <= self._limit:
            self.body += piece
        else:
            self.body.clear()
            self.gap = MESSAGE_TOO_LARGE

    def _lose(self, gap: str) -> None:
        """Inflate no more of this message, and of none that may refer to it."""
        self.gap = self.gap or gap
        self.body.clear()
        self._stream = None
        self._lost = self._terms.takeover
