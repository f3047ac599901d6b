"""What is owed to a ledger that cannot write at the moment.

A disk may be full for a while. Then what is to be written down is owed, in order, and tried
again every second, so that no cost is forgotten as long as this process lives. Only so much
can be owed; then the oldest is given up, with a word in the log. (A ledger on another host,
which answers later, keeps what it is owed itself.)
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from apiproxy.core.exchange import Complain
from apiproxy.policy.ledger import Later, LedgerUnavailable

_MOST = 10_000
_AGAIN_SECONDS = 1.0

_LOST = "a cost could not be written down"

Write = Callable[[], Later[object]]
"""Writes something down; may raise ``LedgerUnavailable``, or fail with it."""


class Debts:
    """All that is owed, the oldest first."""

    def __init__(self, clock: IReactorTime, complain: Complain) -> None:
        """Nothing is owed.

        Args:
            clock: for another try.
            complain: told of what is not written down.
        """
        self._clock = clock
        self._complain = complain
        self._owed: deque[Write] = deque()
        self._retry: IDelayedCall | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._owed)

    def write(self, write: Write) -> None:
        """Write something down, now or as soon as it can be."""
        self._owed.append(write)
        if len(self._owed) > _MOST:
            self._owed.popleft()
            self._complain(_LOST, LedgerUnavailable())
        if self._retry is None:
            self._pay()

    def _pay(self) -> None:
        """Write down what is owed, in order."""
        while self._owed:
            try:
                written = self._owed[0]()
            except LedgerUnavailable:
                self._later()
                return
            except Exception as error:
                self._complain(_LOST, error)
                written = None
            self._owed.popleft()
            if isinstance(written, Deferred):
                _ = written.addErrback(self._unwritten)

    def _unwritten(self, failure: Failure) -> None:
        """A ledger on another host is away; it remembers itself what it is owed."""
        if not failure.check(LedgerUnavailable):
            assert failure.value is not None
            self._complain(_LOST, failure.value)

    def _later(self) -> None:
        if self._retry is None and not self._closed:
            self._retry = self._clock.callLater(_AGAIN_SECONDS, self._again)

    def _again(self) -> None:
        self._retry = None
        self._pay()

    def close(self) -> None:
        """Write down what can be, and try no more."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._pay()
        if self._owed:
            self._complain(
                f"{len(self._owed)} costs were not written down", LedgerUnavailable()
            )

    def __repr__(self) -> str:
        return f"<Debts, {len(self._owed)} owed>"
