"""The whole way to a provider: TCP, tunnel, TLS; in memory."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.egress import EgressProxy
from apiproxy.core.errors import ProxyError
from apiproxy.providers.base import Provider
from apiproxy.wire.transport import transport_of
from apiproxy.wire.trust import trust
from apiproxy.wire.ways import Ways
from tests.kit.memory import DEADLINES, NOWHERE, MemoryTransport, a_provider
from tests.kit.tls import authority
from tests.wire.test_tls import Peer
from tests.wire.test_tunnel import Names

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


class WaysTests(SynchronousTestCase):
    """What is dialled, asked for and verified."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        context = trust(str(authority().pem))
        self.ways = Ways(self.reactor, context, DEADLINES)

    def dial(
        self, provider: Provider, proxy: EgressProxy | None
    ) -> tuple[Deferred[IProtocol], IProtocol]:
        """Dial; the connection's lowest protocol is there and not connected yet."""
        endpoint = self.ways.to(provider, proxy)
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        host, port, factory, timeout, _ = self.reactor.tcpClients[-1]
        self.dialled = (host, port, timeout)
        protocol = factory.buildProtocol(NOWHERE)
        assert protocol is not None
        return connecting, protocol

    def test_without_a_proxy(self) -> None:
        """Straight to the provider."""
        connecting, protocol = self.dial(
            a_provider(host="127.0.0.1", host_port=8443), None
        )
        self.assertEqual(self.dialled, ("127.0.0.1", 8443, 3))
        peer = Peer(authority().identity(), self.reactor)
        peer.transport.connect(protocol)
        peer.pump()
        above = self.successResultOf(connecting)
        assert isinstance(above, Protocol)
        transport_of(above).write(b"hello")
        peer.pump()
        self.assertEqual(peer.heard, b"hello")

    def test_through_a_proxy(self) -> None:
        """CONNECT first, TLS inside; only the provider sees what is said there."""
        proxy = EgressProxy.parse("http://user:pass@10.0.0.9:3128")
        connecting, protocol = self.dial(a_provider(host="api.openai.com"), proxy)
        self.assertEqual(self.dialled, ("10.0.0.9", 3128, 3))
        peer = Peer(authority().identity(), self.reactor)
        peer.transport.connect(protocol)
        sent = peer.transport.clear()
        self.assertTrue(sent.startswith(b"CONNECT api.openai.com:443 HTTP/1.1\r\n"))
        self.assertIn(b"Proxy-Authorization: Basic ", sent)
        peer.transport.deliver(OPEN)
        peer.pump()
        self.successResultOf(connecting)
        self.assertEqual(peer.name, "api.openai.com")

    def test_through_a_proxy_over_tls(self) -> None:
        """The proxy is verified, then the provider inside it."""
        proxy = EgressProxy.parse("https://127.0.0.1:3129")
        connecting, protocol = self.dial(a_provider(host="api.openai.com"), proxy)
        outer = Peer(authority().identity("127.0.0.1"), self.reactor)
        outer.transport.connect(protocol)
        outer.pump()
        self.assertTrue(outer.heard.startswith(b"CONNECT api.openai.com:443 "))
        outer.heard = b""
        outer.send(OPEN)
        inner = Peer(authority().identity(), self.reactor)
        inner.transport.connect(Protocol())
        while outer.heard:
            inner._incoming.write(outer.heard)
            outer.heard = b""
            inner._take()
            outer.send(inner._outgoing.read())
        above = self.successResultOf(connecting)
        assert isinstance(above, Protocol)
        line = transport_of(above)
        line.write(b"hello")
        outer.pump()
        inner._incoming.write(outer.heard)
        inner._take()
        self.assertEqual(inner.heard, b"hello")
        self.assertIs(line.getHandle(), outer.transport.handle)
        line.loseConnection()
        outer.pump()
        self.assertTrue(outer.goodbye)
        self.assertTrue(outer.transport.disconnected)

    def code(self, connecting: Deferred[IProtocol]) -> str:
        error = self.failureResultOf(connecting, ProxyError).value
        assert isinstance(error, ProxyError)
        return error.code

    def test_a_proxy_whose_certificate_is_wrong(self) -> None:
        """The proxy is to blame, and gets neither CONNECT nor credentials."""
        proxy = EgressProxy.parse("https://user:pass@127.0.0.1:3129")
        connecting, protocol = self.dial(a_provider(), proxy)
        peer = Peer(authority().expired("127.0.0.1"), self.reactor)
        peer.transport.connect(protocol)
        peer.pump()
        self.assertEqual(self.code(connecting), "egress_unreachable")
        self.assertEqual(peer.heard, b"")

    def test_a_provider_that_hangs_up_inside_the_tunnel(self) -> None:
        """Not the proxy is to blame: it had opened the tunnel."""
        proxy = EgressProxy.parse("http://10.0.0.9:3128")
        for silent, code in ((False, "upstream_reset"), (True, "upstream_timeout")):
            connecting, protocol = self.dial(a_provider(), proxy)
            transport = MemoryTransport(protocol, clock=self.reactor)
            transport.deliver(OPEN)
            if silent:
                self.reactor.advance(6)
            else:
                transport.close()
            self.reactor.advance(0)
            self.assertEqual(self.code(connecting), code)

    def test_a_name_is_looked_up_when_it_is_dialled(self) -> None:
        """IPv6 addresses are bracketed in CONNECT and in Host."""
        proxy = EgressProxy.parse("http://10.0.0.9:3128")
        provider = a_provider(host="2001:db8::1", host_port=444)
        _, protocol = self.dial(provider, proxy)
        transport = MemoryTransport(protocol, clock=self.reactor)
        self.assertTrue(
            transport.sent.startswith(b"CONNECT [2001:db8::1]:444 HTTP/1.1")
        )
        self.assertEqual(provider.authority, b"[2001:db8::1]:444")
        names = Names()
        self.reactor.installNameResolver(names)
        way = self.ways.to(provider, None)
        self.assertNoResult(way.connect(Factory.forProtocol(Protocol)))
        self.assertEqual(names.asked, ["2001:db8::1"])
