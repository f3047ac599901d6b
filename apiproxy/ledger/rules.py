"""What all ledgers agree on: how large a sum gets, how many accounts there are, who is short.

A ledger must not grow because an agent wants it to. A model's name comes from the request,
so an agent can make up as many as it likes; an account costs memory for good. So the rows
of one kind of account (``model``, ``run``, ...) are bounded. A new one beyond that takes the
place of one that nobody has touched for a month; if there is none, it is counted on the
account ``KIND:other``. A month, because a budget must not be forgotten, and thereby
renewed, because of a flood of made-up names.

Sums stop at ``MOST`` instead of overflowing. It is the largest number up to which Lua in
Redis and JavaScript in a dashboard count exactly: nine million dollars, nine trillion tokens.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred

from apiproxy.policy.ledger import Entry, Ledger, Shortage, Standing

MOST = 2**53 - 1
"""Where every sum ends."""

_NAME = 200  # characters of an account's name; longer ones are counted together
_KIND = 16  # characters of what stands before the colon


class Bounds(Struct, frozen=True):
    """How much a ledger remembers.

    Attributes:
        rows: accounts of one kind, times the measures they have.
        keep: seconds after which an account that nobody has touched may make room.
        again: seconds after which room is looked for again when there was none.
        over: claims of which it is known that they have been settled, so that settling
            them once more changes nothing.
    """

    rows: int = 4096
    keep: int = 30 * 24 * 3600
    again: int = 60
    over: int = 16_384


class Store(Ledger, Protocol):
    """A ledger with a life of its own."""

    @property
    def presumed(self) -> int:
        """Claims counted at what they had set aside, because their process was gone."""

    def sync(self) -> Deferred[None]:
        """Make all that was written down outlast a power failure, where that can be done.

        Errors:
            LedgerUnavailable: it could not be done.
        """

    def close(self) -> Deferred[None]:
        """Count what is still under way at what was set aside, sync, and let go.

        It never fails: what could not be done is said in the log.
        """


def kind_of(account: str) -> str:
    """What an account is of: what stands before its first colon."""
    return account.partition(":")[0]


def other(account: str) -> str:
    """Where an account is counted for which there is no room."""
    return kind_of(account) + ":other"


def fitting(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Entries with amounts that can be added, and names that can be stored."""
    for entry in entries:
        if not _fits(entry):
            return [each if _fits(each) else _cut(each) for each in entries]
    return entries


def _fits(entry: Entry) -> bool:
    account = entry.account
    # Printable also means: no NUL, no half of a surrogate pair.
    return 0 <= entry.amount <= MOST and len(account) <= _NAME and account.isprintable()


def _cut(entry: Entry) -> Entry:
    account = entry.account
    if len(account) > _NAME or not account.isprintable():
        kind = kind_of(account)
        known = len(kind) <= _KIND and kind.isprintable()
        account = other(account) if known else "unknown:other"
    return Entry(account, entry.measure, clamped(entry.amount), entry.cap)


def renamed(entry: Entry, account: str) -> Entry:
    """The same on another account."""
    return Entry(account, entry.measure, entry.amount, entry.cap)


def clamped(amount: int) -> int:
    """The nearest amount that a ledger can hold."""
    return min(max(amount, 0), MOST)


def cap_in_force(cap: int | None, until: float | None, now: float) -> int | None:
    """The operator's cap, if its time has not run out."""
    return None if until is not None and now >= until else cap


def refused(entry: Entry, standing: Standing) -> Shortage | None:
    """Whether there is no room for an entry.

    Args:
        entry: what is wanted.
        standing: before it; the cap in it is in force, if there is one.
    """
    cap = entry.cap if standing.cap is None else standing.cap
    if cap is None or standing.spent + standing.reserved < cap:
        return None
    return Shortage(_capped(entry, cap), standing)


def crossed(entry: Entry, standing: Standing) -> Shortage | None:
    """Whether a cap is overrun.

    Args:
        entry: what was added.
        standing: after it; the cap in it is in force, if there is one.
    """
    cap = entry.cap if standing.cap is None else standing.cap
    if cap is None or standing.spent + standing.reserved <= cap:
        return None
    return Shortage(_capped(entry, cap), standing)


def _capped(entry: Entry, cap: int) -> Entry:
    return Entry(entry.account, entry.measure, entry.amount, cap)
