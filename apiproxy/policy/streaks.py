"""What happens in a row: misses of a provider's cache, and denials, until a success ends it.

A miss is an answer that has read nothing from the cache although it could have. The first turn
of a model cannot, and nobody caches what is small.
"""

from apiproxy.core.usage import Usage
from apiproxy.policy.ledger import Entry, Key
from apiproxy.policy.names import account_of
from apiproxy.policy.rules import Budgets

_CACHEABLE = 1024
"""Tokens of input below which no provider caches anything."""

_FIRST_TURNS = 1024
"""Models whose first turn is remembered."""


class Streaks:
    """Those of all models and providers.

    Attributes:
        counted: whether any are; the ledger need not be told of them otherwise.
    """

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._turned: dict[str, None] = {}
        self._forgives = budgets.forgiving and budgets.denied is not None
        self.counted = self._forgives or budgets.misses is not None

    def of(
        self, usage: Usage, model: str, provider: str, *, succeeded: bool, known: bool
    ) -> tuple[tuple[Entry, ...], tuple[Key, ...]]:
        """What a response adds to a streak, and the streaks that it has ended.

        Args:
            usage: what it has used.
            model: that was asked.
            provider: that has answered.
            succeeded: whether the answer was a success.
            known: whether the usage was told, and is no estimate of ours.
        """
        missed: tuple[Entry, ...] = ()
        clears: list[Key] = []
        if succeeded and self._forgives:
            clears.append((f"provider:{provider}", "denied"))
        if self._budgets.misses is not None and succeeded and known:
            account = streak(provider, model)
            if usage.cached:
                clears.append((account, "misses"))
                self._first_turn(account)
            elif usage.all_input >= _CACHEABLE and not self._first_turn(account):
                missed = (Entry(account, "misses", 1, self._budgets.misses),)
        return missed, tuple(clears)

    def _first_turn(self, account: str) -> bool:
        """Whether this was the first of a model, which has nothing to read from a cache."""
        if account in self._turned:
            return False
        if len(self._turned) >= _FIRST_TURNS:
            del self._turned[next(iter(self._turned))]
        self._turned[account] = None
        return True


def streak(provider: str, model: str) -> str:
    """The account that counts what a model of a provider did not read from its cache."""
    return f"model:{provider}/{account_of(model)}"
