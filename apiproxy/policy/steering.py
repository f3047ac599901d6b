"""Telling a model that its time or its budget ends, so that it comes to one itself.

At 80, 90, 95 and 99 % a sentence is put where a request has its instructions. Each is
delivered once, and only the highest that is due: who hears at 96 % need not hear of 80. It
counts as delivered when the request that carries it has left; a request that was refused after
all gives it back. While one request carries a sentence, another one does not.

Where the sentence goes is an ``Edit`` of the body, which is applied to its bytes, so that
everything else stays as it is.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from apiproxy.core.splice import (
    Span,
    SpliceError,
    find,
    insert_item,
    insert_member,
    replace,
)
from apiproxy.policy.ledger import Entry, Standing
from apiproxy.policy.rules import Steering

Kind = Literal["time", "token"]

Shape = Literal["chat", "responses", "messages", "gemini"]
"""The kinds of request body: OpenAI's two, Anthropic's and Google's."""

THRESHOLDS = (80, 90, 95, 99)

_TEXTS: Mapping[Kind, Mapping[int, str]] = {
    "time": {
        80: "80% of your time is used. Start wrapping up.",
        90: "90% of your time is used. Finish the task and prepare your output.",
        95: "95% of your time is used. Finalise your output now.",
        99: "99% of your time is used; you are about to time out. Submit at once.",
    },
    "token": {
        80: "80% of your budget is used. Start wrapping up.",
        90: "90% of your budget is used. Finish the task and prepare your output.",
        95: "95% of your budget is used. Finalise your output now.",
        99: "99% of your budget is used; you are about to be cut off. Submit at once.",
    },
}


class Due(Struct, frozen=True):
    """A sentence that a request carries.

    Attributes:
        kind: whether it is about time or the budget.
        threshold: percent that have been reached.
        text: with the prefix by which agents know it.
    """

    kind: Kind
    threshold: int
    text: str


class Warnings:
    """What a run has been told."""

    def __init__(
        self, rules: Steering, started: float, seconds: Callable[[], float]
    ) -> None:
        """Nothing yet.

        Args:
            rules: whether anything is said.
            started: clock seconds at which the agent's time began.
            seconds: the clock.
        """
        self._rules = rules
        self._started = started
        self._seconds = seconds
        self._delivered: dict[Kind, int] = {}
        self._carried: dict[Kind, int] = {}

    def use(self, rules: Steering) -> None:
        """Go by these rules from now on; what was said stays said."""
        self._rules = rules

    def due(self, used: float) -> list[Due]:
        """The sentences that a request is to carry, that about time first.

        Each of them must be given to ``left`` or ``returned``, whatever becomes of it.

        Args:
            used: of the budget, from 0 to 1 and above; see ``most_used``.
        """
        if not self._rules.enabled:
            return []
        parts: dict[Kind, float] = {"time": self._time(), "token": used}
        return [
            self._carry(kind, threshold)
            for kind, part in parts.items()
            if (threshold := _reached(part)) > self._heard(kind)
        ]

    def _time(self) -> float:
        minutes = self._rules.minutes
        if minutes is None:
            return 0.0
        return (self._seconds() - self._started) / (60 * minutes)

    def _heard(self, kind: Kind) -> int:
        return max(self._delivered.get(kind, 0), self._carried.get(kind, 0))

    def _carry(self, kind: Kind, threshold: int) -> Due:
        self._carried[kind] = threshold
        text = f"[AWF {kind.upper()} WARNING] {_TEXTS[kind][threshold]}"
        return Due(kind, threshold, text)

    def left(self, due: Due) -> None:
        """The request that carries it has left."""
        delivered = self._delivered.get(due.kind, 0)
        self._delivered[due.kind] = max(delivered, due.threshold)
        self.returned(due)

    def returned(self, due: Due) -> None:
        """It was not carried after all."""
        if self._carried.get(due.kind) == due.threshold:
            del self._carried[due.kind]


def _reached(part: float) -> int:
    """The highest threshold that has been reached; 0 for none."""
    return max((each for each in THRESHOLDS if part * 100 >= each), default=0)


def most_used(
    entries: Iterable[Entry], standings: Mapping[tuple[str, str], Standing]
) -> float:
    """How much of the budget is used of which least is left, from 0 to 1 and above.

    Args:
        entries: of a claim, with the caps that are configured.
        standings: of its accounts, with those of an operator.
    """
    used = 0.0
    for entry in entries:
        key = entry.account, entry.measure
        standing = standings.get(key, Standing(*key))
        cap = entry.cap if standing.cap is None else standing.cap
        if cap and entry.measure in ("tokens", "money"):
            used = max(used, standing.spent / cap)
    return used


class Edit(Struct, frozen=True):
    """One change of a JSON body.

    Attributes:
        how: ``set`` gives the member at the path this value, and adds it where there is
            none; ``insert`` puts the value into the array at the path; ``append`` adds the
            value, text, to the string there.
        path: the keys that lead there from the outermost object.
        value: what JSON can say.
        index: how many items stand before one that is inserted.
    """

    how: Literal["set", "insert", "append"]
    path: tuple[str, ...]
    value: object
    index: int = 0

    def apply(self, body: bytes) -> bytes:
        """The body with this change; all other bytes stay as they are.

        Raises:
            SpliceError: the body is not the one that this was made for.
        """
        value = json.dumps(self.value).encode()
        if self.how == "insert":
            return insert_item(body, self.path, self.index, value)
        span = find(body, self.path)
        if self.how == "set" and span is None:
            return insert_member(body, self.path[:-1], self.path[-1], value)
        if span is None:
            raise SpliceError("no such string")
        if self.how == "set":
            return replace(body, span, value)
        return replace(body, Span(span.end - 1, span.end - 1), value[1:-1])


# Any: a body is whatever the agent has sent; every step looks at what it has got.
Body = Mapping[str, Any]


def place(
    shape: Shape, body: Body, text: str, within: tuple[str, ...] = ()
) -> Edit | None:
    """Where a sentence goes in a request.

    Args:
        shape: of the request.
        body: its JSON object.
        text: the sentence.
        within: the keys that lead to that object, where it is not the whole body.

    Returns:
        None if there is no place for it.
    """
    edit = _PLACES[shape](body, text)
    if edit is None:
        return None
    return Edit(edit.how, (*within, *edit.path), edit.value, edit.index)


def _chat(body: Body, text: str) -> Edit | None:
    """After the last system message, or before all others."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    return Edit("insert", ("messages",), _said(text), _after_system(messages))


def _said(text: str) -> dict[str, str]:
    """A message of the system."""
    return {"role": "system", "content": text}


def _after_system(items: list[Any]) -> int:
    """The index behind the last item that comes from the system."""
    roles = [item.get("role") if isinstance(item, dict) else None for item in items]
    found = [at for at, role in enumerate(roles) if role in ("system", "developer")]
    return found[-1] + 1 if found else 0


def _responses(body: Body, text: str) -> Edit | None:
    """To the instructions, or as an item of the input.

    Instructions that are not there are not made up where a stored prompt has its own.
    """
    instructions, items = body.get("instructions"), body.get("input")
    if isinstance(instructions, str):
        return Edit("append", ("instructions",), f"\n\n{text}")
    if isinstance(items, list):
        return Edit("insert", ("input",), _said(text), _after_system(items))
    if instructions is None and body.get("prompt") is None:
        return Edit("set", ("instructions",), text)
    return None


def _messages(body: Body, text: str) -> Edit | None:
    """To the system prompt: a string, a list of blocks, or none yet."""
    system = body.get("system")
    if isinstance(system, str) and system:
        return Edit("append", ("system",), f"\n\n{text}")
    if isinstance(system, list):
        block = {"type": "text", "text": text}
        return Edit("insert", ("system",), block, len(system))
    return Edit("set", ("system",), text)


def _gemini(body: Body, text: str) -> Edit | None:
    """To the parts of the system instruction, in either spelling."""
    name = "systemInstruction"
    if name not in body and "system_instruction" in body:
        name = "system_instruction"
    instruction, part = body.get(name), {"text": text}
    if not isinstance(instruction, dict):
        return Edit("set", (name,), {"parts": [part]})
    parts = instruction.get("parts")
    if isinstance(parts, list):
        return Edit("insert", (name, "parts"), part, len(parts))
    if isinstance(parts, dict):  # protobuf's JSON takes one for a list of one
        return Edit("set", (name, "parts"), [parts, part])
    return Edit("set", (name, "parts"), [part])


_PLACES: Mapping[Shape, Callable[[Body, str], Edit | None]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "gemini": _gemini,
}
