"""WebSocket frames (RFC 6455, section 5), scanned as they pass.

The two sides of an open socket have negotiated the same extension, so its bytes are handed
on as they are, compressed or not, masked or not. The scanner reads a copy to know four
things: where frames begin and end (our own control frames may only go in between), how a
close was worded, which pongs answer our own pings (those are taken out), and whether a
message is over the limit.

It judges nothing else. A frame that breaks the protocol still has a length, so the scanner
stays in step and the side that receives it fails the connection in its own words. Bytes may
be cut anywhere; at most one unfinished frame head and, while a pong of ours is awaited, one
unfinished pong are held back from the splice.
"""

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

GOING_AWAY = 1001
POLICY = 1008
TOO_BIG = 1009
INTERNAL = 1011
TRY_LATER = 1013
"""Close codes that we send (RFC 6455, section 7.4.1; the last one is in IANA's registry)."""

FIN, RESERVED, RSV1, OPCODE = 0x80, 0x70, 0x40, 0x0F
"""Bits of the first byte of a frame (RFC 6455, section 5.2)."""

MASKED = 0x80
"""A bit of the second byte."""

_FIN_OPCODE = FIN | OPCODE
_WHOLE = frozenset((FIN | TEXT, FIN | BINARY))

_LENGTH_2, _LENGTH_8 = 126, 127
"""Lengths that stand for: the length follows, in so many bytes."""

HEAD = 96
"""Bytes in which most messages say what they are."""

_REPEATED = int.from_bytes(b"\1\0\0\0" * (HEAD // 4), "little")
"""Times a mask: that mask, over and over."""

INCOMPLETE = (-1, 0)
"""The head of a frame is not all there."""

MAX_CONTROL = 125
"""Bytes of payload a control frame may have (RFC 6455, section 5.5)."""


class MessageTooLarge(ValueError):
    """A message is over the limit."""


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask a payload (RFC 6455, section 5.3), a megabyte in a few milliseconds."""
    size = len(payload)
    stream = (mask * (size // 4 + 1))[:size]
    number = int.from_bytes(payload, "little") ^ int.from_bytes(stream, "little")
    return number.to_bytes(size, "little")


def unmasked_head(data: bytes, begin: int) -> bytes:
    """The first bytes of a masked payload, and something behind it if it is shorter.

    Args:
        data: a frame.
        begin: where its payload begins.

    Returns:
        ``HEAD`` bytes. However large the frame is, this costs as much.
    """
    mask = int.from_bytes(data[begin - 4 : begin], "little")
    head = int.from_bytes(data[begin : begin + HEAD], "little")
    return (head ^ mask * _REPEATED).to_bytes(HEAD, "little")


def control_frame(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """A control frame (RFC 6455, section 5.5).

    Args:
        opcode: ``CLOSE``, ``PING`` or ``PONG``.
        payload: at most 125 bytes.
        mask: 4 random bytes toward a server, none toward a client.
    """
    assert len(payload) <= MAX_CONTROL
    head = bytes((FIN | opcode, (MASKED if mask else 0) | len(payload)))
    return head + mask + (unmask(payload, mask) if mask else payload)


def close_frame(code: int, reason: bytes, mask: bytes = b"") -> bytes:
    """A Close with a code and a reason (RFC 6455, section 5.5.1)."""
    return control_frame(CLOSE, code.to_bytes(2) + reason, mask)


def text_frame(payload: bytes, mask: bytes = b"", opcode: int = TEXT) -> bytes:
    """A message in one frame, not compressed (RFC 6455, section 5.2).

    Args:
        payload: UTF-8.
        mask: 4 random bytes toward a server, none toward a client.
        opcode: ``BINARY`` for a payload that is not text.
    """
    size = len(payload)
    flag = MASKED if mask else 0
    if size <= 125:
        length = bytes((flag | size,))
    elif size < 1 << 16:
        length = bytes((flag | _LENGTH_2,)) + size.to_bytes(2)
    else:
        length = bytes((flag | _LENGTH_8,)) + size.to_bytes(8)
    body = mask + unmask(payload, mask) if mask else payload
    return bytes((FIN | opcode,)) + length + body


def payload_of(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the payload of a frame begins, and how long it is; ``INCOMPLETE`` for no head.

    Args:
        data: bytes of a socket.
        at: where the frame begins.
        end: how far ``data`` may be read.
    """
    if end - at < 2:
        return INCOMPLETE
    second = data[at + 1]
    length = second & 0x7F
    head = at + (2 if length <= 125 else 4 if length == _LENGTH_2 else 10)
    begin = head + 4 if second & MASKED else head
    if begin > end:
        return INCOMPLETE
    return begin, length if length <= 125 else int.from_bytes(data[at + 2 : head])


def one_message(data: bytes, limit: int) -> int:
    """Where the payload begins if this is one unfragmented message and nothing else.

    Most data of a socket is just that, so whoever reads one asks first.

    Args:
        data: bytes that begin between messages.
        limit: bytes of payload that it may have.

    Returns:
        0 if it is anything else.
    """
    size = len(data)
    if size < 2 or data[0] & _FIN_OPCODE not in _WHOLE:
        return 0
    second = data[1]
    length, begin = second & 0x7F, 2
    if length > 125:
        begin = 4 if length == _LENGTH_2 else 10
        length = int.from_bytes(data[2:begin])
    if second & MASKED:
        begin += 4
    return begin if begin + length == size and length <= limit else 0


class FrameScanner:
    """Follows the frames of one direction of one socket.

    Attributes:
        frames: frames begun so far.
        messages: messages completed so far.
        awaited: the payload of the pong that answers a ping of ours, and must not pass; None
            while there is none.
        closed: whether a Close frame has passed.
        close_code: the code in it; None without one.
        close_reason: the reason in it, as it was sent.
        whole: where the payload begins in what was fed last, if that was one unfragmented
            message and nothing else; 0 if it was anything else.
    """

    __slots__ = (
        "_control",
        "_fin",
        "_fragmented",
        "_head",
        "_left",
        "_left_before",
        "_limit",
        "_mask",
        "_opcode",
        "_size",
        "awaited",
        "close_code",
        "close_reason",
        "closed",
        "frames",
        "messages",
        "whole",
    )

    def __init__(self, limit: int) -> None:
        """A scanner at the start of a socket.

        Args:
            limit: bytes of payload a message may have on the wire.
        """
        self._limit = limit
        self._head = b""
        self._left = 0
        self._left_before = 0
        self._opcode = 0
        self._fin = True
        self._fragmented = False
        self._mask = b""
        self._size = 0
        self._control: bytearray | None = None
        self.frames = 0
        self.messages = 0
        self.whole = 0
        self.awaited: bytes | None = None
        self.closed = False
        self.close_code: int | None = None
        self.close_reason = b""

    @property
    def between_messages(self) -> bool:
        """Whether what was handed on ends between messages, so that none is cut by a Close."""
        return self.at_boundary and not self._fragmented

    @property
    def at_boundary(self) -> bool:
        """Whether what was handed on ends between frames, so that one of ours may go in."""
        return not self._left

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the socket.

        Returns:
            What to hand on: usually ``data`` itself.

        Raises:
            MessageTooLarge: a message is over the limit; nothing of ``data`` may be handed
                on, and ``at_boundary`` is as before.
        """
        if self._head:
            data = self._head + data
            self._head = b""
        elif not (self._left or self._fragmented):
            self.whole = one_message(data, self._limit)
            if self.whole:
                # It changes nothing but the counts.
                self.frames += 1
                self.messages += 1
                return data
        self.whole = 0
        self._left_before = self._left
        at, end = 0, len(data)
        kept: list[bytes] | None = None
        start = 0
        while at < end:
            if not self._left:
                begin = at
                at = self._begin(data, at, end)
                if at < 0:
                    self._head = data[begin:]
                    end = begin
                    break
                if self._opcode == PONG and self._is_ours(data, at):
                    kept = [] if kept is None else kept
                    kept.append(data[start:begin])
                    at = start = at + self._left
                    self._left = 0
                    continue
            take = min(self._left, end - at)
            if self._control is not None:
                self._control += data[at : at + take]
            at += take
            self._left -= take
            if not self._left:
                self._finish()
        if kept is not None:
            kept.append(data[start:end])
            return b"".join(kept)
        return data if end == len(data) else data[:end]

    def _begin(self, data: bytes, at: int, end: int) -> int:
        """Read a frame head; returns where its payload begins, -1 if it is not all there.

        A pong counts as not all there until its payload is, so that it can be taken out.
        """
        payload, length = payload_of(data, at, end)
        if payload < 0:
            return -1
        first = data[at]
        opcode = first & OPCODE
        if opcode == PONG and length <= MAX_CONTROL and payload + length > end:
            return -1
        self._opcode, self._fin, self._left = opcode, bool(first & FIN), length
        self._mask = data[payload - 4 : payload] if data[at + 1] & MASKED else b""
        self.frames += 1
        self._measure(length)
        return payload

    def _measure(self, length: int) -> None:
        """Count what the message has so far; control frames count for themselves."""
        size = length
        if self._opcode >= CLOSE:
            keep = self._opcode == CLOSE and length <= MAX_CONTROL
            self._control = bytearray() if keep else None
        else:
            if self._opcode == CONTINUATION and self._fragmented:
                size += self._size
            self._size = size
            self._fragmented = not self._fin
        if size > self._limit:
            self._left = self._left_before
            raise MessageTooLarge

    def _is_ours(self, data: bytes, at: int) -> bool:
        if self.awaited is None or self._left > MAX_CONTROL:
            return False
        payload = data[at : at + self._left]
        return self.awaited == (unmask(payload, self._mask) if self._mask else payload)

    def _finish(self) -> None:
        """A frame has passed whole."""
        if self._opcode < CLOSE:
            if self._fin:
                self.messages += 1
        elif self._opcode == CLOSE and not self.closed:
            self._read_close(bytes(self._control or b""))
        self._control = None

    def _read_close(self, payload: bytes) -> None:
        if self._mask:
            payload = unmask(payload, self._mask)
        self.closed = True
        if len(payload) >= 2:
            self.close_code = int.from_bytes(payload[:2])
            self.close_reason = payload[2:]

    def __repr__(self) -> str:
        where = "between frames" if self.at_boundary else f"{self._left} bytes to go"
        return f"<FrameScanner {self.messages} messages, {where}>"
