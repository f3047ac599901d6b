"""Ports of loopback are free when they are given."""

import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.kit.ports import free_port


class PortsTests(SynchronousTestCase):
    def test_it_can_be_listened_on(self) -> None:
        """And nobody else does."""
        port = free_port()
        with socket.create_server(("127.0.0.1", port)) as one:
            self.assertEqual(one.getsockname()[1], port)
