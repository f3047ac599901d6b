"""Bodies that are read when they are over: a document, and what is none.

A document may be longer than what is held of it: vectors, or images in base64. Its figures
stand near one of its ends, and are looked for there.
"""

import re

from apiproxy.core.json_items import NOT_JSON, JsonItems
from apiproxy.providers.usage.bodies import MAX_DOCUMENT, TOO_LARGE, Items
from apiproxy.providers.usage.reader import Reading, usage_in
from apiproxy.providers.usage.shapes import Event, read_event

EDGE = 64 * 1024
"""Bytes that are kept of the head and of the tail of what is longer."""

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
        items.close()
        if self._reading.speak().usage is None and b'"embedding"' not in held[:EDGE]:
            self._reading.hear(len(held))
        return gap or ("" if whole else NOT_JSON)

    def close(self) -> None:
        """It knows nobody."""

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

    def close(self) -> None:
        """It knows nobody."""
