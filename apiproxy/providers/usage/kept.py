"""An answer that is short enough to be kept, and is read when there is time.

Nearly all answers that are no stream are one small document, and nobody waits for what it has
used. Read a few dozen at a time (see ``telemetry.batch``), and by ``briefs``, it costs a tenth
of what it costs in between. What turns out to be long, or does not end well, goes to
``AnswerCopy``, as everything else does.
"""

from collections.abc import Callable

from apiproxy.core.usage import AnswerReader, Demand, Record
from apiproxy.core.values import Fields, first
from apiproxy.providers.usage.answer import AnswerCopy
from apiproxy.providers.usage.briefs import read_brief

MOST_KEPT = 64 * 1024
"""Bytes of an answer that is kept."""


def is_document(fields: Fields) -> bool:
    """Whether an answer of unknown length, with these header lines, is no stream."""
    kind = first(fields, b"content-type") or b""
    return kind.startswith(b"application/json")


class Kept:
    """One answer; see ``AnswerReader``.

    Attributes:
        whole: whether all that came is here, so that ``read`` can tell what is in it.
    """

    __slots__ = ("_demand", "_done", "_fields", "_held", "_reader", "whole")

    def __init__(
        self, demand: Demand, fields: Fields, done: Callable[[Record], None]
    ) -> None:
        """An answer that has just begun.

        Args:
            demand: what was asked.
            fields: its header lines.
            done: gets the record of an answer that could not be kept, once.
        """
        self._demand = demand
        self._fields = fields
        self._done = done
        self._held = bytearray()
        self._reader: AnswerReader | None = None
        self.whole = True

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        reader = self._reader
        if reader is not None:
            reader.feed(data)
            return
        held = self._held
        held += data
        if len(held) > MOST_KEPT:
            self._hand_over()

    def end(self, gap: str = "") -> None:
        """It was not kept to its end; tell of it now."""
        self._hand_over().end(gap)

    @property
    def can_end(self) -> bool:
        """Whether an ending of ours may follow; never as long as it is kept."""
        reader = self._reader
        return reader is not None and reader.can_end

    @property
    def running(self) -> Record | None:
        """The response, with what is known so far."""
        return self._hand_over().running

    def read(self) -> Record:
        """What the whole body says."""
        found = read_brief(self._held)
        if found is not None:
            return found
        records: list[Record] = []
        self._done = records.append
        self.end()
        return records[0]

    def _hand_over(self) -> AnswerReader:
        """To a reader that does not keep it."""
        reader = self._reader
        if reader is None:
            reader = AnswerCopy(self._demand, self._fields, self._done, closely=False)
            held, self._held = bytes(self._held), bytearray()
            self._reader = reader
            self.whole = False
            if held:
                reader.feed(held)
        return reader

    def __repr__(self) -> str:
        return f"<Kept {len(self._held)} bytes>"
