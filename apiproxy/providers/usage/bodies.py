"""The bodies in which responses are streamed: events, arrays, and Bedrock's messages.

Each body takes bytes cut anywhere, gives decoded events to a reading, and holds a bounded part
of what it was given. ``end`` says what went wrong, in a word.
"""

from binascii import Error as NotBase64, a2b_base64
from collections.abc import Callable
from typing import Protocol

from apiproxy.core.eventstream import EventStream
from apiproxy.core.json_items import JsonItems
from apiproxy.core.sse import EventScanner
from apiproxy.providers.usage.reader import Reading
from apiproxy.providers.usage.shapes import Event, Failure, read_event

MAX_DOCUMENT = 8 * 1024 * 1024
"""Bytes of a document, or of one event, that are held."""

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

    def close(self) -> None:
        """Know nobody any more."""


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

    def close(self) -> None:
        """Know nobody any more."""
        self._scanner.close()

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._take_last()
            self._over()
            return
        if (
            self._scanner.markers is _GOOGLE
            and b"usageMetadata" in data
            and b"Reason" not in data
        ):
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
            self._sample(event, data)

    def _sample(self, event: Event, data: bytes) -> None:
        """See whether enough is known to pass over what only says something."""
        self._sampled += 1
        deltas = self._reading.deltas
        if deltas >= _SAMPLES or (deltas and self._sampled > _MAX_SAMPLED):
            self._sampled = -1
            self._scanner.markers = markers_like(event, data)

    def _take_last(self) -> None:
        """Decode the event whose figures are the last."""
        data, self._last = self._last, b""
        event = read_event(data) if data else None
        if event is not None and event.usage_metadata is not None:
            self._reading.take_metadata(event.usage_metadata)


_RESPONSES = (b'"response":', b'"error"')
_MESSAGES = (b'"usage"', b'"error"', b'"content_block_st')
"""The last is how a block starts and stops, which whoever cuts the stream must know."""
_GOOGLE = (b'"usageMetadata"', b'Reason"', b'"error"')
_NULLABLE = ((b'"usage"', b"{"), (b'_reason"', b'"'), (b'"error"', b"{"))


def markers_like(event: Event, sample: bytes) -> tuple[bytes, ...]:
    """What an event has in it that must be decoded.

    Args:
        event: one that need not be. Its dialect is told by what it says itself: its bytes
            are half the model's own words, and could be those of any dialect.
        sample: its bytes. What is null in it is looked for with the beginning of a value,
            in the same spelling.
    """
    kind = event.type or ""
    if kind.startswith("response."):
        return _RESPONSES
    if kind.startswith("content_block"):
        return _MESSAGES
    if event.candidates is not None or event.usage_metadata is not None:
        return _GOOGLE
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

    def close(self) -> None:
        """Know nobody any more."""
        self._items.close()

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

    def close(self) -> None:
        """Know nobody any more."""
        self._stream.close()

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
