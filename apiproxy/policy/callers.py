"""Callers: the list of them, and who of them has sent a request.

The token is whatever the agent sends as its key anyway, so no client has to change. Tokens are
looked up by their digest: how long that takes tells about digests, and whoever could choose
those could have the token. Signatures are compared in constant time.

A caveat of a narrowed token is ``word=value``::

    p=openai,anthropic        providers, by the names of their listeners
    m=gpt-5*,o4-mini          models, with * for anything
    e=1767225600              the end, POSIX seconds
    b.money=5000000000        an allowance, in the ledger's unit of the measure

One that is not understood refuses the token: it may take away what we cannot tell.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from attrs import field, frozen

from apiproxy.core.errors import CallerExpired, CallerRefused, CallerUnknown
from apiproxy.core.grant import Allowance, Grant, listed
from apiproxy.policy.ledger import Entry
from apiproxy.policy.tokens import MAX_TOKEN, Narrowed, Verifier, digest

MEASURES = ("tokens", "money", "runs")
"""In which an allowance can be given; as the ledger has them."""

_MOST_TRIED = 8
_CAVEAT = re.compile(r"(p|m|e|b\.[a-z]+)=(.+)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)


@frozen(kw_only=True)
class Caller:
    """One that may come.

    Attributes:
        name: in logs, metrics and budgets.
        verifiers: of its tokens; several while one takes the place of another.
        providers: names of the listeners that it may use; None for all.
        models: patterns of models; None for all.
        expires: POSIX seconds at which its tokens end; None for never.
        budgets: caps by measure, in the ledger's units.
    """

    name: str
    verifiers: tuple[Verifier, ...]
    providers: frozenset[str] | None = None
    models: tuple[str, ...] | None = None
    expires: float | None = None
    budgets: tuple[tuple[str, int], ...] = ()

    def grant(self, token: bytes) -> Grant:
        """What it may do with the whole token of this digest."""
        account = f"caller:{self.name}"
        return Grant(
            self.name,
            (account,),
            tuple(Allowance(account, *budget) for budget in self.budgets),
            () if self.models is None else (self.models,),
            token,
        )


@frozen
class _Rest:
    """What the caveats of a narrowed token leave.

    Attributes:
        providers: a set for each caveat; it must be in all.
        models: as in ``Grant``.
        expires: POSIX seconds, all of them.
        budgets: measures and caps, each behind the number of caveats up to its own.
    """

    providers: list[frozenset[str]] = field(factory=list)
    models: list[tuple[str, ...]] = field(factory=list)
    expires: list[int] = field(factory=list)
    budgets: list[tuple[int, str, int]] = field(factory=list)

    def take_away(self, caveat: bytes, number: int) -> bool:
        """Read one caveat, the first of which is number 1; False if not understood."""
        found = _CAVEAT.fullmatch(caveat.decode("ascii", "replace"))
        if found is None:
            return False
        word, value = found.groups()
        if word == "p":
            self.providers.append(frozenset(value.split(",")))
        elif word == "m":
            self.models.append(tuple(value.split(",")))
        elif _NUMBER.fullmatch(value) is None:
            return False
        elif word == "e":
            self.expires.append(int(value))
        elif word[2:] in MEASURES:
            self.budgets.append((number, word[2:], int(value)))
        else:
            return False
        return True


class Callers:
    """All that may come; lets them in, or not."""

    def __init__(self, callers: Sequence[Caller], now: Callable[[], float]) -> None:
        """Make it.

        Args:
            callers: as listed.
            now: POSIX seconds.
        """
        self.callers = tuple(callers)
        self._now = now
        self._by_digest = {
            verifier.digest: (caller, verifier)
            for caller in callers
            for verifier in caller.verifiers
        }
        self._by_id = {
            verifier.id: (caller, verifier)
            for caller in callers
            for verifier in caller.verifiers
        }

    def admit(self, presented: Sequence[bytes], provider: str) -> Grant:
        """The grant of whoever holds one of these keys; the first that is a token counts.

        Args:
            presented: what the request has where keys are put, in order.
            provider: name of the listener.

        Raises:
            CallerUnknown: none of them is a token, or there are none.
            CallerExpired: the token has ended.
            CallerRefused: it may not use this provider.
        """
        for token in presented[:_MOST_TRIED]:
            if 0 < len(token) <= MAX_TOKEN:
                grant = self._whole(token, provider) or self._narrowed(token, provider)
                if grant is not None:
                    return grant
        raise CallerUnknown

    def _whole(self, token: bytes, provider: str) -> Grant | None:
        key = digest(token)
        if key not in self._by_digest:
            return None
        caller, _ = self._by_digest[key]
        self._check(caller, provider)
        return caller.grant(key)

    def _narrowed(self, token: bytes, provider: str) -> Grant | None:
        narrowed = Narrowed.parse(token)
        if narrowed is None or narrowed.id not in self._by_id:
            return None
        caller, verifier = self._by_id[narrowed.id]
        if verifier.chain is None or not narrowed.verified(verifier.chain):
            return None
        rest = _Rest()
        if not all(map(rest.take_away, narrowed.caveats, count(1))):
            raise CallerRefused("This token has a caveat that is not understood here.")
        self._check(caller, provider)
        if rest.expires and min(rest.expires) <= self._now():
            raise CallerExpired
        if any(provider not in names for names in rest.providers):
            raise CallerRefused(_PROVIDER)
        return _within(caller.grant(verifier.digest), narrowed, rest)

    def _check(self, caller: Caller, provider: str) -> None:
        if caller.expires is not None and caller.expires <= self._now():
            raise CallerExpired
        if caller.providers is not None and provider not in caller.providers:
            raise CallerRefused(_PROVIDER)

    def keeps(self, grant: Grant, provider: str) -> bool:
        """Whether it would let in again whom it, or one before it, has let in."""
        if grant.token not in self._by_digest:
            return False
        caller, verifier = self._by_digest[grant.token]
        if verifier.chain is None and listed(grant.name) != grant.name:
            return False
        if grant.expires is not None and grant.expires <= self._now():
            return False
        try:
            self._check(caller, provider)
        except (CallerExpired, CallerRefused):
            return False
        return True

    def __repr__(self) -> str:
        return f"<Callers {len(self.callers)}>"


_PROVIDER = "This caller may not use this provider; see its list of providers."


def _within(grant: Grant, narrowed: Narrowed, rest: _Rest) -> Grant:
    """The grant of a narrowed token within that of the whole one.

    Its account is named by its caveats, not by its signature, so that the same narrowing made
    twice is one account; each allowance of it is beside those of the caller, never in
    their place. An allowance is on the account of the caveats up to its own: who narrows a
    token once more spends on the accounts that it had, too.
    """
    name = _name(grant, narrowed, len(narrowed.caveats))
    allowances = [
        Allowance(f"token:{_name(grant, narrowed, upto)}", measure, cap)
        for upto, measure, cap in rest.budgets
    ]
    accounts = [*(each.account for each in allowances), f"token:{name}"]
    return Grant(
        name,
        (*grant.accounts, *dict.fromkeys(accounts)),
        (*grant.allowances, *allowances),
        (*grant.models, *rest.models),
        grant.token,
        min(rest.expires, default=None),
    )


def _name(grant: Grant, narrowed: Narrowed, upto: int) -> str:
    """That of a token with only so many of its caveats."""
    mark = digest(b"\0".join((narrowed.id, *narrowed.caveats[:upto])))[:4].hex()
    return f"{grant.name}+{mark}"


def refuse_model(grant: Grant | None, model: str) -> CallerRefused | None:
    """Why this caller may not use a model; None if it may, or if nobody asked who it is.

    Args:
        grant: of the exchange.
        model: as the agent names it; empty if that cannot be told.
    """
    if grant is None or grant.allows(model):
        return None
    return CallerRefused("This caller may not use this model; see its list of models.")


def entries(grant: Grant | None, amounts: Mapping[str, int]) -> list[Entry]:
    """What a request sets aside on the accounts of its caller; for a claim of the ledger.

    Args:
        grant: of the exchange.
        amounts: by measure, in the ledger's units.

    Returns:
        An entry for each account and measure, with the least cap that there is; none where
        callers are not told apart.
    """
    if grant is None:
        return []
    caps: dict[tuple[str, str], int] = {}
    for each in grant.allowances:
        key = (each.account, each.measure)
        caps[key] = min(each.cap, caps.get(key, each.cap))
    return [
        Entry(account, measure, amount, caps.get((account, measure)))
        for account in grant.accounts
        for measure, amount in amounts.items()
    ]
