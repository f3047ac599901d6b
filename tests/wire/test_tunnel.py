"""CONNECT through the egress proxy."""

import base64

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError as DialTimeout,
)
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from apiproxy.core.values import Secret
from apiproxy.wire.failures import translate_dial
from apiproxy.wire.tunnel import TunnelEndpoint, tcp
from tests.kit.memory import NOWHERE, MemoryTransport

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Above(Protocol):
    """What is asked for at the other end of the tunnel."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


@implementer(IStreamClientEndpoint)
class Squid:
    """Takes connections; what it answers is the test's business."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.transport = MemoryTransport(clock=clock)
        self.held: Deferred[IProtocol] | None = None
        self.hold = False

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        deferred: Deferred[IProtocol] = Deferred()
        if self.hold:
            self.held = deferred
            return deferred
        protocol = protocolFactory.buildProtocol(NOWHERE)
        assert protocol is not None
        self.transport.connect(protocol)
        deferred.callback(protocol)
        return deferred

    def answer(self, *data: bytes) -> None:
        self.transport.deliver(*data)
        self.clock.advance(0)


class TunnelTests(SynchronousTestCase):
    """What the proxy does with CONNECT, and what becomes of it."""

    def setUp(self) -> None:
        self.clock = Clock()

    def connect(
        self, authorization: bytes | None = None
    ) -> tuple[Squid, Deferred[IProtocol]]:
        squid = Squid(self.clock)
        secret = None if authorization is None else Secret(authorization)
        endpoint = TunnelEndpoint(squid, b"api.acme.example:443", secret, self.clock, 4)
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        return squid, endpoint.connect(Factory.forProtocol(Above))

    def code(self, connecting: Deferred[IProtocol]) -> str:
        """By which error the agent would learn of it."""
        error = self.failureResultOf(connecting).value
        assert error is not None
        return translate_dial(error, tunnelled=True).code

    def test_an_open_tunnel(self) -> None:
        """The very connection goes to the protocol that was asked for."""
        squid, connecting = self.connect()
        self.assertEqual(
            squid.transport.clear(),
            b"CONNECT api.acme.example:443 HTTP/1.1\r\nHost: api.acme.example:443\r\n\r\n",
        )
        squid.answer(OPEN)
        above = self.successResultOf(connecting)
        assert isinstance(above, Above)
        self.assertEqual(squid.transport.clear(), b"hello")
        squid.answer(b"hi")
        squid.transport.close()
        self.assertEqual(above.received, b"hi")
        self.assertIsNotNone(above.lost)

    def test_credentials_for_the_proxy(self) -> None:
        """They are sent to it, and to it alone."""
        basic = b"Basic " + base64.b64encode(b"user:password")
        squid, connecting = self.connect(basic)
        sent = squid.transport.clear()
        self.assertIn(b"\r\nProxy-Authorization: " + basic + b"\r\n", sent)
        squid.answer(OPEN)
        self.successResultOf(connecting)
        self.assertNotIn(basic, squid.transport.clear())

    def test_the_answer_may_be_cut_anywhere(self) -> None:
        """And have header lines."""
        squid, connecting = self.connect()
        answer = b"HTTP/1.0 200 OK\r\nVia: squid\r\n\r\n"
        for at in range(len(answer)):
            self.assertNoResult(connecting)
            squid.answer(answer[at : at + 1])
        self.successResultOf(connecting)

    def test_each_refusal_is_told_apart(self) -> None:
        """By status, and Squid's own word for it where it gives one."""
        for status, code in (
            (403, "egress_denied"),
            (407, "egress_auth_required"),
            (502, "egress_bad_gateway"),
            (503, "egress_host_unreachable"),
            (504, "egress_host_timeout"),
            (400, "egress_bad_gateway"),
            (301, "egress_bad_gateway"),
            (500, "egress_bad_gateway"),
        ):
            squid, connecting = self.connect()
            squid.answer(
                b"HTTP/1.1 %d Refused\r\nX-Squid-Error: ERR_X 0\r\n\r\n<html>" % status
            )
            failure = self.failureResultOf(connecting)
            self.assertIn("(Squid: ERR_X)", failure.getErrorMessage())
            self.assertEqual(getattr(failure.value, "code", None), code)
            self.assertTrue(squid.transport.aborted)

    def test_what_is_not_an_http_proxy(self) -> None:
        """And a proxy that speaks before its turn."""
        for answer in (
            b"\x15\x03\x01\x00\x02\x02",
            b"SSH-2.0-OpenSSH_9\r\n",
            b"HTTP/1.1 200 OK\n\n\r\n\r\n",
            b"HTTP/1.1 twohundred OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
            OPEN + b"x",
        ):
            squid, connecting = self.connect()
            squid.answer(answer)
            self.assertEqual(self.code(connecting), "egress_protocol_error")
            self.assertTrue(squid.transport.aborted)
            self.assertNotIn(b"hello", squid.transport.written)

    def test_a_proxy_that_hangs_up(self) -> None:
        """With or without half an answer."""
        for half in (b"", b"HTTP/1.1 2"):
            for reason in (None, ConnectionLost()):
                squid, connecting = self.connect()
                squid.answer(half)
                squid.transport.close(reason)
                self.assertEqual(self.code(connecting), "egress_unreachable")

    def test_a_proxy_that_is_silent(self) -> None:
        """The deadline ends it; nothing is left to fail later."""
        squid, connecting = self.connect()
        squid.answer(b"HTTP/1.1 ")
        self.clock.advance(3.9)
        self.assertNoResult(connecting)
        self.clock.advance(0.2)
        self.assertEqual(self.code(connecting), "egress_timeout")
        self.clock.advance(0)
        self.assertTrue(squid.transport.disconnected)

    def test_nobody_waits_any_more(self) -> None:
        """A cancelled dial closes the connection; a late answer opens nothing."""
        squid, connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        opener = squid.transport.protocol
        assert opener is not None
        opener.dataReceived(OPEN)
        self.clock.advance(0)
        self.assertTrue(squid.transport.disconnected)
        self.assertNotIn(b"hello", squid.transport.written)

    def test_a_proxy_that_cannot_be_reached(self) -> None:
        """What is below says why; and it can be cancelled there."""
        squid = Squid(self.clock)
        squid.hold = True
        endpoint = TunnelEndpoint(squid, b"a:443", None, self.clock, 4)
        connecting = endpoint.connect(Factory.forProtocol(Above))
        assert squid.held is not None
        squid.held.errback(ConnectionRefusedError())
        self.assertEqual(self.code(connecting), "egress_unreachable")
        connecting = endpoint.connect(Factory.forProtocol(Above))
        connecting.cancel()
        self.assertEqual(self.code(connecting), "agent_gone")


class TcpTests(SynchronousTestCase):
    """The endpoint below everything."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.names = Names()
        self.reactor.installNameResolver(self.names)

    def dial(self, host: str) -> Deferred[IProtocol]:
        endpoint = tcp(self.reactor, host, 1, 2.0)
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        return endpoint.connect(Factory.forProtocol(Above))

    def test_an_address_needs_no_resolver(self) -> None:
        """A name does."""
        self.assertNoResult(self.dial("10.0.0.1"))
        self.assertEqual(self.names.asked, [])
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("10.0.0.1", 1))
        self.assertNoResult(self.dial("squid"))
        self.assertEqual(self.names.asked, ["squid"])

    def test_a_resolver_that_never_answers(self) -> None:
        """The deadline of the dial ends it; an answer that is late opens nothing."""
        connecting = self.dial("squid")
        self.reactor.advance(1.9)
        self.assertNoResult(connecting)
        self.reactor.advance(0.2)
        error = self.failureResultOf(connecting).value
        assert error is not None
        codes = [translate_dial(error, tunnelled=way).code for way in (True, False)]
        self.assertEqual(codes, ["egress_timeout", "upstream_timeout"])
        self.names.answer("10.0.0.1")
        self.assertEqual(self.reactor.tcpClients, [])

    def test_a_resolver_that_is_slow(self) -> None:
        """What it took is not given again to the dial itself."""
        connecting = self.dial("squid")
        self.reactor.advance(1.5)
        self.names.answer("10.0.0.1")
        self.reactor.advance(0)
        self.assertEqual(len(self.reactor.tcpClients), 1)
        self.reactor.advance(0.6)
        self.failureResultOf(connecting, DialTimeout)

    def test_a_name_that_leads_somewhere(self) -> None:
        """Nothing is left to end it later."""
        connecting = self.dial("squid")
        self.names.answer("10.0.0.1")
        self.reactor.advance(0)
        protocol = self.reactor.tcpClients[-1][2].buildProtocol(NOWHERE)
        assert protocol is not None
        MemoryTransport(clock=self.reactor).connect(protocol)
        self.reactor.advance(3)
        self.assertIsInstance(self.successResultOf(connecting), Above)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Never called."""


@implementer(IHostnameResolver)
class Names:
    """A resolver that answers when told.

    Attributes:
        asked: the names.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._receivers: list[tuple[IResolutionReceiver, int]] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self.asked.append(hostName)
        self._receivers.append((resolutionReceiver, portNumber))
        return _Resolution(hostName)

    def answer(self, address: str) -> None:
        """The name asked for last is at this address."""
        receiver, port = self._receivers.pop()
        receiver.resolutionBegan(_Resolution("x"))
        receiver.addressResolved(IPv4Address("TCP", address, port))
        receiver.resolutionComplete()
