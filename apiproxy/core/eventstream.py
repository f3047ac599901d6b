"""Messages of ``application/vnd.amazon.eventstream``, as Bedrock streams its answers.

A message is: its length and the length of its headers (4 bytes each), the CRC-32 of these
eight bytes, headers, payload, the CRC-32 of all before it (AWS SDK, "Event Stream Message").
A wrong CRC means that we no longer know where messages begin, so it ends the reading.
"""

from binascii import crc32
from collections.abc import Callable, Mapping
from struct import Struct

EVENTSTREAM_BROKEN = "eventstream_broken"
EVENTSTREAM_CRC = "eventstream_crc"
EVENTSTREAM_CUT = "eventstream_cut"

_PRELUDE = Struct("!III")
_CRC = 4
_SMALLEST = _PRELUDE.size + _CRC

_STRING = 7
_FIXED: Mapping[int, int] = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type: true, false, integers, a time, a UUID."""
_COUNTED = (6, _STRING)
"""Types whose value begins with its length, in two bytes: bytes and text."""


class EventStream:
    """Takes the messages out of one body.

    Attributes:
        gap: ``eventstream_crc`` or ``eventstream_broken`` (lengths or headers that cannot
            be), after which nothing is read; ``eventstream_cut`` if the body was over in
            the middle of a message; empty if all is well.
        messages: messages that were told.
        oversized: messages that were passed over, payload unchecked, since they were over
            the limit.
    """

    __slots__ = (
        "_held",
        "_left",
        "_limit",
        "_needed",
        "_take",
        "gap",
        "messages",
        "oversized",
    )

    def __init__(
        self, take: Callable[[dict[str, str], bytes], None], limit: int
    ) -> None:
        """A reader at the start of a body.

        Args:
            take: gets of each message the headers that are text, such as
                ``:event-type`` and ``:message-type``, and the payload.
            limit: bytes that a message may have, all told.
        """
        self._take = take
        self._limit = limit
        self._held = bytearray()
        self._left = 0
        self._needed = 0
        self.gap = ""
        self.messages = 0
        self.oversized = 0

    @property
    def between_messages(self) -> bool:
        """Whether what was taken ends between two messages."""
        return not self._held and not self._left and not self.gap

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self.gap:
            return
        if self._held:
            self._held += data
            # Looked at once it is all there, for a look is a copy.
            if len(self._held) < self._needed:
                return
            data = bytes(self._held)
            self._held.clear()
        at, end = 0, len(data)
        while at < end and not self.gap:
            if not self._left:
                self._measure(data, at, end)
            if self._left:
                at += self._pass_over(end - at)
            elif at + self._needed > end:
                self._held += data[at:]
                break
            elif not self.gap:
                self._message(data[at : at + self._needed])
                at += self._needed

    def end(self) -> None:
        """The body is over; it may turn out to be cut."""
        if not self.gap and (self._held or self._left):
            self.gap = EVENTSTREAM_CUT
        self._held.clear()

    def close(self) -> None:
        """No more will be fed; whoever takes the messages, and may know us, is forgotten."""
        del self._take

    def _measure(self, data: bytes, at: int, end: int) -> None:
        """Read how many bytes are needed: of the message, or first of its prelude."""
        self._needed = _PRELUDE.size
        if at + _PRELUDE.size > end:
            return
        size, headers, crc = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + _PRELUDE.size - _CRC]) != crc:
            self.gap = EVENTSTREAM_CRC
        elif size < _SMALLEST or headers > size - _SMALLEST:
            self.gap = EVENTSTREAM_BROKEN
        elif size > self._limit:
            self.oversized += 1
            self._left = size
        else:
            self._needed = size

    def _pass_over(self, available: int) -> int:
        passed = min(self._left, available)
        self._left -= passed
        return passed

    def _message(self, data: bytes) -> None:
        """One whole message."""
        _, size, _ = _PRELUDE.unpack_from(data)
        if crc32(data[:-_CRC]) != int.from_bytes(data[-_CRC:]):
            self.gap = EVENTSTREAM_CRC
            return
        begin = _PRELUDE.size + size
        headers = _read_headers(data[_PRELUDE.size : begin])
        if headers is None:
            self.gap = EVENTSTREAM_BROKEN
            return
        self.messages += 1
        self._take(headers, data[begin:-_CRC])


def _read_headers(data: bytes) -> dict[str, str] | None:
    """The headers that are text; None if these are no headers."""
    headers: dict[str, str] = {}
    at, end = 0, len(data)
    while at < end:
        begin = at + 1 + data[at]
        if begin >= end:
            return None
        name, kind = data[at + 1 : begin], data[begin]
        at = begin + 1
        if kind in _COUNTED:
            size = int.from_bytes(data[at : at + 2])
            at += 2
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            return None
        if at + size > end:
            return None
        if kind == _STRING:
            value = data[at : at + size].decode(errors="replace")
            headers[name.decode(errors="replace")] = value
        at += size
    return headers
