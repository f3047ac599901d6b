"""What all processes count together."""

import os

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.exchange import Exchange, Observers
from apiproxy.workers.shares import SharedCensus, Shares


class SharesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shares = Shares.make(3, rings=7)
        self.censuses = [SharedCensus(self.shares, number) for number in range(3)]

    def begin(self, worker: int) -> Exchange:
        """An exchange of a worker."""
        observers = Observers(self.censuses[worker])
        return Exchange("id", "openai", "GET", "/", seconds=float, observers=observers)

    def test_exchanges_of_all(self) -> None:
        """Each worker knows how many are under way in all of them."""
        first, second = self.begin(0), self.begin(2)
        self.begin(2)
        self.assertEqual([census.live for census in self.censuses], [3, 3, 3])
        first.forward(reused=False)
        first.close()
        second.close()
        self.assertEqual(self.shares.live, 1)
        self.assertEqual(repr(self.censuses[2]), "<SharedCensus 1 of 1 live>")

    def test_connections_of_all(self) -> None:
        """The same; and the front learns how many each worker has had that are gone."""
        for worker in (0, 0, 1):
            self.censuses[worker].agent_came()
        self.censuses[0].agent_left()
        self.assertEqual([census.agents for census in self.censuses], [2, 2, 2])
        self.assertEqual([self.shares.left(n) for n in range(3)], [1, 0, 0])

    def test_a_worker_that_has_ended(self) -> None:
        """What it had under way is forgotten, and only that."""
        self.begin(0)
        self.begin(1)
        self.censuses[0].agent_came()
        self.shares.rings[0] = 9
        self.shares.clear(0)
        self.assertEqual(self.shares.rings[0], 9)  # what it let through still counts
        self.assertEqual((self.shares.live, self.shares.agents), (1, 0))

    def test_another_process(self) -> None:
        """By the descriptor it finds the same figures, and how many there are."""
        other = Shares(os.dup(self.shares.fd))
        self.assertEqual((other.workers, len(other.rings)), (3, 7))
        other.rings[6] = 5
        SharedCensus(other, 1).agent_came()
        self.assertEqual(self.shares.agents, 1)
        other.close()
        self.assertEqual(list(self.shares.rings), [0] * 6 + [5])
        self.assertEqual(self.shares.agents, 1)
