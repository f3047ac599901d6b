"""Event streams (WHATWG HTML, section 9.2.6), scanned as they pass.

A stream of a model has hundreds of events, and whoever meters it wants two or three. So the
scanner is told markers, some bytes that every wanted event has in it, and an event without
any of them is passed over unparsed. Mostly what arrives is one or more whole events, and
then one look for each marker is all it costs: some 300 ns for one event, less than a compiled
alternation, which reads 7 ns a byte. It may be told how unwanted events begin as well, which
is cheaper still: lines are counted in next to no time.

An event ends with a blank line. Lines end with CR LF, LF or CR, so an event is over exactly
where two LF, two CR, or LF and CR meet: no CR LF has these in it. The LF that may follow is
taken for one more blank line, which before an event means nothing.

Bytes may be cut anywhere. At most ``limit`` bytes of one event are held.
"""

import re
from collections.abc import Callable

_END = re.compile(rb"[\n\r]\r|\n\n")
_DATA = re.compile(rb"(?:\A|[\n\r])data(?:: ?([^\n\r]*+))?(?![^\n\r])")
_LINES = 3
"""Of an event with a name: that, the data, and the blank one. Two events have more."""

_BLANK = (b"\n\n", b"\r\n\r\n")

_LINE_ENDS = b"\r\n"
_BOM = b"\xef\xbb\xbf"


class EventScanner:
    """Takes the wanted events out of one stream.

    Attributes:
        markers, unwanted: as given; may be changed at any time.
        wanted: events that were told.
        skipped: bytes of events that were passed over since they had no marker, and of blank
            lines between events.
        oversized: events that were passed over since they were over the limit.
    """

    __slots__ = (
        "_begun",
        "_held",
        "_limit",
        "_losing",
        "_take",
        "markers",
        "oversized",
        "skipped",
        "unwanted",
        "wanted",
    )

    def __init__(
        self,
        take: Callable[[bytes], None],
        markers: tuple[bytes, ...],
        limit: int,
        unwanted: tuple[bytes, ...] = (),
    ) -> None:
        """A scanner at the start of a stream.

        Args:
            take: gets the data of each wanted event, its lines joined with LF.
            markers: an event with any of these in it, anywhere, is wanted; none for all.
            limit: bytes that an event may have.
            unwanted: an event that begins with any of these is not wanted, whatever else
                is in it, such as ``event: content_block_delta``.
        """
        self._take = take
        self.unwanted = unwanted
        self.markers = markers or (b"",)
        self._limit = limit
        self._held = bytearray()
        self._losing = False
        self._begun = False
        self.wanted = 0
        self.skipped = 0
        self.oversized = 0

    @property
    def between_events(self) -> bool:
        """Whether what was taken ends between two events."""
        return not self._held and not self._losing

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        if (
            (data[-2:] == b"\n\n" or data[-4:] == b"\r\n\r\n")
            and not self._held
            and len(data) <= self._limit
        ):
            if (
                self.unwanted
                and data.startswith(self.unwanted)
                and data.count(b"\n") == _LINES
                and b"\r" not in data
            ):
                self.skipped += len(data)
                self._begun = True
                return
            find = data.find  # ``in`` raises an error inside, before it looks for bytes
            for marker in self.markers:
                if find(marker) >= 0:
                    break
            else:
                self.skipped += len(data)
                self._begun = True
                return
            plain = _plain(data)
            if plain is not None:
                self._begun = True
                self.wanted += 1
                self._take(plain)
                return
        self._read(data)

    def close(self) -> None:
        """No more will be fed; whoever takes the events, and may know us, is forgotten."""
        del self._take

    def _read(self, data: bytes) -> None:
        """Take events out one by one, and hold the beginning of the last."""
        at = 0
        if self._held:
            # The blank line may have been cut in two.
            at = len(self._held) - 1
            self._held += data
            if _END.search(self._held, at) is None:
                self._check_held()
                return
            data = bytes(self._held)
            self._held.clear()
        start = 0
        for end in _END.finditer(data, at):
            self._event(data[start : end.end()])
            start = end.end()
        self._held += self._strip(data[start:])
        self._check_held()

    def _check_held(self) -> None:
        """Let go of an event that is too large, but for the byte that may begin its end."""
        if self._losing or len(self._held) > self._limit:
            self._losing = True
            del self._held[:-1]

    def _strip(self, event: bytes) -> bytes:
        """Leave out blank lines before an event."""
        text = event.lstrip(_LINE_ENDS)
        if len(text) < len(event):
            self._begun = True
            self.skipped += len(event) - len(text)
        return text

    def _event(self, event: bytes) -> None:
        """One event, with the blank line that ends it."""
        if self._losing:
            self._losing = False
            self.oversized += 1
            return
        event = self._strip(event)
        first, self._begun = not self._begun, True
        if len(event) > self._limit:
            self.oversized += 1
        elif event.startswith(self.unwanted) or not any(
            marker in event for marker in self.markers
        ):
            self.skipped += len(event)
        else:
            data = _data_of(
                event[len(_BOM) :] if first and event[:3] == _BOM else event
            )
            if data is not None:
                self.wanted += 1
                self._take(data)


def _plain(event: bytes) -> bytes | None:
    """The data of one event in its usual form; None for every other.

    That is a line of data and a blank line, with or without a line that names it before.
    """
    lines = event.count(b"\n")
    if b"\r" in event:
        usual = lines == event.count(b"\r") == _LINES - 1 and event[-4:] == _BLANK[1]
        return event[6:-4] if usual and event.startswith(b"data: ") else None
    if lines == _LINES - 1 and event.startswith(b"data: "):
        return event[6:-2]
    if lines == _LINES and event.startswith(b"event: "):
        at = event.find(b"\ndata: ")
        return event[at + 7 : -2] if at > 0 else None
    return None


def _data_of(event: bytes) -> bytes | None:
    """The data of an event; None if it has none, and therefore is none."""
    lines = _DATA.finditer(event)
    line = next(lines, None)
    if line is None:
        return None
    data: bytes = line[1] or b""
    joined: bytearray | None = None
    # One by one: a list of all lines could be many times as large as the event.
    for line in lines:
        if joined is None:
            joined = bytearray(data)
        joined += b"\n"
        joined += line[1] or b""
    return data if joined is None else bytes(joined)
