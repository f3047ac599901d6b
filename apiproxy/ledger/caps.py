"""Whether an operator has set a cap: then requests are looked at that would pass unseen else.

The caps are in the ledger, and another process that shares it may have set one. So somebody
looks every few seconds, and at once when it is known that something has changed. Where rules
see every request anyway there is nothing to find out, and nobody looks.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from apiproxy.policy.ledger import Later, LedgerUnavailable, Standing

LOOK_SECONDS = 5.0


class Caps:
    """Looks for caps."""

    def __init__(
        self,
        standings: Callable[[], Later[list[Standing]]],
        matters: Callable[[], bool],
        tell: Callable[[bool], None],
        clock: IReactorTime,
    ) -> None:
        """Nothing is known yet.

        Args:
            standings: of the ledger.
            matters: whether it makes a difference.
            tell: told whether there is a cap, every time it is known.
            clock: for the next look.
        """
        self._standings = standings
        self._matters = matters
        self._tell = tell
        self._clock = clock
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Look now, and every few seconds from now on."""
        self._next = self._clock.callLater(LOOK_SECONDS, self.start)
        self.look()

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def look(self) -> None:
        """Find out how it is; as long as the ledger is away it is as it was."""
        if not self._matters():
            return
        try:
            standings = self._standings()
        except LedgerUnavailable:
            return
        if isinstance(standings, Deferred):
            _ = standings.addCallbacks(self._seen, _away)
        else:
            assert isinstance(standings, list)
            self._seen(standings)

    def _seen(self, standings: Sequence[Standing]) -> None:
        self._tell(any(one.cap is not None for one in standings))

    def __repr__(self) -> str:
        return f"<Caps {'looked for' if self._next is not None else 'at rest'}>"


def _away(failure: Failure) -> None:
    failure.trap(LedgerUnavailable)
