"""Questions that the front has for all workers, such as what they have under way.

One that has ended meanwhile has nothing to say, and one that does not answer in time is left
out: an operator who wants to end something must not wait for a process that is stuck.
"""

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apiproxy.workers.messages import Message

PATIENCE_SECONDS = 1.0


class Member(Protocol):
    """A worker that can be asked."""

    @property
    def number(self) -> int:
        """Its number."""

    def send(self, message: Message) -> None:
        """Ask it."""


@define
class _Open:
    """A question that not all have answered."""

    # Any: what the answers to one question are; ``ask`` gives it a type.
    answer: "Deferred[list[Any]]"
    timer: IDelayedCall
    awaited: set[int]
    said: list[Any] = field(factory=list)


class Questions:
    """Those that are open."""

    def __init__(self, clock: IReactorTime) -> None:
        """There is none.

        Args:
            clock: for patience.
        """
        self._clock = clock
        self._ids = count(1)
        self._open: dict[int, _Open] = {}

    def ask(
        self, members: Iterable[Member], make: Callable[[int], Message]
    ) -> "Deferred[list[Any]]":
        """Ask.

        Args:
            members: the workers.
            make: makes the message, with the id that comes back with the answer.

        Returns:
            What they have said, when all have, or as far as they have in time.
        """
        asked = list(members)
        number = next(self._ids)
        answer: Deferred[list[Any]] = Deferred()
        timer = self._clock.callLater(PATIENCE_SECONDS, self._end, number)
        awaited = {member.number for member in asked}
        self._open[number] = _Open(answer, timer, awaited)
        for member in asked:
            member.send(make(number))
        self._look(number)
        return answer

    def heard(self, worker: int, number: int, said: object) -> None:
        """A worker has answered."""
        question = self._open.get(number)
        if question is not None and worker in question.awaited:
            question.awaited.discard(worker)
            question.said.append(said)
            self._look(number)

    def gone(self, worker: int) -> None:
        """A worker has ended, and will not answer."""
        for number, question in list(self._open.items()):
            question.awaited.discard(worker)
            self._look(number)

    def _look(self, number: int) -> None:
        if not self._open[number].awaited:
            self._end(number)

    def _end(self, number: int) -> None:
        question = self._open.pop(number)
        if question.timer.active():
            question.timer.cancel()
        question.answer.callback(question.said)

    def __repr__(self) -> str:
        return f"<Questions, {len(self._open)} open>"
