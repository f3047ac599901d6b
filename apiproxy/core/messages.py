"""WebSocket messages, read from a copy of the bytes of one direction (RFC 6455).

A ``FrameScanner`` knows where frames end; this reader knows what messages say. It puts
fragments together, takes off masks and inflates, and leaves out control frames. It never
raises for what is sent: a message that cannot be read is told with a gap, and the next one
is read, for a frame has a length whatever is in it.

Most messages of an answer are one small event in one frame, and nobody wants them. Where
markers are given, one look for each is all that such a message costs, and nothing is copied.
"""

from collections.abc import Sequence

from msgspec import Struct

from apiproxy.core.deflate import MESSAGE_TOO_LARGE, DeflateTerms, MessageInflater
from apiproxy.core.frames import (
    CLOSE,
    CONTINUATION,
    FIN,
    MASKED,
    OPCODE,
    RESERVED,
    RSV1,
    one_message,
    payload_of,
    unmask,
)

UNKNOWN_EXTENSION = "unknown_extension"


class Message(Struct, frozen=True, gc=False):
    """One message that has passed whole.

    Attributes:
        opcode: ``TEXT`` or ``BINARY``, or what a broken peer sent.
        payload: unmasked and inflated; None if there is a gap.
        gap: why it could not be read: ``message_too_large``, ``deflate_broken``,
            ``deflate_lost`` or ``unknown_extension``; empty if it was.
        end: offset at which its last frame ended, in the data it ended in.
    """

    opcode: int
    payload: bytes | None
    gap: str
    end: int


class MessageReader:
    """Reads the messages of one direction of one socket.

    Attributes:
        messages: messages completed so far, wanted or not.
        skipped: bytes on the wire of messages that were passed over for want of a marker.
        markers: a message with any of these in it is told; may be changed at any time.
        clear: offset in the last data up to which every frame and message is whole. What
            is under way begins there, and if that is negative, it began before this data.
    """

    __slots__ = (
        "_begin",
        "_between",
        "_body",
        "_compressed",
        "_control",
        "_fin",
        "_frame_begin",
        "_gap",
        "_head",
        "_inflater",
        "_left",
        "_limit",
        "_mask",
        "_opcode",
        "_open",
        "_size",
        "_total",
        "clear",
        "markers",
        "messages",
        "skipped",
    )

    def __init__(
        self,
        deflate: DeflateTerms | None,
        limit: int,
        markers: tuple[bytes, ...] = (),
    ) -> None:
        """A reader at the start of a socket.

        Args:
            deflate: the terms of this direction; None if it is not compressed.
            limit: bytes that a message may have, inflated.
            markers: a message with any of these in it is told; none for all.
        """
        self._inflater = MessageInflater(deflate, limit) if deflate else None
        self._limit = limit
        self.markers = markers or (b"",)
        self._total = 0
        self._between = True
        # The frame that is under way.
        self._head = b""
        self._frame_begin = 0
        self._left = 0
        self._control = False
        self._fin = True
        self._mask = b""
        # The message that is under way.
        self._open = False
        self._opcode = 0
        self._begin = 0
        self._size = 0
        self._body = bytearray()
        self._gap = ""
        self._compressed = False
        self.messages = 0
        self.skipped = 0
        self.clear = 0

    @property
    def held(self) -> int:
        """Bytes that the message under way has said so far, inflated."""
        if self._compressed and self._inflater:
            return len(self._inflater.body)
        return len(self._body)

    def feed(self, data: bytes) -> Sequence[Message]:
        """Take the next bytes of the socket.

        Returns:
            The messages that ended in them and are wanted, or could not be read.
        """
        if self._between:
            begin = one_message(data, self._limit)
            if begin and not data[0] & RESERVED and not data[1] & MASKED:
                size = len(data)
                if self._is_passed_over(data, begin, size):
                    self.messages += 1
                    self.skipped += size
                    self._total += size
                    self.clear = size
                    return ()
        return self._read(data)

    def _read(self, data: bytes) -> list[Message]:
        """Go through frames one by one."""
        told: list[Message] = []
        held = len(self._head)
        whole = self._head + data if held else data
        self._head = b""
        at, end = 0, len(whole)
        while at < end:
            if not self._left:
                payload, length = payload_of(whole, at, end)
                if payload < 0:
                    self._head = whole[at:]
                    break
                self._begin_frame(whole, at, payload, length, self._total - held)
                at = payload
                if self._is_unwanted(whole, at, end):
                    at += self._left
                    self._pass_over()
                    continue
            taken = min(self._left, end - at)
            if taken and not self._control:
                self._payload(whole, at, at + taken)
            at += taken
            self._left -= taken
            if not (self._left or self._control) and self._fin:
                self._end_message(told, at - held)
        self._stand(data)
        return told

    def _stand(self, data: bytes) -> None:
        """See what is under way at the end of the data."""
        before = self._total
        self._total = begin = before + len(data)
        if self._open:
            begin = self._begin
        elif self._left:
            begin = self._frame_begin
        elif self._head:
            begin -= len(self._head)
        self.clear = begin - before
        self._between = begin == self._total

    def _begin_frame(
        self, data: bytes, at: int, payload: int, length: int, first: int
    ) -> None:
        """A frame begins; ``first`` is the offset of ``data`` in the socket."""
        byte = data[at]
        self._control = byte & OPCODE >= CLOSE
        self._frame_begin = first + at
        self._left = length
        self._mask = data[payload - 4 : payload] if data[at + 1] & MASKED else b""
        if self._control:
            return
        self._fin = bool(byte & FIN)
        if not self._open or byte & OPCODE != CONTINUATION:
            self._begin_message(byte)
        self._size += payload - at + length

    def _begin_message(self, byte: int) -> None:
        """A message begins with a frame whose first byte this is."""
        if self._open and self._compressed and self._inflater:
            self._inflater.abandon()
        self._open = True
        self._begin = self._frame_begin
        self._opcode = byte & OPCODE
        self._size = 0
        self._body.clear()
        reserved = byte & RESERVED
        self._compressed = reserved == RSV1 and self._inflater is not None
        self._gap = UNKNOWN_EXTENSION if reserved and not self._compressed else ""
        if self._compressed and self._inflater:
            self._inflater.begin()

    def _is_unwanted(self, data: bytes, at: int, end: int) -> bool:
        """Whether this payload is a whole, readable message without a marker."""
        if (
            self._control
            or not self._fin
            or self._begin != self._frame_begin
            or self._mask
            or self._compressed
            or self._gap
            or at + self._left > end
            or self._left > self._limit
        ):
            return False
        return self._is_passed_over(data, at, at + self._left)

    def _is_passed_over(self, text: bytes | bytearray, at: int, end: int) -> bool:
        """Whether nobody wants the message that stands here."""
        # Not ``all``: making a generator costs as much as two looks.
        for marker in self.markers:  # noqa: SIM110
            if text.find(marker, at, end) >= 0:
                return False
        return True

    def _pass_over(self) -> None:
        self._left = 0
        self._open = False
        self.messages += 1
        self.skipped += self._size

    def _payload(self, data: bytes, at: int, end: int) -> None:
        """A part of the payload of a frame."""
        if self._gap:
            return
        piece = data[at:end]
        if self._mask:
            piece = unmask(piece, self._mask)
            turn = len(piece) & 3
            self._mask = self._mask[turn:] + self._mask[:turn]
        if self._compressed and self._inflater:
            self._inflater.feed(piece)
        elif len(self._body) + len(piece) > self._limit:
            self._gap = MESSAGE_TOO_LARGE
            self._body.clear()
        else:
            self._body += piece

    def _end_message(self, told: list[Message], end: int) -> None:
        """A message ends, at this offset of the data."""
        body, gap = self._body, self._gap
        if self._compressed and self._inflater:
            self._inflater.end()
            body, gap = self._inflater.body, self._inflater.gap
        self._open = False
        self.messages += 1
        if gap or not self._is_passed_over(body, 0, len(body)):
            payload = None if gap else bytes(body)
            told.append(Message(self._opcode, payload, gap, end))
        else:
            self.skipped += self._size
        body.clear()
