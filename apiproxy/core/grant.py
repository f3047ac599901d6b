"""What one caller may do: the shape in which callers, budgets and the wire meet.

A caller is one of several agents that share a proxy and are told apart by their tokens. A
token that was narrowed for a sub-agent is a caller of its own, within the first: what it
spends is spent by both, so a budget cannot be passed by narrowing.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from apiproxy.core.patterns import fits


class Allowance(Struct, frozen=True):
    """What may be spent on one account.

    Attributes:
        account: as the ledger names it: ``caller:NAME`` or ``token:NAME``.
        measure: of what, in the ledger's words: ``tokens``, ``money`` or ``runs``.
        cap: in the ledger's unit of that measure.
    """

    account: str
    measure: str
    cap: int


class Grant(Struct, frozen=True):
    """A caller that was let in, and what it may do.

    Attributes:
        name: of the caller; a narrowed token has ``+`` and eight digits after it.
        accounts: all on which it spends, the widest first, as the ledger names them.
        allowances: all of them have to be kept.
        models: lists of patterns with ``*``; a model must match one of each list.
        token: digest of the token in the list that let it in, or that its own is made of.
        expires: POSIX seconds at which a narrowed token ends; None for never.
    """

    name: str
    accounts: tuple[str, ...] = ()
    allowances: tuple[Allowance, ...] = ()
    models: tuple[tuple[str, ...], ...] = ()
    token: bytes = b""
    expires: float | None = None

    @property
    def limited(self) -> bool:
        """Whether its requests must be seen before they leave."""
        return bool(self.models or self.allowances)

    def limits(self, *measures: str) -> bool:
        """Whether what may be spent of any of these measures is limited."""
        return any(each.measure in measures for each in self.allowances)

    def allows(self, model: str) -> bool:
        """Whether it may use this model; without a list it may use any.

        A model that cannot be told (empty) is none that a list allows.
        """
        return all(
            model != "" and any(fits(each, model) for each in patterns)
            for patterns in self.models
        )


def listed(name: str) -> str:
    """The name of the caller that is in the list, of one whose token may be narrowed."""
    return name.partition("+")[0]


def accounts_of(caller: str) -> list[str]:
    """The accounts of a caller, as the ledger names them; none of nobody.

    Those of narrowed tokens are a kind of their own. The accounts of a kind are bounded, and
    whoever makes up tokens takes the room of other tokens, but of no caller that is listed.
    """
    name = listed(caller)
    whole = [f"caller:{name}"] if name else []
    return whole if name == caller else [*whole, f"token:{caller}"]


class Gate(Protocol):
    """Lets callers in."""

    def admit(self, presented: Sequence[bytes], provider: str) -> Grant:
        """The grant of whoever holds one of these keys.

        Args:
            presented: what the request has where keys are put, in order.
            provider: name of the listener.

        Raises:
            AccessRefused: nobody, or nobody who may use this provider.
        """

    def keeps(self, grant: Grant, provider: str) -> bool:
        """Whether it would let somebody in again that it, or one before it, has let in.

        Args:
            grant: of that caller.
            provider: name of the listener.
        """
