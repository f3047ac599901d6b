"""What an operator says, read from JSON: another budget, or that something is to end.

People write amounts as they think of them (``{"effective_tokens": …}``, dollars, credits), and
the ledger counts in whole numbers of small units; see ``policy.ledger``. Here one becomes the
other, and whatever makes no sense becomes a sentence.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from apiproxy.core.stopping import StopOrder, What
from apiproxy.policy.rules import CREDIT

UNITS = {
    "effective_tokens": ("tokens", 1_000),
    "ai_credits": ("money", CREDIT),
    "dollars": ("money", 1_000_000_000),
    "runs": ("runs", 1),
    "cache_misses": ("misses", 1),
    "permission_denied": ("denied", 1),
    "tokens": ("tokens", 1),
    "money": ("money", 1),
    "misses": ("misses", 1),
    "denied": ("denied", 1),
}
"""The measure that each name means, and how many of its units are one of the name's."""

SHOWN = {
    "tokens": "effective_tokens",
    "money": "ai_credits",
    "runs": "runs",
    "denied": "permission_denied",
    "misses": "cache_misses",
}
"""The name by which people know a measure."""

MOST = 2**53
"""Amounts are below this in the ledger's units, so that any JSON keeps them exactly."""

_YEARS = timedelta(days=3653).total_seconds()
_KINDS = ("run", "provider", "model", "caller", "token")
_LONGEST = 300


class BadOrder(Exception):
    """What was said makes no sense; the text says why."""


class BudgetOrder(Struct, frozen=True):
    """Another cap.

    Attributes:
        account: whose, in the ledger's words.
        measure: of what, in the ledger's words.
        add: to the cap that is in force, in the measure's unit; None to set it instead.
        cap: to set; None, if nothing is to be added either, to take an operator's cap away.
        until: epoch seconds at which it ends; None for never.
    """

    account: str
    measure: str
    add: int | None = None
    cap: int | None = None
    until: float | None = None


class _Budget(Struct, forbid_unknown_fields=True):
    measure: str
    account: str = ""
    add: float | None = None
    set: float | UnsetType | None = UNSET
    until: float | str | None = None
    minutes: float | None = None


class _Stop(Struct, forbid_unknown_fields=True):
    run: str | None = None
    caller: str | None = None
    exchange: str | None = None
    provider: str | None = None
    all: bool | None = None


T = TypeVar("T")


def read_budget(body: bytes, *, run: str, now: float) -> BudgetOrder:
    """The budget that a body asks for.

    Args:
        body: JSON.
        run: whose account is meant if none is named.
        now: epoch seconds.

    Raises:
        BadOrder: it makes no sense.
    """
    said = _decode(body, _Budget)
    unit = UNITS.get(said.measure)
    if unit is None:
        raise BadOrder(f"measure must be one of {', '.join(UNITS)}")
    if (said.add is None) == (said.set is UNSET):
        raise BadOrder("there must be either add or set")
    measure, per = unit
    return BudgetOrder(
        account=_account(said.account, run),
        measure=measure,
        add=None if said.add is None else _amount(said.add, per),
        cap=_amount(said.set, per) if isinstance(said.set, int | float) else None,
        until=_until(said, now),
    )


def read_stop(body: bytes) -> StopOrder:
    """What is to end.

    Raises:
        BadOrder: it makes no sense.
    """
    said = _decode(body, _Stop)
    if said.all is not None and said.all is not True:
        raise BadOrder("all can only be true")
    named: list[tuple[What, str | None]] = [
        ("run", said.run),
        ("caller", said.caller),
        ("exchange", said.exchange),
        ("provider", said.provider),
        ("all", "" if said.all else None),
    ]
    orders = [StopOrder(what, name) for what, name in named if name is not None]
    if len(orders) != 1:
        raise BadOrder("there must be one of run, caller, exchange, provider and all")
    return orders[0]


def in_words(measure: str, amount: int) -> float:
    """An amount as people know it."""
    per = UNITS[SHOWN[measure]][1] if measure in SHOWN else 1
    return amount if per == 1 else round(amount / per, 6)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadOrder(f"the body is not as it should be: {error}") from None


def _account(account: str, run: str) -> str:
    kind, colon, name = account.partition(":")
    if not account:
        return f"run:{run}"
    if kind not in _KINDS or not colon or not name or len(account) > _LONGEST:
        raise BadOrder(
            "account must be run:, provider:, model:, caller: or token: and a name"
        )
    return account


def _amount(value: float, per: int) -> int:
    if not math.isfinite(value) or not 0 <= value * per < MOST:
        raise BadOrder("the amount must be a number from 0 up, and not so large")
    return round(value * per)


def _until(said: _Budget, now: float) -> float | None:
    if said.until is not None and said.minutes is not None:
        raise BadOrder("there must not be both until and minutes")
    until = now + said.minutes * 60 if said.minutes is not None else said.until
    if isinstance(until, str):
        until = _moment(until)
    if until is not None and not now < until < now + _YEARS:
        raise BadOrder("until must be in the future, and not so far")
    return until


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadOrder("until must be epoch seconds or RFC 3339") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
