"""Processes that work on one ledger and are killed with SIGKILL, again and again.

Run as a program: ``killing.py FILE ROUNDS SEED``. It forks its children from itself, which
takes a millisecond where a new Python would take a hundred. Each child opens the ledger and
reserves, extends, settles and syncs as fast as it can, and says what it does on a pipe: ``+``
and an amount before it reserves, ``=`` and an amount after it has settled. It is killed after
a random count of those words, or of milliseconds; in every third round there are two children.

After each round the ledger is opened once more. What it says was spent must be at least what
was acknowledged, and at most that and what was under way; nothing may be reserved. The
program ends with 0 and prints how many rounds and settles there were.
"""

import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from apiproxy.ledger.sqlite import SqliteLedger
from apiproxy.policy.ledger import Claim, Entry

_ACCOUNTS = ("run:1", "provider:x", "model:y", "caller:z")


def _entries(amount: int) -> tuple[Entry, ...]:
    return tuple(Entry(account, "tokens", amount) for account in _ACCOUNTS)


def _aside(work: Callable[[], None]) -> Deferred[None]:
    return maybeDeferred(work)


def opened(path: Path) -> SqliteLedger:
    """The ledger, as one more process."""
    return SqliteLedger(
        path,
        clock=Clock(),
        token=os.urandom(8).hex(),
        now=time.time,
        aside=_aside,
        busy_ms=10_000,
    )


def work(path: Path, say: int, chance: random.Random) -> None:
    """What a child does until it is killed."""
    ledger = opened(path)
    for number in range(1_000_000):
        id, held = f"{os.getpid()}-{number}", chance.randrange(1, 100)
        # Said in one write of a few bytes, which is whole or not at all.
        os.write(say, b"+%d\n" % held)
        ledger.reserve(Claim(id, _entries(held)))
        if number % 7 == 0:
            os.write(say, b"+%d\n" % 5)
            ledger.extend(id, _entries(5))
            held += 5
        spent = chance.randrange(held + 1)
        ledger.settle(id, _entries(spent))
        os.write(say, b"=%d\n" % spent)
        if number % 40 == 39:
            _ = ledger.sync()


class Child:
    """One of those who are killed.

    Attributes:
        acknowledged: sum of what it has settled.
        unsure: most of what it may have written beside that.
        settles: how many.
    """

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.acknowledged = self.unsure = self.settles = 0
        self._words = chance.randrange(1, 120)
        self._end = time.monotonic() + chance.choice((chance.random() * 0.04, 5.0))
        seed = chance.random()
        self.ear, say = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                work(path, say, random.Random(seed))
            finally:
                os._exit(1)
        os.close(say)
        self._rest = b""
        self._heard = 0

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return self._heard >= self._words or time.monotonic() >= self._end

    def listen(self, seconds: float) -> bool:
        """Hear what it says for at most so long; whether there may be more."""
        if not select.select([self.ear], [], [], seconds)[0]:
            return True
        data = os.read(self.ear, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._heard += 1
            if line[:1] == b"+":
                self.unsure += int(line[1:])
            else:
                self.acknowledged += int(line[1:])
                self.settles += 1
                self.unsure = 0
        return bool(data)

    def kill(self) -> None:
        """End it at once, and hear what it had still said."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        while self.listen(0):
            pass
        os.close(self.ear)


def round_of(path: Path, chance: random.Random, count: int) -> tuple[int, int, int]:
    """Let so many children work, and kill each; what they have said."""
    children = [Child(path, chance) for _ in range(count)]
    left = list(children)
    while left:
        for child in list(left):
            alive = child.listen(0.0005)
            assert alive, "a child has ended by itself"
            if child.due:
                child.kill()
                left.remove(child)
    return (
        sum(child.acknowledged for child in children),
        sum(child.unsure for child in children),
        sum(child.settles for child in children),
    )


def main(path: Path, rounds: int, seed: int) -> None:
    """All rounds, on one file."""
    chance = random.Random(seed)
    before = settles = presumed = 0
    for number in range(rounds):
        acknowledged, unsure, count = round_of(path, chance, 1 + (number % 3 == 0))
        ledger = opened(path)
        standings = {each.account: each for each in ledger.standings()}
        for account in _ACCOUNTS if standings else ():
            found = standings[account]
            least = before + acknowledged
            assert least <= found.spent <= least + unsure, (
                number,
                found,
                least,
                unsure,
            )
            assert found.reserved == 0, (number, found)
        before = standings["run:1"].spent if standings else 0
        settles += count
        presumed += ledger.presumed
        _ = ledger.close()
    print(rounds, settles, presumed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
