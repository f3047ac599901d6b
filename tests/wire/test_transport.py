"""What is set on every connection."""

import socket
from typing import cast

from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.wire.transport import Transport, probes, quiet, transport_of, tune
from tests.kit.memory import NOWHERE, MemoryTransport


class TuneTests(SynchronousTestCase):
    """Small writes at once; a dead host is found."""

    def test_a_tcp_connection(self) -> None:
        """Probes after a minute of silence, five of them."""
        transport = MemoryTransport(Protocol())
        tune(cast(Transport, transport))
        self.assertEqual((transport.no_delay, transport.keep_alive), (True, True))
        self.assertEqual(
            transport.handle.options,
            [
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
                (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20),
                (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
            ],
        )

    def test_a_system_that_lacks_an_option(self) -> None:
        """As macOS does: the others are set."""

        class Darwin:
            TCP_KEEPINTVL, TCP_KEEPCNT = 257, 258

        self.assertEqual(probes(Darwin), [(257, 20), (258, 5)])

    def test_a_unix_socket(self) -> None:
        """It has none of these."""
        transport = MemoryTransport(Protocol(), host=UNIXAddress(b"/run/x"))
        tune(cast(Transport, transport))
        self.assertIsNone(transport.no_delay)
        self.assertEqual(transport.handle.options, [])

    def test_the_transport_of_a_protocol(self) -> None:
        """It is what ``makeConnection`` gave it."""
        protocol = Protocol()
        transport = MemoryTransport(protocol)
        self.assertIs(transport_of(protocol), transport)


class QuietTests(SynchronousTestCase):
    def test_a_factory_that_says_nothing(self) -> None:
        """It gives the protocol that was made, and is no line in the log."""
        protocol = Protocol()
        factory = quiet(lambda address: protocol)
        self.assertIs(factory.buildProtocol(NOWHERE), protocol)
        self.assertFalse(factory.noisy)
