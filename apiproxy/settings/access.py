"""Who may come, and what may be asked for, as one value; the file of callers is read here."""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from attrs import frozen

from apiproxy.policy.callers import Caller
from apiproxy.policy.tokens import Verifier
from apiproxy.policy.tools import ToolRule
from apiproxy.settings.document import meant
from apiproxy.settings.sources import Sources

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_UNITS = {
    "tokens": ("tokens", 1000),
    "ai_credits": ("money", 10**7),
    "runs": ("runs", 1),
}
"""By the name of a budget: its measure in the ledger, and how many parts a unit has."""
_NO_OTHERS = f"must have budgets of {', '.join(_UNITS)}, and no others"

_KEYS = ("tokens", "providers", "models", "expires", "budgets")
_MOST = 10**15
_ORIGIN = "APIPROXY_CALLERS_FILE"


@frozen(kw_only=True)
class Access:
    """Who may come.

    Attributes:
        hosts: names that agents call us by, beside the usual ones.
        origins: web origins that may send requests.
        endpoints: rules about minting endpoints that are not in force.
        tools: rules about hosted tools.
        callers_file: path of the file that lists callers; None for none.
        callers: those that may come; None for all who reach a port.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    tools: tuple[ToolRule, ...] = ()
    callers_file: str | None = None
    callers: tuple[Caller, ...] | None = None

    @classmethod
    def read(cls, sources: Sources, section: Mapping[str, Any]) -> "Access":
        """Make it of the settings' section ``access``; problems go to ``sources``."""
        path = section["callers_file"]
        data = sources.read(path, _ORIGIN) if path else None
        callers = None if data is None else read_callers(data, sources.problems)
        return cls(
            hosts=section["hosts"],
            origins=section["origins"],
            endpoints=section["endpoints"],
            tools=section["tools"],
            callers_file=path,
            callers=callers,
        )


def read_callers(data: bytes, problems: list[str]) -> tuple[Caller, ...]:
    """The callers in a file.

    Args:
        data: TOML, with a table ``[callers.NAME]`` for each.
        problems: grows by a sentence for each thing that is wrong.
    """
    try:
        tables = tomllib.loads(data.decode()).get("callers")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # Not repeated: a token may stand where it should not.
        problems.append(f"{_ORIGIN} is not a TOML file in UTF-8")
        return ()
    if not isinstance(tables, dict) or not tables:
        problems.append(f"{_ORIGIN} must have a table [callers.NAME] for each caller")
        return ()
    callers = []
    for name, table in tables.items():
        try:
            callers.append(_caller(name, table))
        except ValueError as error:
            where = f"callers.{name}" if _NAME.fullmatch(name) else "a caller's name"
            problems.append(f"{_ORIGIN}: {where} {error}")
    problems += _twice(callers)
    return tuple(callers)


def _caller(name: str, table: object) -> Caller:
    """One of them.

    Raises:
        ValueError: the rest of a sentence that begins with its name.
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError("must be letters, digits, and . _ - in it")
    if not isinstance(table, dict):
        raise ValueError("must be a table")  # noqa: TRY004  # of a file, not a call
    for key in table:
        if key not in _KEYS:
            raise ValueError(f"has a key that is not known{meant(key, _KEYS)}")
    tokens = _texts(table, "tokens")
    if not tokens:
        raise ValueError("has no tokens; apiproxy token new makes one")
    providers = _texts(table, "providers")
    return Caller(
        name=name,
        verifiers=tuple(map(Verifier.parse, tokens)),
        providers=None if providers is None else frozenset(providers),
        models=_texts(table, "models"),
        expires=_time(table.get("expires")),
        budgets=_budgets(table.get("budgets", {})),
    )


def _texts(table: Mapping[str, object], key: str) -> tuple[str, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"must have a list of texts in {key}")
    return tuple(value)


def _time(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    raise ValueError("must have a date or time in expires, without quotes")


def _budgets(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, dict) or not value.keys() <= _UNITS.keys():
        raise ValueError(_NO_OTHERS)
    return tuple(budget(name, str(amount)) for name, amount in value.items())


def budget(name: str, amount: str) -> tuple[str, int]:
    """A measure of the ledger and a cap in its unit.

    Args:
        name: ``tokens``, ``ai_credits`` or ``runs``.
        amount: a number, possibly with a fraction.

    Raises:
        ValueError: the rest of a sentence about whoever has this budget.
    """
    if name not in _UNITS:
        raise ValueError(_NO_OTHERS)
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", amount) is None:
        raise ValueError("must have a number that is not negative as budget")
    measure, parts = _UNITS[name]
    return measure, min(int(Decimal(amount) * parts), _MOST)


def _twice(callers: list[Caller]) -> list[str]:
    """A problem for each token that two callers have."""
    owners: dict[bytes, str] = {}
    return [
        f"{_ORIGIN}: callers.{caller.name} has a token that {owner} has, too"
        for caller in callers
        for verifier in caller.verifiers
        if (owner := owners.setdefault(verifier.digest, caller.name)) != caller.name
    ]
