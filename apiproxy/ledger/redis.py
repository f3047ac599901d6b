"""The ledger in Redis: one budget for all replicas and their workers.

Every operation is one script (``redis_scripts``), and so atomic. Nobody waits long for a
Redis that is away: an operation fails within the timeout, or at once when there is no
connection, and it is for the caller to go on or not.

What failed may have been done all the same. So what must not be lost or left over is *owed*: a
claim whose reservation failed is released, and a claim whose settling failed is settled, as
soon as Redis is back. To do that twice changes nothing, because Redis remembers which claims
are over. ``add`` settles a claim that nobody has made, so it is owed as well; and so is the
end of a streak, or a cap on misses in a row would refuse for what had long got well again.

Each process that uses the ledger has a lease, which it renews. When one has ended, whoever
notices first presumes that the claims of that process have cost what was set aside. Should
the process be there after all, and settle one, the presumption is taken back.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from attrs import frozen
from msgspec import structs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apiproxy.core.values import Secret
from apiproxy.ledger.redis_line import RedisLine
from apiproxy.ledger.redis_scripts import Script, scripts
from apiproxy.ledger.rules import Bounds, clamped, fitting
from apiproxy.policy.ledger import (
    Claim,
    Entry,
    LedgerUnavailable,
    Shortage,
    Standing,
)

_log = Logger()

_Word: TypeAlias = bytes | str | int
_BASE = "{apiproxy}:ledger"
_MOST_OWED = 10_000
_PARTS = 3
"""How often a lease is renewed before it would end."""

_shortage = msgspec.msgpack.Decoder(tuple[int, str, int, int, int, str, str]).decode
_standings = msgspec.msgpack.Decoder(list[tuple[str, int, int, str, str]]).decode


@frozen
class RedisAccess:
    """How one Redis is used.

    Attributes:
        database: its number.
        username: for access control lists; None for the default user.
        password: None if it asks for none.
        timeout: seconds that an operation may take.
        lease: seconds after which a process that has not been heard of is taken to be gone.
        base: what the names of all keys begin with; its part in braces decides where a
            cluster has them.
    """

    database: int = 0
    username: str | None = None
    password: Secret | None = None
    timeout: float = 1.0
    lease: float = 30.0
    base: str = _BASE


class RedisLedger:
    """One budget for all that use the same Redis.

    Attributes:
        presumed: claims of others that this process has counted at what they had set aside.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        access: RedisAccess,
        clock: IReactorTime,
        *,
        token: str,
        now: Callable[[], float],
        new_id: Callable[[], str],
        bounds: Bounds | None = None,
    ) -> None:
        """Begin to connect.

        Args:
            endpoint: where Redis is.
            access: how it is used.
            clock: counts the seconds of timeouts, and renews the lease.
            token: the name of this process among the others; never used before.
            now: gives epoch seconds, for the ends of caps.
            new_id: makes ids of claims.
            bounds: how much is remembered.

        Raises:
            LedgerUnavailable: ``txredisapi`` is not installed.
        """
        self.presumed = 0
        self._now = now
        self._new_id = new_id
        self._token = token
        self._base = access.base
        self._lease = access.lease
        self._scripts = scripts(bounds or Bounds())
        self._closed = False
        self._owed: dict[str, tuple[Script, tuple[_Word, ...]]] = {}
        self._line = RedisLine(
            endpoint,
            clock,
            database=access.database,
            username=access.username,
            password=access.password,
            timeout=access.timeout,
            ready=self._back,
        )
        self._line.start()
        self._renewing = LoopingCall(self._renew)
        self._renewing.clock = clock
        self._running = self._renewing.start(access.lease / _PARTS, now=False)

    @property
    def up(self) -> bool:
        """Whether there is a connection to Redis."""
        return self._line.up

    @property
    def owed(self) -> int:
        """Claims and streaks of which Redis must still be told that they are over."""
        return len(self._owed)

    def reserve(self, claim: Claim) -> Deferred[Shortage | None]:
        """Set aside what the claim says, or nothing and tell what is short."""
        entries = fitting(claim.entries)
        asked = self._run(self._scripts.reserve, claim.id, *_words(entries))
        owed = asked.addErrback(self._owe, claim.id, self._scripts.release, (claim.id,))
        return owed.addCallback(_told, entries)

    def extend(self, id: str, entries: Sequence[Entry]) -> Deferred[Shortage | None]:
        """Set more aside for a claim under way, in any case; tell the first cap crossed."""
        wanted = fitting(entries)
        asked = self._run(self._scripts.extend, id, *_words(wanted))
        return asked.addCallback(_told, wanted)

    def reaches(self, entries: Sequence[Entry]) -> Deferred[Shortage | None]:
        """Tell the first cap that is overrun by what is spent and these amounts."""
        wanted = fitting(entries)
        asked = self._run(self._scripts.reaches, *_words(wanted))
        return asked.addCallback(_told, wanted).addCallback(_as_spent)

    def settle(self, id: str, spent: Sequence[Entry]) -> Deferred[None]:
        """Write down what was spent and give back what was set aside; once.

        Errors:
            LedgerUnavailable: not now. It is done when Redis is back.
        """
        words = (id, *_words(fitting(spent)))
        asked = self._run(self._scripts.settle, *words)
        owed = asked.addErrback(self._owe, id, self._scripts.settle, words)
        return owed.addCallback(_nothing)

    def release(self, id: str) -> Deferred[None]:
        """Give back what was set aside; nothing was spent.

        Errors:
            LedgerUnavailable: not now. It is done when Redis is back.
        """
        asked = self._run(self._scripts.release, id)
        owed = asked.addErrback(self._owe, id, self._scripts.release, (id,))
        return owed.addCallback(_nothing)

    def add(self, entries: Sequence[Entry]) -> Deferred[None]:
        """Write down what nobody could set aside before.

        Errors:
            LedgerUnavailable: not now. It is done when Redis is back.
        """
        return self.settle(self._new_id(), entries)

    def clear(self, account: str, measure: str) -> Deferred[None]:
        """Spent is zero again: a streak has ended.

        Errors:
            LedgerUnavailable: not now. It is done when Redis is back.
        """
        asked = self._run(self._scripts.clear, measure, account)
        # No id of a claim has a space in it.
        owed = asked.addErrback(
            self._owe, f"{measure} {account}", self._scripts.clear, (measure, account)
        )
        return owed.addCallback(_nothing)

    def set_cap(
        self, account: str, measure: str, cap: int | None, until: float | None = None
    ) -> Deferred[None]:
        """Put an operator's cap in force, until that time (epoch); None takes it away."""
        limit = "" if cap is None else clamped(cap)
        end = "" if until is None else repr(float(until))
        asked = self._run(self._scripts.set_cap, measure, account, limit, end)
        return asked.addCallback(_nothing)

    def standings(self) -> Deferred[list[Standing]]:
        """All there is, sorted by account and measure."""
        return self._run(self._scripts.standings).addCallback(_sorted)

    def sync(self) -> Deferred[None]:
        """Tell Redis what it is owed. When it writes to its disk is its own affair.

        Errors:
            LedgerUnavailable: not now.
        """
        return Deferred.fromCoroutine(self._pay())

    def close(self) -> Deferred[None]:
        """Tell what is owed, count what is under way at what was set aside, and let go."""
        if self._closed:
            return succeed(None)
        self._closed = True
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._renewing.stop()
        try:
            await self._pay()
            await self._run(self._scripts.leave)
        except LedgerUnavailable as error:
            _log.error(
                "the ledger was not closed in order, {owed} claims are owed: {error}",
                owed=len(self._owed),
                error=error,
            )
        await self._line.stop()

    def _run(self, script: Script, *words: _Word) -> Deferred[Any]:
        given = (1, self._base, self._token, repr(self._now()), *words)
        asked = self._line.ask("EVALSHA", script.sha, *given)
        return asked.addErrback(self._unknown, script, given)

    def _unknown(
        self, failure: Failure, script: Script, given: tuple[_Word, ...]
    ) -> Deferred[Any] | Failure:
        # A Redis that was started anew has not seen the script yet.
        if "NOSCRIPT" in failure.getErrorMessage():
            return self._line.ask("EVAL", script.text, *given)
        return failure

    def _owe(
        self, failure: Failure, name: str, script: Script, words: tuple[_Word, ...]
    ) -> Failure:
        if name not in self._owed and len(self._owed) >= _MOST_OWED:
            _log.error("too much is owed to Redis, {name} is lost", name=name)
        else:
            self._owed[name] = script, words
        return failure

    async def _pay(self) -> None:
        refused = None
        for name, debt in list(self._owed.items()):
            try:
                await self._run(debt[0], *debt[1])
            except LedgerUnavailable as error:
                refused = error
                if not self._line.up:
                    break
            else:
                if self._owed.get(name) is debt:
                    del self._owed[name]
        if refused is not None:
            raise refused

    def _back(self) -> None:
        self._renewed = self._renew()

    def _renew(self) -> Deferred[None]:
        asked = self._run(self._scripts.sweep, repr(self._lease))
        return asked.addCallbacks(self._swept, _later)

    def _swept(self, claims: int) -> None:
        if self._owed:  # an answer was an error, or late
            self._paying = self.sync().addErrback(_later)
        self.presumed += claims
        if claims:
            _log.warn(
                "{claims} requests that were under way in a process that has ended are"
                " counted at what they had set aside",
                claims=claims,
            )

    def __repr__(self) -> str:
        return f"<RedisLedger {self._line!r}, {len(self._owed)} owed>"


def _words(entries: Sequence[Entry]) -> tuple[_Word, ...]:
    words: list[_Word] = []
    for entry in entries:
        cap = "" if entry.cap is None else clamped(entry.cap)
        words += (entry.measure, entry.account, entry.amount, cap)
    return tuple(words)


def _told(answer: int | bytes, entries: Sequence[Entry]) -> Shortage | None:
    if not isinstance(answer, bytes):
        return None
    number, row, spent, reserved, cap, operators, until = _shortage(answer)
    measure, account = row.split(" ", 1)
    entry = Entry(account, measure, entries[number - 1].amount, cap)
    return Shortage(entry, _standing(row, spent, reserved, operators, until))


def _as_spent(shortage: Shortage | None) -> Shortage | None:
    """The same as if its amount was spent."""
    if shortage is None:
        return None
    spent = shortage.standing.spent + shortage.entry.amount
    return Shortage(shortage.entry, structs.replace(shortage.standing, spent=spent))


def _sorted(answer: bytes) -> list[Standing]:
    found = [_standing(*row) for row in _standings(answer)]
    return sorted(found, key=lambda standing: (standing.account, standing.measure))


def _standing(row: str, spent: int, reserved: int, cap: str, until: str) -> Standing:
    measure, account = row.split(" ", 1)
    return Standing(
        account,
        measure,
        spent,
        reserved,
        int(cap) if cap else None,
        float(until) if until else None,
    )


def _nothing(_: object) -> None:
    return None


def _later(failure: Failure) -> None:
    """Redis is away; what is owed is told when it is back."""
    failure.trap(LedgerUnavailable)
