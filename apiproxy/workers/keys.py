"""Who tries the keys: one worker, for all of them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from apiproxy.workers.messages import KeysTried, TryKeys

_UNTRIED: dict[str, Any] = {"complete": False, "results": {}}


class Member(Protocol):
    """A worker that can try them."""

    def send(self, message: TryKeys) -> None:
        """Have it do so."""


class Keys:
    """What is known of the keys, and which worker tries them.

    Attributes:
        known: what came out, as ``/health`` shows it.
        wanted: whether the keys should be tried and nobody has done so yet.
    """

    def __init__(
        self, ready: Callable[[], Sequence[Member]], refused: Callable[[], None]
    ) -> None:
        """Nothing is known yet.

        Args:
            ready: gives the workers that could try them.
            refused: called if one is refused at the first try.
        """
        self.known = _UNTRIED
        self.wanted = False
        self._ready = ready
        self._refused: Callable[[], None] | None = refused
        self._trying: Member | None = None
        self._question = 0

    def find_somebody(self) -> None:
        """Have a worker try the keys, if that is wanted."""
        ready = self._ready()
        if self.wanted and self._trying is None and ready:
            self._trying = ready[0]
            self._question += 1
            self._trying.send(TryKeys(self._question))

    def heard(self, worker: Member, keys: dict[str, Any]) -> None:
        """A worker has told what it knows."""
        if worker is self._trying:
            self.known = keys

    def tried(self, worker: Member, said: KeysTried) -> None:
        """A worker has tried them all."""
        if worker is not self._trying or said.id != self._question:
            return  # it may have been asked again, after a reload
        self.known = said.keys
        self.wanted, self._trying = False, None
        if said.refused and self._refused is not None:
            self._refused()

    def gone(self, worker: Member) -> None:
        """A worker has ended; if it was trying, another will."""
        if worker is self._trying:
            self._trying = None
            self.find_somebody()

    def forget(self, *, wanted: bool) -> None:
        """There are other keys; one that is refused ends no service any more."""
        self.known, self._refused, self._trying = _UNTRIED, None, None
        self.wanted = wanted
