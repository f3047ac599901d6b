"""Ports and Unix sockets that are listened on."""

from typing import Any, cast

from attrs import evolve
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.listening import Listening, PortTaken, shown_address
from apiproxy.wire.reactor import Reactor
from tests.admin.providers import provider


class ListeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.opened: list[tuple[str, str]] = []
        self.listening = Listening(cast(Reactor, self.reactor), self.note)

    def note(self, whose: Any, address: str) -> None:
        self.opened.append((whose.name, address))

    def test_each_is_told(self) -> None:
        """A port on each address, and a socket."""
        whose = evolve(provider("openai", 10000), socket="/run/x")
        self.listening.open(whose, ("127.0.0.1", "::1"), ServerFactory())
        self.assertEqual([name for name, _ in self.opened], ["openai"] * 3)
        self.assertEqual(self.opened[0][1], "0.0.0.0:10000")  # as the fake has it
        self.assertEqual(len(self.listening.ports), 3)

    def test_one_that_is_taken(self) -> None:
        """Whose it is, is said, and what to set."""

        def taken(*_: object, **__: object) -> None:
            raise CannotListenError("", 10000, OSError("taken"))

        self.patch(self.reactor, "listenTCP", taken)
        where = (provider("openai", 10000), ("127.0.0.1",), ServerFactory())
        error = self.assertRaises(PortTaken, self.listening.open, *where)
        self.assertIn("openai: ", str(error))
        self.assertIn("APIPROXY_OPENAI_PORT", str(error))

    def test_the_end(self) -> None:
        """All are closed, those that take their time, too."""
        self.listening.open(provider("a", 1), ("127.0.0.1",) * 2, ServerFactory())
        closing: Deferred[None] = Deferred()
        for port, ends in zip(
            self.listening.ports, (succeed(None), closing), strict=True
        ):
            self.patch(port, "stopListening", lambda ends=ends: ends)
        closed = Deferred.fromCoroutine(self.listening.close())
        self.assertNoResult(closed)
        closing.callback(None)
        self.successResultOf(closed)
        self.assertEqual(self.listening.ports, [])

    def test_addresses_as_they_are_shown(self) -> None:
        """IPv6 in brackets, a Unix socket by its path."""
        for address, shown in (
            (IPv4Address("TCP", "127.0.0.1", 3128), "127.0.0.1:3128"),
            (IPv6Address("TCP", "::1", 10000), "[::1]:10000"),
            (UNIXAddress("/run/x"), "/run/x"),
        ):
            self.assertEqual(shown_address(address), shown)
