"""The control socket put together."""

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.control.door import SocketTaken
from apiproxy.admin.control.socket import ControlSocket
from tests.admin.control.parts import Service


class ControlSocketTests(SynchronousTestCase):
    def made(self, path: str) -> ControlSocket:
        service, self.reactor = Service(), MemoryReactorClock()
        sockets: Any = self.reactor
        return ControlSocket(path, service.sources, service.log, sockets, self.reactor)

    def test_its_life(self) -> None:
        """It is listened on with a mode that lets in nobody else, and then no more."""
        path = os.path.abspath(self.mktemp())
        made = self.made(path)
        self.assertEqual(repr(made), f"<ControlSocket {path}>")
        made.open()
        (opened,) = self.reactor.unixServers
        self.assertEqual((opened[0], opened[3]), (path, 0o600))
        self.successResultOf(Deferred.fromCoroutine(made.close()))

    def test_a_place_where_it_cannot_be(self) -> None:
        """That is said."""
        self.assertRaises(SocketTaken, self.made("/nowhere/at/all").open)
