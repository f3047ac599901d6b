"""What may happen to a ledger, in any order: a state machine that knows what must come out.

Several processes share a ledger. They claim, settle below and above what they have set aside,
release, extend, are told to stop, or are killed. After every step the figures of the ledger
are those that were counted here, and no cap is overrun by more than one response and what
was spent beyond what had been set aside.
"""

from collections.abc import Callable
from typing import Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apiproxy.policy.ledger import Claim, Entry, Shortage, Standing

CAPS = {"run:1": 100, "provider:x": 150, "caller:a": None}

_Amounts = dict[str, int]

# Few different ones, so that sums often are what the caps are.
amounts = st.dictionaries(
    st.sampled_from(sorted(CAPS)), st.sampled_from((0, 1, 25, 49, 50, 60)), min_size=1
)


class Process(Protocol):
    """A process that uses the ledger, and answers at once."""

    def reserve(self, claim: Claim) -> Shortage | None:
        """As the ledger does."""

    def extend(self, id: str, entries: list[Entry]) -> Shortage | None:
        """As the ledger does."""

    def settle(self, id: str, spent: list[Entry]) -> None:
        """As the ledger does."""

    def release(self, id: str) -> None:
        """As the ledger does."""

    def add(self, entries: list[Entry]) -> None:
        """As the ledger does."""

    def standings(self) -> list[Standing]:
        """As the ledger does."""

    def kill(self) -> None:
        """End it without a chance to say good-bye."""

    def stop(self) -> None:
        """End it in order."""

    def sweep(self) -> None:
        """Notice who is gone."""


class LedgerMachine(RuleBasedStateMachine):
    """The ledger and what it must say.

    Attributes:
        begin: makes a new ledger; what it gives opens that as one more process.
    """

    begin: Callable[[], Callable[[], Process]]
    sharing = 2
    """How many processes share it."""

    def __init__(self) -> None:
        super().__init__()
        self.open = type(self).begin()
        self.processes = [self.open() for _ in range(self.sharing)]
        self.spent = dict.fromkeys(CAPS, 0)
        self.beyond = dict.fromkeys(CAPS, 0)
        self.largest = dict.fromkeys(CAPS, 0)
        self.claims: dict[str, tuple[Process, _Amounts]] = {}
        self.presumed: dict[str, _Amounts] = {}
        self.over: list[str] = []
        self.ids = 0

    def teardown(self) -> None:
        """Stop all."""
        for process in self.processes:
            process.stop()

    def of(self, number: int) -> Process:
        """One of the processes."""
        return self.processes[number % len(self.processes)]

    def held(self, account: str) -> int:
        """What is set aside."""
        return sum(claim.get(account, 0) for _, claim in self.claims.values())

    @rule(number=st.integers(0, 7), wanted=amounts)
    def reserve(self, number: int, wanted: _Amounts) -> None:
        self.ids += 1
        id = f"claim-{self.ids}"
        process = self.of(number)
        shortage = process.reserve(Claim(id, tuple(entries(wanted))))
        short = [
            account
            for account in wanted
            if (cap := CAPS[account]) is not None
            and self.spent[account] + self.held(account) >= cap
        ]
        if short:
            assert shortage is not None
            assert shortage.entry.account == short[0]
        else:
            assert shortage is None
            self.claims[id] = process, dict(wanted)
            for account, amount in wanted.items():
                self.largest[account] = max(self.largest[account], amount)

    @precondition(lambda self: self.claims or self.presumed)
    @rule(number=st.integers(0, 50), spent=amounts)
    def settle(self, number: int, spent: _Amounts) -> None:
        known = [*self.claims, *self.presumed]
        id = known[number % len(known)]
        if id in self.claims:
            process, before = self.claims.pop(id)
        else:
            process, before = self.of(number), self.presumed.pop(id)
            for account, amount in before.items():
                self.spent[account] -= amount
        process.settle(id, entries(spent))
        for account, amount in spent.items():
            self.spent[account] += amount
            self.beyond[account] += max(0, amount - before.get(account, 0))
        self.over.append(id)

    @precondition(lambda self: self.over)
    @rule(number=st.integers(0, 50), spent=amounts)
    def settle_again(self, number: int, spent: _Amounts) -> None:
        id = self.over[number % len(self.over)]
        self.of(number).settle(id, entries(spent))

    @precondition(lambda self: self.claims or self.presumed)
    @rule(number=st.integers(0, 50))
    def release(self, number: int) -> None:
        known = [*self.claims, *self.presumed]
        id = known[number % len(known)]
        if id in self.claims:
            process, _ = self.claims.pop(id)
        else:
            process = self.of(number)
            for account, amount in self.presumed.pop(id).items():
                self.spent[account] -= amount
        process.release(id)

    @precondition(lambda self: self.claims or self.presumed)
    @rule(number=st.integers(0, 50), more=amounts)
    def extend(self, number: int, more: _Amounts) -> None:
        known = [*self.claims, *self.presumed]
        id = known[number % len(known)]
        if id in self.presumed:
            before = self.presumed.pop(id)
            for account, amount in before.items():
                self.spent[account] -= amount
            self.claims[id] = self.of(number), before
        process, claim = self.claims[id]
        shortage = process.extend(id, entries(more))
        for account, amount in more.items():
            claim[account] = claim.get(account, 0) + amount
            self.beyond[account] += amount
        crossed = [
            account
            for account in more
            if (cap := CAPS[account]) is not None
            and self.spent[account] + self.held(account) > cap
        ]
        told = [] if shortage is None else [shortage.entry.account]
        assert told == crossed[:1]

    @rule(number=st.integers(0, 7), spent=amounts)
    def add(self, number: int, spent: _Amounts) -> None:
        self.of(number).add(entries(spent))
        for account, amount in spent.items():
            self.spent[account] += amount
            self.beyond[account] += amount

    @rule(number=st.integers(0, 7))
    def kill(self, number: int) -> None:
        process = self.of(number)
        process.kill()
        self.replace(process)

    @rule(number=st.integers(0, 7))
    def restart(self, number: int) -> None:
        process = self.of(number)
        process.stop()
        self.replace(process)

    def replace(self, process: Process) -> None:
        """Another one takes its place, and presumes what its claims have cost."""
        self.processes.remove(process)
        self.processes.append(self.open())
        self.processes[-1].sweep()
        for id, (owner, claim) in list(self.claims.items()):
            if owner is process:
                self.presumed[id] = self.claims.pop(id)[1]
                for account, amount in claim.items():
                    self.spent[account] += amount

    @invariant()
    def nothing_is_lost(self) -> None:
        found = dict.fromkeys(CAPS, (0, 0))
        for standing in self.processes[0].standings():
            found[standing.account] = standing.spent, standing.reserved
        assert found == {
            account: (self.spent[account], self.held(account)) for account in CAPS
        }

    @invariant()
    def caps_are_overrun_by_one_response(self) -> None:
        for account, cap in CAPS.items():
            total = self.spent[account] + self.held(account)
            allowed = self.largest[account] + self.beyond[account]
            assert total >= 0
            assert cap is None or total <= cap + allowed


def entries(amounts: _Amounts) -> list[Entry]:
    """Amounts as entries, each with the cap of its account."""
    return [
        Entry(account, "tokens", amount, CAPS[account])
        for account, amount in amounts.items()
    ]
