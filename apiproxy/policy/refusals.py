"""What an agent is told when a budget has no room for its request.

What cannot get better is said with a status after which SDKs send nothing more. As long as
what others have set aside may be given back, it is 429 with a time after which to try again.
"""

from collections.abc import Callable, Mapping

from apiproxy.core.errors import (
    BudgetReserved,
    CreditsExceeded,
    DenialsExceeded,
    MissesExceeded,
    ProxyError,
    RunsExceeded,
    TokensExceeded,
)
from apiproxy.policy.ledger import Shortage
from apiproxy.policy.rules import CREDIT

_AGAIN = 5
"""Seconds after which somebody may have given something back."""


def refusal(shortage: Shortage, *, hard: bool) -> ProxyError:
    """The error.

    Args:
        shortage: why there is no room.
        hard: whether the cap on money is the hard one.
    """
    if not shortage.final:
        return _reserved(shortage)
    spent = shortage.standing.spent
    cap = shortage.entry.cap or 0
    whose = _whose(shortage.entry.account)
    if shortage.entry.measure == "money":
        # An operator's cap goes before the hard one, and then it is not that.
        return _credits(spent, cap, whose, hard=hard and shortage.standing.cap is None)
    return _TERMINAL[shortage.entry.measure](spent, cap, whose)


def _whose(account: str) -> str:
    """Of whom, where it is not the whole run."""
    return "" if account.startswith("run:") else f" for {account.replace(':', ' ', 1)}"


def _tokens(spent: int, cap: int, whose: str) -> ProxyError:
    return TokensExceeded(
        f"Maximum effective tokens exceeded{whose} ({spent / 1000:.2f} / {_of(cap, 1000)})."
        " No further requests are sent; see APIPROXY_MAX_EFFECTIVE_TOKENS.",
        details={
            "total_effective_tokens": spent / 1000,
            "max_effective_tokens": _number(cap, 1000),
        },
    )


def _runs(spent: int, cap: int, whose: str) -> ProxyError:
    return RunsExceeded(
        f"Maximum LLM invocations exceeded{whose} ({spent} / {cap})."
        " No further requests are sent; see APIPROXY_MAX_RUNS.",
        details={"invocation_count": spent, "max_runs": cap},
    )


def _misses(spent: int, cap: int, whose: str) -> ProxyError:
    return MissesExceeded(
        f"Maximum consecutive cache misses exceeded{whose} ({spent} / {cap})."
        " No further requests are sent; see APIPROXY_MAX_CACHE_MISSES.",
        details={"consecutive_cache_misses": spent, "max_cache_misses": cap},
    )


def _denied(spent: int, cap: int, whose: str) -> ProxyError:
    return DenialsExceeded(
        f"Maximum permission denied errors exceeded{whose} ({spent} / {cap})."
        " No further requests are sent; see APIPROXY_MAX_PERMISSION_DENIED.",
        details={"denied_count": spent, "max_permission_denied": cap},
    )


def _credits(spent: int, cap: int, whose: str, *, hard: bool) -> ProxyError:
    which = "the hard cap" if hard else "the maximum"
    name = "APIPROXY_HARD_CAP_AI_CREDITS" if hard else "APIPROXY_MAX_AI_CREDITS"
    return CreditsExceeded(
        f"Maximum AI credits exceeded{whose} ({_of(spent, CREDIT)} / {_of(cap, CREDIT)},"
        f" {which}). No further requests are sent; see {name}.",
        details={
            "total_ai_credits": _number(spent, CREDIT),
            "max_ai_credits": _number(cap, CREDIT),
            "hard_cap": hard,
        },
    )


_TERMINAL: Mapping[str, Callable[[int, int, str], ProxyError]] = {
    "tokens": _tokens,
    "runs": _runs,
    "misses": _misses,
    "denied": _denied,
}


def _reserved(shortage: Shortage) -> ProxyError:
    measure = _PLAIN.get(shortage.entry.measure, shortage.entry.measure)
    return BudgetReserved(
        f"The rest of the budget of {measure}{_whose(shortage.entry.account)} is set aside"
        f" by requests under way; try again in {_AGAIN} seconds.",
        details={"retry_after": _AGAIN},
        fields=((b"Retry-After", b"%d" % _AGAIN),),
    )


_PLAIN = {"tokens": "effective tokens", "money": "AI credits"}


def _number(amount: int, unit: int) -> float | int:
    """In the unit that people know, as a whole number where it is one; six decimals."""
    return amount // unit if amount % unit == 0 else round(amount / unit, 6)


def _of(amount: int, unit: int) -> str:
    return f"{_number(amount, unit):.6f}".rstrip("0").rstrip(".")
