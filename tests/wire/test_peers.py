"""Connections of each address."""

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.limits import Limits
from apiproxy.wire.peers import Peers, address_of
from tests.kit.memory import Bench


class PeerTests(SynchronousTestCase):
    """Who holds how many."""

    def test_counting(self) -> None:
        """It remembers nobody who has left."""
        peers = Peers()
        peers.came("a")
        peers.came("a")
        peers.came("b")
        self.assertTrue(peers.full("a", 2))
        self.assertFalse(peers.full("b", 2))
        self.assertEqual(repr(peers), "<Peers 2 addresses>")
        for peer in ("a", "b", "a", "a"):
            peers.left(peer)
        self.assertEqual(repr(peers), "<Peers 0 addresses>")

    def test_addresses(self) -> None:
        """A Unix socket has none."""
        self.assertEqual(address_of(IPv4Address("TCP", "10.0.0.1", 1)), "10.0.0.1")
        self.assertEqual(address_of(UNIXAddress(b"/x")), "")
        self.assertEqual(address_of(None), "")

    def test_one_address_leaves_room_for_others(self) -> None:
        """At its limit it is turned away, before a byte is read."""
        bench = Bench(limits=Limits(peer=2))
        here, there = (IPv4Address("TCP", host, 1) for host in ("10.0.0.1", "10.0.0.2"))
        agents = [bench.agent(peer=here) for _ in range(2)]
        self.assertIsNone(bench.site.buildProtocol(here))
        self.assertIsNotNone(bench.site.buildProtocol(there))
        agents[0].leave()
        self.assertIsNotNone(bench.site.buildProtocol(here))
