"""What the ledger says, in the shapes that ``/reflect`` has had for long."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from apiproxy.policy.ledger import Standing
from apiproxy.policy.rules import CREDIT, Rules

_TOKEN = 1_000  # units of tokens


@frozen(kw_only=True)
class Maxima:
    """What is configured, in the units in which it is shown; None for no limit.

    Attributes:
        ai_credits: US cents.
        effective_tokens: weighted tokens.
        runs: inference requests.
        cache_misses: in a row.
        permission_denied: answers 401 and 403.
    """

    ai_credits: float | None = None
    effective_tokens: float | None = None
    runs: int | None = None
    cache_misses: int | None = None
    permission_denied: int | None = None

    @classmethod
    def of(cls, rules: Rules) -> "Maxima":
        """What is in force by these rules, but for what an operator has set."""
        budgets = rules.budgets
        money, tokens = rules.cap("run:", "money"), budgets.tokens
        return cls(
            ai_credits=None if money is None else money / CREDIT,
            effective_tokens=None if tokens is None else tokens / _TOKEN,
            runs=budgets.runs,
            cache_misses=budgets.misses,
            permission_denied=budgets.denied,
        )


def spending(
    standings: Sequence[Standing], maxima: Maxima, *, run: str, now: float
) -> dict[str, object]:
    """The sections of ``/reflect`` about a run.

    Args:
        standings: of the ledger.
        maxima: what is configured; an operator's cap goes before it.
        run: which run.
        now: POSIX seconds; an operator's cap that has ended does not count.
    """
    account = f"run:{run}"
    mine = {one.measure: one for one in standings if one.account == account}
    mine |= _longest_streak(standings)
    caps = {
        measure: one.cap
        for measure, one in mine.items()
        if one.cap is not None and (one.until is None or one.until > now)
    }

    def figures(measure: str, configured: float | None, per: int) -> _Figures:
        standing = mine.get(measure, Standing(account, measure))
        cap = caps.get(measure)
        most = configured if cap is None else cap / per
        return _Figures(
            standing.spent / per, standing.reserved / per, most, whole=per == 1
        )

    money = figures("money", maxima.ai_credits, CREDIT)
    tokens = figures("tokens", maxima.effective_tokens, _TOKEN)
    runs = figures("runs", maxima.runs, 1)
    misses = figures("misses", maxima.cache_misses, 1)
    denied = figures("denied", maxima.permission_denied, 1)
    return {
        "ai_credits": {
            **money.shown("max_ai_credits", "total", "remaining_ai_credits"),
            "reserved": money.reserved,
            "by_model": _by_model(standings),
        },
        "effective_tokens": {
            **tokens.shown(
                "max_effective_tokens",
                "total_effective_tokens",
                "remaining_effective_tokens",
            ),
            "reserved": tokens.reserved,
            "percent_used": tokens.percent,
        },
        "runs": runs.shown("max_runs", "invocation_count", "remaining_runs"),
        "cache_misses": misses.shown(
            "max_cache_misses", "consecutive_cache_misses", "remaining_cache_misses"
        ),
        "permission_denied": denied.shown(
            "max_permission_denied", "denied_count", "remaining_permission_denied"
        ),
    }


@frozen
class _Figures:
    """One measure, in the unit in which it is shown."""

    spent: float
    reserved: float
    most: float | None
    whole: bool

    @property
    def percent(self) -> float | None:
        """Of the maximum, as far as it is spent."""
        return None if self.most is None else _share(self.spent, self.most)

    def shown(self, most: str, spent: str, left: str) -> dict[str, object]:
        """These figures by these names."""
        rest = None if self.most is None else max(0, self.most - self.spent)
        return {
            "enabled": self.most is not None,
            most: self._round(self.most),
            spent: self._round(self.spent),
            left: self._round(rest),
        }

    def _round(self, value: float | None) -> float | None:
        if value is None:
            return None
        return int(value) if self.whole else round(value, 6)


def _share(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 100.0


def _longest_streak(standings: Sequence[Standing]) -> dict[str, Standing]:
    """Misses are counted for each model; the longest streak is what is told of a run."""
    streaks = [one for one in standings if one.measure == "misses"]
    longest = max(streaks, key=lambda one: one.spent, default=None)
    return {} if longest is None else {"misses": longest}


def _by_model(standings: Sequence[Standing]) -> Mapping[str, object]:
    return {
        one.account.removeprefix("model:"): {"total": round(one.spent / CREDIT, 6)}
        for one in standings
        if one.measure == "money" and one.account.startswith("model:")
    }
