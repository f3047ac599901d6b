"""The figures of all workers, called in when somebody asks.

Whoever asks gets figures that were taken after the question: one round goes out at a time,
and those who ask meanwhile share the next. A worker that does not answer within a second is
shown as it was when it was last heard, so that no counter goes back; so is what workers had
counted that are gone. How much such a worker may have counted since is bounded, because a
round goes out every few seconds, whether anybody asks or not.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apiproxy.telemetry.report import Report
from apiproxy.workers.messages import Tell

PATIENCE_SECONDS = 1.0
ROUND_SECONDS = 5.0

_MOST_MISSED = 6
"""Regular rounds that a worker may let go by. They are counted, and not the seconds, because
those also pass while all processes stand still together."""


class Member(Protocol):
    """A worker that can be asked."""

    @property
    def number(self) -> int:
        """Its number."""

    def send(self, message: Tell) -> None:
        """Ask it."""


class Roll:
    """Calls in the figures.

    Attributes:
        silences: how often a worker did not answer in time.
        silent: those that have not answered yet, though it is time.
    """

    def __init__(
        self,
        clock: IReactorTime,
        members: Callable[[], Iterable[Member]],
        blank: Callable[[], Report],
        stuck: Callable[[int], None],
    ) -> None:
        """A roll that nobody has called yet.

        Args:
            clock: for patience.
            members: the workers that can be asked now.
            blank: a report of the front alone, to which the others are added.
            stuck: told of a worker that has not answered for half a minute.
        """
        self.silences = 0
        self.silent: set[int] = set()
        self._clock = clock
        self._members = members
        self._blank = blank
        self._stuck = stuck
        self._heard: dict[int, Report] = {}
        self._missed: Counter[int] = Counter()
        self._departed: Report | None = None
        self._owing: dict[int, int] = {}
        self._awaited: set[int] = set()
        self._round = 0
        self._askers: list[Deferred[Report]] = []
        self._next_askers: list[Deferred[Report]] = []
        self._calling = False
        self._timer: IDelayedCall | None = None
        self._regular: IDelayedCall | None = None

    def start(self) -> None:
        """Call the roll every few seconds from now on."""
        self._regular = self._clock.callLater(ROUND_SECONDS, self._look)

    def stop(self) -> None:
        """Call it no more, except for somebody who asks; end a round with what is there."""
        if self._regular is not None:
            self._regular.cancel()
            self._regular = None
        if self._calling:
            self._awaited = set()
            self._answer()

    def _look(self) -> None:
        self._regular = self._clock.callLater(ROUND_SECONDS, self._look)
        self._missed.update(self._owing.keys())
        for number in list(self._owing):
            if self._missed[number] >= _MOST_MISSED:
                self._stuck(number)
        if not self._calling:
            self._call()

    def whole(self) -> Deferred[Report]:
        """The figures of all, as they are from now on."""
        asked: Deferred[Report] = Deferred()
        self._next_askers.append(asked)
        if not self._calling:
            self._call()
        return asked

    def _call(self) -> None:
        """Begin a round."""
        self._calling = True
        self._round += 1
        self._askers, self._next_askers = self._next_askers, []
        self._awaited = set()
        for member in list(self._members()):
            if member.number in self._owing:  # it has not answered the last one yet
                self.silences += 1
            else:
                self._owing[member.number] = self._round
                self._awaited.add(member.number)
                member.send(Tell(self._round))
        if self._awaited:
            self._timer = self._clock.callLater(PATIENCE_SECONDS, self._enough)
        else:
            self._answer()

    def heard(self, number: int, round_: int, report: Report) -> None:
        """A worker told its figures."""
        self._heard[number] = report
        del self._missed[number]
        if self._owing.get(number) == round_:
            del self._owing[number]
            self.silent.discard(number)
        self._not_awaited(number)

    def gone(self, number: int) -> None:
        """A worker has ended; what it had counted stays."""
        self._owing.pop(number, None)
        del self._missed[number]
        self.silent.discard(number)
        last = self._heard.pop(number, None)
        if last is not None:
            last.end()
            if self._departed is None:
                self._departed = last
            else:
                self._departed.include(last)
        self._not_awaited(number)

    def _not_awaited(self, number: int) -> None:
        if number in self._awaited:
            self._awaited.discard(number)
            if not self._awaited:
                self._answer()

    def _enough(self) -> None:
        self._timer = None
        self.silences += len(self._awaited)
        self.silent |= self._awaited
        self._awaited = set()
        self._answer()

    def _answer(self) -> None:
        """End a round."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._calling = False
        askers, self._askers = self._askers, []
        if askers:
            whole = self._sum()
            for asked in askers:
                asked.callback(whole)
        if self._next_askers and not self._calling:
            self._call()

    def _sum(self) -> Report:
        whole = self._blank()
        if self._departed is not None:
            whole.include(self._departed)
        for report in self._heard.values():
            whole.include(report)
        whole.silences = self.silences
        return whole
