"""A question that anybody may ask, and whose answer may be long.

``/reflect`` shows what the ledger has, and that is as long as agents make it: some ten
thousand rows, which take 10 ms to read, or a Redis that others need 20 ms. So while an answer
is awaited, whoever asks gets that one, and a long answer is given again for a second. A short
one is always fresh.
"""

from collections.abc import Callable, Sized
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from apiproxy.admin.answer import Later

T = TypeVar("T", bound=Sized)

LONG = 256
"""Items of a long answer."""

FRESH_SECONDS = 1.0
"""How long that is given."""


class Seldom(Generic[T]):
    """Asks as seldom as that."""

    def __init__(
        self, ask: Callable[[], Later[T]], seconds: Callable[[], float]
    ) -> None:
        """Nothing is known yet.

        Args:
            ask: gives the answer, now or later.
            seconds: a clock.
        """
        self._ask = ask
        self._seconds = seconds
        self._known: tuple[float, T] | None = None
        self._waiting: list[Deferred[T]] = []

    def get(self) -> Later[T]:
        """The answer, now or later; it fails, or raises, as the question does."""
        if self._waiting:
            return self._later()
        if self._known is not None:
            if self._seconds() - self._known[0] < FRESH_SECONDS:
                return self._known[1]
            self._known = None
        answer = self._ask()
        if isinstance(answer, Deferred):
            mine = self._later()  # who asked first may leave first
            _ = answer.addBoth(self._answered)
            return mine
        self._note(answer)
        return answer

    def _later(self) -> Deferred[T]:
        later: Deferred[T] = Deferred()
        self._waiting.append(later)
        return later

    def _answered(self, answer: T | Failure) -> None:
        waiting, self._waiting = self._waiting, []
        if not isinstance(answer, Failure):
            self._note(answer)
        for later in waiting:
            later.callback(answer)  # a failure fails it

    def _note(self, answer: T) -> None:
        if len(answer) >= LONG:
            self._known = self._seconds(), answer

    def __repr__(self) -> str:
        return f"<Seldom, {len(self._waiting)} wait>"
