"""The shape of a ledger: what was spent, and what has been set aside.

A claim is made before a request leaves and settled when its response is over. In between its
amounts count as reserved, so that requests under way at once cannot all spend the same rest.
A claim passes as long as spent and reserved are below the cap *before* it: the one that
crosses the cap is the last one, and a cap is overrun by at most one response.

All amounts are whole numbers in the unit of their measure, so that sums are exact:

=============  =====================================================================
measure        unit
=============  =====================================================================
``tokens``     thousandths of an effective token
``money``      billionths of a US dollar (one AI credit, $0.01, is 10,000,000)
``runs``       inference requests that were answered with success
``denied``     answers 401 and 403 of providers
``misses``     responses in a row that read nothing from a cache
=============  =====================================================================

Accounts are named ``run:ID``, ``provider:NAME``, ``model:NAME``, ``caller:NAME`` and
``token:NAME``, of a token that was narrowed.
"""

from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")

Later: TypeAlias = T | Awaitable[T]
"""Known now, or (a Deferred) when a server has answered."""

Key: TypeAlias = tuple[str, str]
"""An account and a measure."""


class Entry(Struct, frozen=True):
    """An amount on one account.

    Attributes:
        account: whose.
        measure: of what; see above.
        amount: never negative.
        cap: what spent and reserved together must be below for a claim to pass; None for
            none. A cap that an operator has set in the ledger goes before this one.
    """

    account: str
    measure: str
    amount: int
    cap: int | None = None


class Claim(Struct, frozen=True):
    """What one request sets aside; all of it, or nothing.

    Attributes:
        id: not used twice.
        entries: at most one for each account and measure.
    """

    id: str
    entries: tuple[Entry, ...]


class Standing(Struct, frozen=True):
    """How one account stands in one measure.

    Attributes:
        account: whose.
        measure: of what.
        spent: settled.
        reserved: set aside by claims under way.
        cap: what an operator has set; None if nobody has.
        until: clock seconds (epoch) at which that cap ends; None for never.
    """

    account: str
    measure: str
    spent: int = 0
    reserved: int = 0
    cap: int | None = None
    until: float | None = None


class Shortage(Struct, frozen=True):
    """Why a claim did not pass.

    Attributes:
        entry: the one for which there was no room, with the cap that was in force.
        standing: of its account and measure.
    """

    entry: Entry
    standing: Standing

    @property
    def final(self) -> bool:
        """Whether waiting cannot help: what is settled alone reaches the cap."""
        return self.entry.cap is not None and self.standing.spent >= self.entry.cap


class LedgerUnavailable(Exception):
    """The ledger cannot be reached or written; nothing was changed as far as is known."""


NOT_METERED = "nothing is metered (APIPROXY_METERING), so no budget holds"
"""Why there is no ledger in which a cap could be set."""


class Ledger(Protocol):
    """Where it is all written down.

    Every method is atomic, also against other processes that share the ledger, and raises
    ``LedgerUnavailable`` (or fails with it) when it cannot be done. A ledger on another
    machine may then do it later; to do it once more changes nothing (but for ``add``, which
    must not be repeated by the caller).
    """

    def reserve(self, claim: Claim) -> Later[Shortage | None]:
        """Set aside what the claim says, or nothing and tell what is short."""

    def extend(self, id: str, entries: Sequence[Entry]) -> Later[Shortage | None]:
        """Set more aside for a claim under way, in any case; tell the first cap crossed."""

    def reaches(self, entries: Sequence[Entry]) -> Later[Shortage | None]:
        """Tell the first cap that is overrun by what is spent and these amounts together.

        Nothing is changed, and what is reserved does not count. In the standing that is
        told the amount counts as spent.
        """

    def settle(self, id: str, spent: Sequence[Entry]) -> Later[None]:
        """Write down what was spent and give back what was set aside; once for each claim.

        A claim that is not known any more is written down all the same; one that has been
        settled is not settled again.
        """

    def release(self, id: str) -> Later[None]:
        """Give back what was set aside; nothing was spent."""

    def add(self, entries: Sequence[Entry]) -> Later[None]:
        """Write down what nobody could set aside before."""

    def clear(self, account: str, measure: str) -> Later[None]:
        """Spent is zero again: a streak has ended."""

    def set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None = None
    ) -> Later[None]:
        """Put an operator's cap in force, until that time (epoch); None takes it away."""

    def standings(self) -> Later[list[Standing]]:
        """All there is, sorted by account and measure."""
