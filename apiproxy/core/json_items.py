r"""The items of JSON that is streamed, cut out whole without being parsed.

Gemini, not asked for events, streams one array: ``[{...},\n{...}]``. Each element comes
through as one item as soon as it is whole. A single object, which is what most answers are,
comes through as one item too, and so does each of several objects one after the other.

Only brackets and strings are looked at, with regular expressions that take all up to the next
bracket in one step. What is cut out is as good or bad as it was sent: its parser will tell.
"""

import re
from collections.abc import Callable

NOT_JSON = "not_json"
JSON_CUT = "json_cut"

# The outer repetitions are bounded, since each step is remembered. They cannot be possessive:
# Python before 3.11.5 then goes on in the middle of the string that made the last step fail.
_WITHIN = re.compile(
    rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+){0,1000}', re.DOTALL
)
"""All up to a bracket, or up to a string that may be all there or not."""

_SCALAR = re.compile(
    rb'[^"{}\[\],]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\],]*+){0,1000}', re.DOTALL
)
"""The same, but a comma ends it too."""

_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+){0,1000}', re.DOTALL)
"""The rest of a string, up to its end, an escape that may be all there or not, or the end."""

_BETWEEN = re.compile(rb"[ \t\r\n,]*+")
_WHITE = b" \t\r\n"

_QUOTE, _BACKSLASH = b'"\\'
(_OBJECT,) = b"{"
_OPEN, _CLOSE = b"[{", b"]}"
_ARRAY, _ARRAY_END = b"[]"


class JsonItems:
    """Cuts the items out of one body.

    Attributes:
        gap: ``not_json`` if it is none, and nothing more is read; ``json_cut`` if it was
            over before it should; empty if all is well.
        items: items that were told.
        oversized: items that were passed over since they were over the limit.
    """

    __slots__ = (
        "_depth",
        "_held",
        "_in_array",
        "_in_item",
        "_in_string",
        "_limit",
        "_losing",
        "_scanned",
        "_take",
        "gap",
        "items",
        "oversized",
    )

    def __init__(self, take: Callable[[bytes], None], limit: int) -> None:
        """A reader at the start of a body.

        Args:
            take: gets each item, without the white space around it.
            limit: bytes that an item may have.
        """
        self._take = take
        self._limit = limit
        self._held = bytearray()
        self._scanned = 0
        self._depth = 0
        self._in_array = False
        self._in_item = False
        self._in_string = False
        self._losing = False
        self.gap = ""
        self.items = 0
        self.oversized = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self.gap:
            return
        held = self._held
        whole: bytes | bytearray = data
        if held:
            held += data
            whole = held
        start, at, end = 0, self._scanned, len(whole)
        while at < end:
            if self._in_item:
                over = self._within(whole, at, end)
                at = self._scanned
                if not over:
                    break
                self._tell(whole, start, at)
            else:
                at = self._between(whole, at, end)
            start = at
        self._hold(whole, start, at)

    def end(self) -> None:
        """The body is over; it may turn out to be cut."""
        if not self.gap and (self._in_item or self._in_array):
            self.gap = JSON_CUT
        self._held.clear()

    def close(self) -> None:
        """No more will be fed; whoever takes the items, and may know us, is forgotten."""
        del self._take

    def _hold(self, whole: bytes | bytearray, start: int, at: int) -> None:
        """Keep the item that is not over, which was looked at up to ``at``."""
        if self._losing or at - start > self._limit:
            self._losing = True
            start = at
        if whole is self._held:
            del self._held[:start]
        else:
            self._held += whole[start:]
        self._scanned = at - start

    def _between(self, whole: bytes | bytearray, at: int, end: int) -> int:
        """Go to the next item; returns where it begins, or where to look on."""
        at = _end_of(_BETWEEN, whole, at)
        if at == end:
            return at
        byte = whole[at]
        if byte == _OBJECT or (self._in_array and byte not in _CLOSE):
            self._in_item = True
            return at
        if byte == (_ARRAY_END if self._in_array else _ARRAY):
            self._in_array = not self._in_array
            return at + 1
        self.gap = NOT_JSON
        return end

    def _within(self, whole: bytes | bytearray, at: int, end: int) -> bool:
        """Go to the end of the item, or of what is there; returns whether it is over."""
        while at < end:
            if self._in_string:
                at = _end_of(_STRING, whole, at)
                if at == end or (whole[at] == _BACKSLASH and at + 1 == end):
                    break
                if whole[at] == _QUOTE:
                    self._in_string = False
                    at += 1
                continue
            at = _end_of(_WITHIN if self._depth else _SCALAR, whole, at)
            if at == end:
                break
            at = self._bracket(whole[at], at)
            if not self._in_item:
                break
        self._scanned = at
        return not self._in_item

    def _bracket(self, byte: int, at: int) -> int:
        """Take what ended a run; returns where the next one begins."""
        if byte == _QUOTE:
            self._in_string = True
        elif byte in _OPEN:
            self._depth += 1
        elif self._depth > 1:
            self._depth -= 1
        else:
            self._in_item = False
            # What ends a scalar does not belong to it.
            at -= not self._depth
            self._depth = 0
        return at + 1

    def _tell(self, whole: bytes | bytearray, start: int, end: int) -> None:
        """An item is whole."""
        if self._losing or end - start > self._limit:
            self._losing = False
            self.oversized += 1
            return
        self.items += 1
        self._take(bytes(whole[start:end]).rstrip(_WHITE))


def _end_of(run: re.Pattern[bytes], whole: bytes | bytearray, at: int) -> int:
    found = run.match(whole, at)
    assert found is not None  # These patterns may also match nothing.
    return found.end()
