"""One HTTP answer, read on a copy: which body it has, and when its response is over.

What is no success and what makes no model work is not read. The form of a body is seen in its
first bytes rather than in its content type, which gateways get wrong.
"""

from collections.abc import Callable

from apiproxy.core.inflate import Inflate
from apiproxy.core.json_items import NOT_JSON
from apiproxy.core.usage import Demand, Record
from apiproxy.core.values import Fields, first, joined
from apiproxy.providers.usage.bedrock import header_usage
from apiproxy.providers.usage.bodies import Body, Events, Items, Messages
from apiproxy.providers.usage.documents import Document, Opaque
from apiproxy.providers.usage.reader import Reading

MAX_INFLATED = 1 << 30
"""Bytes that an answer may inflate to. They are read as they come, and not kept."""

_BEGINS_EVENTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LONGEST_BEGIN = 6
_LONGEST_BLANK = 1024
_BLANK = b"\xef\xbb\xbf \t\r\n"


def open_answer(
    demand: Demand,
    status: int,
    fields: Fields,
    done: Callable[[Record], None],
    closely: bool = False,
) -> "AnswerCopy | None":
    """A reader for an answer whose head has come.

    Args:
        demand: what was asked.
        status: of the answer.
        fields: its header lines.
        done: gets the record, once.
        closely: whether ``running`` must be exact at any time; costs more.

    Returns:
        None for an answer in which there is nothing to be metered.
    """
    if not demand.inference or not 200 <= status < 300:
        return None
    return AnswerCopy(demand, fields, done, closely)


class AnswerCopy:
    """Reads one answer; see ``AnswerReader``.

    Attributes:
        feed: takes the next bytes of the body, encoded as they came, cut anywhere. Once the
            form of a body without encoding is known, this is that body's own.
    """

    __slots__ = (
        "_begin",
        "_body",
        "_closely",
        "_done",
        "_fields",
        "_inflate",
        "_kind",
        "_over",
        "_raw",
        "_reading",
        "feed",
    )

    feed: Callable[[bytes], None]

    def __init__(
        self,
        demand: Demand,
        fields: Fields,
        done: Callable[[Record], None],
        closely: bool,
    ) -> None:
        """See ``open_answer``."""
        encoding = joined(fields, b"content-encoding")
        kind = first(fields, b"content-type") or b""
        self._kind = kind.partition(b";")[0].strip().lower()
        self._fields = fields
        self._done = done
        self._closely = closely
        self._over = False
        self._raw = 0
        self._begin = b""
        self._body: Body | None = None
        self._reading = Reading(demand)
        self._inflate = Inflate(encoding, self._take, MAX_INFLATED)
        self.feed = self._take if self._inflate.identity else self._take_encoded

    def end(self, gap: str = "") -> None:
        """The body is complete; or it is not, for this reason."""
        self._inflate.end()
        if not self._over:
            self._finish(gap)
        body, self._body = self._body, None
        if body is not None:
            body.close()  # so that nothing lives on

    def _finish(self, gap: str) -> None:
        inflate = self._inflate
        whole = not gap and not inflate.gap
        if self._body is None and whole:
            self._open(self._begin)
        wrong = self._body.end(whole) if self._body is not None else ""
        self._deliver(gap or inflate.gap or wrong)

    @property
    def running(self) -> Record | None:
        """The response that is being read, with what is known so far; None for none."""
        if self._over:
            return None
        self._reading.skipped = self._skipped
        return self._reading.speak()

    @property
    def can_end(self) -> bool:
        """Whether an ending of ours may follow what has come so far.

        That is between two events of a stream that is not encoded. Behind the last event of
        a response nobody looks at what comes, and so nobody knows.
        """
        body = self._body
        if body is None or self._over:
            return False
        return self._inflate.identity and body.can_end

    @property
    def _skipped(self) -> int:
        """Bytes that were not decoded."""
        return self._raw if self._body is None else self._body.skipped

    def _take_encoded(self, data: bytes) -> None:
        """Take the next bytes, encoded."""
        self._raw += len(data)
        self._inflate.feed(data)

    def _take(self, data: bytes) -> None:
        """Take what was in the body."""
        if self._body is not None:
            if not self._over:
                self._body.feed(data)
            return
        begin = self._begin + data
        if len(begin.lstrip(_BLANK)) >= _LONGEST_BEGIN:
            self._open(begin)
        else:  # all but a few bytes are blank, and of those no number matters
            self._begin = begin[-_LONGEST_BLANK:]

    def _open(self, begin: bytes) -> None:
        self._begin = b""
        self._body = self._form(begin.lstrip(_BLANK))
        if self._inflate.identity:
            self.feed = self._body.feed
        self._body.feed(begin)

    def _form(self, begin: bytes) -> Body:
        """The form of a body that begins so."""
        reading = self._reading
        if self._kind == b"application/vnd.amazon.eventstream":
            return Messages(reading, self._deliver, self._closely)
        if begin.startswith(b"{"):
            return Document(reading)
        if begin.startswith(b"["):
            return Items(reading, self._deliver)
        if self._kind == b"text/event-stream" or begin.startswith(_BEGINS_EVENTS):
            return Events(reading, self._deliver, self._closely)
        return Opaque(reading, self._kind.startswith(b"text/"))

    def _deliver(self, gap: str = "") -> None:
        """Hand the record on."""
        if self._over:
            return
        self._over = True
        self.feed = _pass_over
        self._reading.skipped = self._skipped
        record = self._reading.speak()
        if record.usage is None:
            record.usage = header_usage(self._fields)
        record = self._reading.close("" if gap == NOT_JSON and record.usage else gap)
        self._done(record)

    def __repr__(self) -> str:
        return f"<AnswerCopy {'over' if self._over else self._reading!r}>"


def _pass_over(data: bytes) -> None:
    pass
