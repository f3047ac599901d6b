"""Changes of a request that rules make before it leaves: warnings, and a wish for usage.

Every change is a splice of the bytes (``core.splice``): all that is not meant stays as it was
sent. A body that cannot be edited, because it is encoded or no JSON, stays as it is, and then
its warnings are not delivered. But one whose usage must be asked for, and cannot, is refused:
a stream without usage would hide what was thought and not said.
"""

import msgspec

from apiproxy.core.errors import BodyUnreadable
from apiproxy.core.inflate import read_codings
from apiproxy.core.json_weight import is_heavy
from apiproxy.core.splice import SpliceError, find, insert_member, replace
from apiproxy.core.usage import Demand
from apiproxy.policy.rules import Rules
from apiproxy.policy.steering import Due, Shape, Warnings, place


class Edited(msgspec.Struct, frozen=True):
    """A body that may leave.

    Attributes:
        body: as it is sent.
        dues: the warnings in it.
    """

    body: bytes
    dues: tuple[Due, ...] = ()


class Editor:
    """Edits requests by the rules in force."""

    def __init__(self, rules: Rules, warnings: Warnings) -> None:
        self._warnings = warnings
        self._steers = rules.steering.enabled
        self._asks_usage = rules.budgets.asks_usage
        self._may_ask = rules.budgets.include_usage == "auto"

    def asks_usage(self, *, limited: bool) -> bool:
        """Whether streams of chat completions are asked for their usage.

        Args:
            limited: whether tokens or money are limited otherwise than by the rules: by an
                operator, or for the caller alone.
        """
        return self._asks_usage or (limited and self._may_ask)

    @property
    def steers(self) -> bool:
        """Whether models are warned."""
        return self._steers

    def check(
        self, shape: str, demand: Demand, encoding: bytes, *, limited: bool = False
    ) -> None:
        """See that usage can be asked for, where it has to be.

        Args:
            shape: of the request.
            demand: what it asks.
            encoding: its ``Content-Encoding``, empty for none.
            limited: see ``asks_usage``.

        Raises:
            BodyUnreadable: it cannot.
        """
        if shape != "chat" or not demand.inference:
            return
        if not self.asks_usage(limited=limited):
            return
        if demand.unreadable:
            raise _unreadable(demand.unreadable)
        if demand.stream and read_codings(encoding):
            raise _unreadable("content_encoding")

    def edit(
        self,
        shape: Shape,
        body: bytes,
        *,
        stream: bool,
        used: float,
        limited: bool = False,
    ) -> Edited:
        """A request, with all changes.

        Args:
            shape: of the request.
            body: as it came, without encoding.
            stream: whether its answer is wanted as a stream.
            used: of the budget, from 0 to 1 and above.
            limited: see ``asks_usage``.

        Raises:
            BodyUnreadable: usage must be asked for, and the body is nested too deep or has
                too many values.
        """
        if stream and shape == "chat" and self.asks_usage(limited=limited):
            body = _with_usage(body)
        dues = self._warnings.due(used) if self._steers else []
        carried = []
        for due in dues:
            warned = _warned(shape, body, due.text)
            if warned is None:
                self._warnings.returned(due)
            else:
                body = warned
                carried.append(due)
        return Edited(body, tuple(carried))

    def over(self, dues: tuple[Due, ...], *, left: bool) -> None:
        """The request is over; whether it had left."""
        for due in dues:
            if left:
                self._warnings.left(due)
            else:
                self._warnings.returned(due)


def _warned(shape: Shape, body: bytes, text: str) -> bytes | None:
    """With a warning; None if there is no place for it."""
    if is_heavy(body):
        return None
    try:
        edit = place(shape, msgspec.json.decode(body, type=dict), text)
        return None if edit is None else edit.apply(body)
    except (SpliceError, msgspec.DecodeError, ValueError, RecursionError):
        return None


def _with_usage(body: bytes) -> bytes:
    """With ``stream_options.include_usage``, whatever the agent has said of it."""
    if is_heavy(body):  # a step for each bracket, and others wait meanwhile
        raise _unreadable("too_many_values")
    wish = "include_usage"
    try:
        span = find(body, ("stream_options",))
        if span is None:
            return insert_member(body, (), "stream_options", b'{"include_usage":true}')
        options = body[span.begin : span.end]
        if not options.startswith(b"{"):
            return replace(body, span, b'{"include_usage":true}')
        said = find(options, (wish,))
        if said is None:
            return replace(body, span, insert_member(options, (), wish, b"true"))
        return replace(body, span, replace(options, said, b"true"))
    except SpliceError:
        raise _unreadable("nested_too_deep") from None


def _unreadable(why: str) -> BodyUnreadable:
    return BodyUnreadable(
        "There is a budget here, and this stream cannot be asked for its usage:"
        f" {why}; see APIPROXY_INCLUDE_USAGE.",
        details={"reason": why},
    )
