"""The bodies in which responses come: events, documents, arrays, and what cannot be read.

Each body takes bytes cut anywhere, gives decoded events to a reading, and holds a bounded part
of what it was given. ``end`` says what went wrong, in a word.
"""

import re
from binascii import Error as NotBase64, a2b_base64
from collections.abc import Callable
from typing import Protocol

from apiproxy.core.eventstream import EventStream
from apiproxy.core.json_items import NOT_JSON, JsonItems
from apiproxy.core.sse import EventScanner
from apiproxy.providers.usage.reader import Reading, usage_in
from apiproxy.providers.usage.shapes import Event, Failure, read_event

MAX_DOCUMENT = 8 * 1024 * 1024
"""Bytes of a document, or of one event, that are held."""

EDGE = 64 * 1024
"""Bytes that are kept of the head and of the tail of what is longer."""

TOO_LARGE = "too_large"

_SAMPLES = 2
"""Events that say something, decoded to know what share of such an event is text."""

_MAX_SAMPLED = 16

Over = Callable[[], None]


class Body(Protocol):
    """One body, in the form it has."""

    @property
    def feed(self) -> Callable[[bytes], None]:
        """Takes the next bytes."""

    @property
    def skipped(self) -> int:
        """Bytes of events so far that were not decoded."""

    @property
    def can_end(self) -> bool:
        """Whether an ending of ours may follow."""

    def end(self, whole: bool) -> str:
        """No more will come; ``whole`` if that is all there is. Returns what went wrong."""


class Events:
    """An event stream.

    Attributes:
        feed: takes the next bytes.
    """

    __slots__ = (
        "_closely",
        "_last",
        "_over",
        "_reading",
        "_sampled",
        "_scanner",
        "feed",
    )

    def __init__(self, reading: Reading, over: Over, closely: bool) -> None:
        """A stream of one response.

        Args:
            reading: gets the events.
            over: called when the response has ended.
            closely: whether every event is decoded.
        """
        self._reading = reading
        self._over = over
        self._closely = closely
        self._sampled = 0
        self._last = b""
        self._scanner = EventScanner(self._take, (), MAX_DOCUMENT)
        self.feed = self._scanner.feed

    @property
    def skipped(self) -> int:
        """Bytes of events so far that were not decoded."""
        return self._scanner.skipped

    @property
    def can_end(self) -> bool:
        """Whether an ending of ours may follow."""
        return self._scanner.between_events

    def end(self, whole: bool) -> str:
        """No more will come. The last event may lack its blank line."""
        if whole:
            self._scanner.feed(b"\n\n")
        self._take_last()
        return TOO_LARGE if self._scanner.oversized else ""

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._take_last()
            self._over()
            return
        if self._sampled < 0 and b"usageMetadata" in data and b"Reason" not in data:
            # Its figures are sums so far: only those of the last such event matter.
            self._scanner.skipped += len(data)
            self._last = data
            return
        event = read_event(data)
        if event is None:
            return
        self._last = b""
        if self._reading.take(event, len(data)):
            self._over()
        if self._sampled >= 0 and not self._closely:
            self._sample(data)

    def _sample(self, data: bytes) -> None:
        """See whether enough is known to pass over what only says something."""
        self._sampled += 1
        deltas = self._reading.deltas
        if deltas >= _SAMPLES or (deltas and self._sampled > _MAX_SAMPLED):
            self._sampled = -1
            self._scanner.markers = markers_like(data)

    def _take_last(self) -> None:
        """Decode the event whose figures are the last."""
        data, self._last = self._last, b""
        event = read_event(data) if data else None
        if event is not None and event.usage_metadata is not None:
            self._reading.take_metadata(event.usage_metadata)


_MARKERS = (
    (b'"response.', (b'"response":', b'"error"')),
    (b'"content_block', (b'"usage"', b'"error"')),
    (b'"candidates"', (b'"usageMetadata"', b'Reason"', b'"error"')),
)
_NULLABLE = ((b'"usage"', b"{"), (b'_reason"', b'"'), (b'"error"', b"{"))


def markers_like(sample: bytes) -> tuple[bytes, ...]:
    """What an event has in it that must be decoded.

    Args:
        sample: an event that need not be. What is null in it is looked for with the
            beginning of a value, in the same spelling.
    """
    for sign, markers in _MARKERS:
        if sign in sample:
            return markers
    found = []
    for key, value in _NULLABLE:
        if key + b":null" in sample:
            found.append(key + b":" + value)
        elif key + b": null" in sample:
            found.append(key + b": " + value)
        else:
            found.append(key)
    return tuple(found)


class Items:
    """An array of events, or events one after the other; see ``Body``."""

    __slots__ = ("_items", "_over", "_reading", "feed")

    skipped = 0
    can_end = False

    def __init__(self, reading: Reading, over: Over) -> None:
        self._reading = reading
        self._over = over
        self._items = JsonItems(self._take, MAX_DOCUMENT)
        self.feed = self._items.feed

    def end(self, whole: bool) -> str:
        """No more will come."""
        self._items.end()
        return TOO_LARGE if self._items.oversized else self._items.gap

    def _take(self, data: bytes) -> None:
        event = read_event(data)
        if event is not None and self._reading.take(event, len(data)):
            self._over()


class Messages:
    """Bedrock's stream. What InvokeModel streams has the model's own events in it."""

    __slots__ = ("_closely", "_over", "_reading", "_stream", "feed", "skipped")

    def __init__(self, reading: Reading, over: Over, closely: bool) -> None:
        """See ``Events``."""
        self._reading = reading
        self._over = over
        self._closely = closely
        self._stream = EventStream(self._take, MAX_DOCUMENT)
        self.feed = self._stream.feed
        self.skipped = 0

    @property
    def can_end(self) -> bool:
        """Whether an ending of ours may follow."""
        return self._stream.between_messages

    def end(self, whole: bool) -> str:
        """No more will come."""
        self._stream.end()
        return TOO_LARGE if self._stream.oversized else self._stream.gap

    def _take(self, headers: dict[str, str], payload: bytes) -> None:
        reading = self._reading
        if headers.get(":message-type", "event") != "event":
            word = headers.get(":exception-type") or headers.get(":error-code")
            reading.take(Event(type="error", error=Failure(code=word)), len(payload))
            self._over()
            return
        kind = headers.get(":event-type")
        if (
            kind == "contentBlockDelta"
            and reading.deltas >= _SAMPLES
            and not self._closely
        ):
            self.skipped += len(payload)
            return
        event = read_event(payload)
        if event is not None and event.chunk is not None:
            event = read_event(_unpacked(event.chunk))
        if event is not None:
            # The figures come after the model's own last event.
            reading.take(event, len(payload))
            if kind == "metadata" or event.invocation is not None:
                self._over()


def _unpacked(chunk: str) -> bytes:
    """What base64 holds; nothing if it is none."""
    try:
        return a2b_base64(chunk)
    except (NotBase64, ValueError):
        return b""


_HEAD_WORD = re.compile(
    rb'"(id|model|responseId|modelVersion)"\s*:\s*("[^"\\]{1,200}")'
)
_USAGE = re.compile(rb'"(usage|usageMetadata)"\s*:\s*(?=\{)')


class Document:
    """One JSON object, decoded when it is whole."""

    __slots__ = ("_held", "_reading", "_size", "_tail")

    skipped = 0
    can_end = False

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._held = bytearray()
        self._tail = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        if self._size <= MAX_DOCUMENT:
            self._held += data
            return
        if not self._tail:
            self._tail += self._held[-EDGE:]
            del self._held[EDGE:]
        self._tail += data
        if len(self._tail) > 4 * EDGE:
            del self._tail[:-EDGE]

    def end(self, whole: bool) -> str:
        """No more will come."""
        held, self._held = bytes(self._held), bytearray()
        if self._size > MAX_DOCUMENT:
            return self._take_edges(held, bytes(self._tail[-EDGE:]))
        event = read_event(held) if whole else None
        if event is not None:
            self._reading.take(event, len(held))
            return ""
        items = Items(self._reading, _pass)
        items.feed(held)
        gap = items.end(whole)
        if self._reading.speak().usage is None and b'"embedding"' not in held[:EDGE]:
            self._reading.hear(len(held))
        return gap or ("" if whole else NOT_JSON)

    def _take_edges(self, head: bytes, tail: bytes) -> str:
        """Find the figures of a document that is too long to be held."""
        words = dict(reversed(_HEAD_WORD.findall(head)))
        rest = [b'"%b":%b' % word for word in words.items()]
        for edge in (tail, head):
            for found in reversed(list(_USAGE.finditer(edge))[-8:]):
                objects: list[bytes] = []
                items = JsonItems(objects.append, EDGE)
                items.feed(edge[found.end() :])
                if not objects:
                    continue
                usage = b'"%b":%b' % (found[1], objects[0])
                event = read_event(b"{" + b",".join([usage, *rest]) + b"}")
                if event is not None and _tells(event):
                    self._reading.take(event, 0)
                    return ""
        return TOO_LARGE


def _tells(event: Event) -> bool:
    """Whether an event has figures."""
    if event.usage is not None:
        return usage_in(event.usage) is not None
    return event.usage_metadata is not None


def _pass() -> None:
    pass


class Opaque:
    """What is no JSON: speech, or a transcript as plain text."""

    __slots__ = ("_reading", "_text")

    skipped = 0
    can_end = False

    def __init__(self, reading: Reading, text: bool) -> None:
        self._reading = reading
        self._text = text

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._text:
            self._reading.hear(len(data))

    def end(self, whole: bool) -> str:
        """No more will come."""
        return NOT_JSON
