"""What all processes count together, in memory that they share.

The limits hold for all workers, so each of them must know what the others have under way, at
every exchange and within a microsecond. A question over a socket would cost fifty of those.
So each worker has a slot of its own in a small anonymous file that all have mapped: it stores
its figures there, and whoever compares adds up the slots. A figure is eight bytes, aligned,
and written by one process only, so there is nothing to lock and none is ever half written; a
sum may be some nanoseconds old, which a limit can bear.

A slot is as long as a cache line, so that workers do not take it from one another. Before the
slots there is one that says how many there are; behind them stand the rings of the rate
limits (``policy.rate``), where each worker has a part of its own, too. A worker that ends
leaves nothing under way, so its slot is cleared; what it has let through still counts in the
window of a limit, so its rings stay, and its replacement counts on in them.
"""

import mmap
import os
import sys

from apiproxy.core.exchange import ASKED, Exchange, Lives

_SLOT = 8  # figures of eight bytes
_HEAD = 8  # figures before the first slot
_LIVE, _CAME, _LEFT = range(3)


class Shares:
    """The figures of all workers.

    Attributes:
        fd: descriptor of the memory, to be inherited by workers.
        workers: how many slots there are.
        figures: all slots, one after the other.
        rings: of the rate limits of all workers.
        lives: exchanges under way in each worker.
    """

    def __init__(self, fd: int) -> None:
        """Map the memory of which this is a descriptor."""
        self.fd = fd
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._all = memoryview(self._map).cast("q")
        self.workers = self._all[0]
        rings = _HEAD + self.workers * _SLOT
        self.figures = self._all[_HEAD:rings]
        self.rings = self._all[rings:]
        self.lives = self.figures[_LIVE::_SLOT]

    @classmethod
    def make(cls, workers: int, rings: int = 0) -> "Shares":
        """New memory, all zero.

        Args:
            workers: how many slots there are.
            rings: figures of the rate limits (``RateLimits.size``).
        """
        fd = os.memfd_create("apiproxy-shares", os.MFD_CLOEXEC)
        os.ftruncate(fd, (_HEAD + workers * _SLOT + rings) * 8)
        os.pwrite(fd, workers.to_bytes(8, sys.byteorder), 0)
        return cls(fd)

    @property
    def live(self) -> int:
        """Exchanges under way in all workers."""
        return sum(self.lives)

    @property
    def agents(self) -> int:
        """Connections of agents that workers have."""
        return sum(self.figures[_CAME::_SLOT]) - sum(self.figures[_LEFT::_SLOT])

    def left(self, worker: int) -> int:
        """How many connections a worker has had that are gone."""
        return self.figures[worker * _SLOT + _LEFT]

    def clear(self, worker: int) -> None:
        """Forget what a worker had under way; it must have ended."""
        for at in range(worker * _SLOT, (worker + 1) * _SLOT):
            self.figures[at] = 0

    def close(self) -> None:
        """Give the memory back."""
        for view in (self.lives, self.figures, self.rings, self._all):
            view.release()
        self._map.close()
        os.close(self.fd)


class SharedCensus(Lives):
    """Counts what is under way here, and knows what is under way in all workers."""

    def __init__(self, shares: Shares, worker: int) -> None:
        """Count in the slot of this worker."""
        self._shares = shares
        self._figures = shares.figures
        self._lives = shares.lives
        self._own = 0
        self._live = worker * _SLOT + _LIVE
        self._came = worker * _SLOT + _CAME
        self._left = worker * _SLOT + _LEFT

    @property
    def live(self) -> int:
        """Exchanges under way in all workers."""
        return sum(self._lives)

    @property
    def agents(self) -> int:
        """Connections of agents in all workers."""
        return self._shares.agents

    def agent_came(self) -> None:
        """One connection more."""
        self._figures[self._came] += 1

    def agent_left(self) -> None:
        """One connection fewer."""
        self._figures[self._left] += 1

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange in, and out."""
        self._own += 1 if exchange.phase is ASKED else -1
        self._figures[self._live] = self._own

    def __repr__(self) -> str:
        return f"<SharedCensus {self._own} of {self.live} live>"
