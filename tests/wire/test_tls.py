"""TLS to the provider, with real certificates and no sockets."""

import contextlib
import ssl
import warnings
from collections.abc import Callable
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from apiproxy.core.errors import ProxyError, UpstreamMalformed
from apiproxy.core.limits import MiB
from apiproxy.wire.failures import translate_dial
from apiproxy.wire.tls import TlsEndpoint, TlsLine, TlsSessions
from apiproxy.wire.transport import transport_of
from apiproxy.wire.trust import trust
from tests.kit.memory import NOWHERE, MemoryTransport, Told
from tests.kit.tls import Identity, authority

HOST = "api.openai.com"


class Peer:
    """The other side: TLS as a server of the standard library speaks it.

    Attributes:
        transport: of our side.
        heard: plain bytes that came.
        goodbye: whether our side said goodbye.
        failed: what its handshake failed with.
        name: what our side asked for (SNI).
    """

    def __init__(
        self, identity: Identity, clock: Clock, context: ssl.SSLContext | None = None
    ) -> None:
        self.transport = MemoryTransport(clock=clock, high_water=65536)
        self.heard = b""
        self.goodbye = False
        self.failed: ssl.SSLError | None = None
        self.name: str | None = None
        self.shaken = False
        self.broken = False
        self._clock = clock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        context = context or identity.context()
        context.sni_callback = self._asked
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _asked(self, tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        self.name = name

    def pump(self) -> None:
        """Answer what has come until both sides have nothing to say."""
        while True:
            self._clock.advance(0)
            data = self.transport.clear()
            self._incoming.write(data)
            self._take()
            answer = self._outgoing.read()
            if answer:
                self.transport.deliver(answer)
            if not data and not answer:
                return

    def _take(self) -> None:
        try:
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
            while not self.goodbye:
                piece = self.tls.read(65536)
                self.heard += piece
                self.goodbye = not piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.goodbye = True
        except ssl.SSLError as error:
            if not self.shaken:
                self.failed = error
            self.broken = True

    def say(self, data: bytes) -> bytes:
        """Encrypt; the bytes are not delivered yet."""
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """Say something."""
        self.transport.deliver(self.say(data))
        self.pump()

    def bye(self) -> bytes:
        """A goodbye (close_notify), which is not delivered yet."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self._outgoing.read()


class Above(Protocol):
    """The protocol above; writes down what it is told."""

    def __init__(self) -> None:
        self.received = b""
        self.pieces: list[int] = []
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.pieces.append(len(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


@implementer(IStreamClientEndpoint)
class Below:
    """Connects to peers, in order."""

    def __init__(self, peers: list[Peer], *, failing: Exception | None = None) -> None:
        self._peers = peers
        self._failing = failing

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        deferred: Deferred[IProtocol] = Deferred()
        if self._failing is not None:
            deferred.errback(self._failing)
            return deferred
        protocol = protocolFactory.buildProtocol(NOWHERE)
        assert protocol is not None
        self._peers.pop(0).transport.connect(protocol)
        deferred.callback(protocol)
        return deferred


class TlsCase(SynchronousTestCase):
    """With a clock, a context that trusts the kit's authority, and sessions."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.context = trust(str(authority().pem))
        self.sessions = TlsSessions(self.clock.seconds)

    def peer(
        self, identity: Identity | None = None, context: ssl.SSLContext | None = None
    ) -> Peer:
        return Peer(identity or authority().identity(), self.clock, context)

    def endpoint(
        self,
        *peers: Peer,
        host: str = HOST,
        failing: Exception | None = None,
        translate: Callable[[Exception], Exception] | None = None,
    ) -> TlsEndpoint:
        below = Below(list(peers), failing=failing)
        more = {} if translate is None else {"translate": translate}
        return TlsEndpoint(
            below, self.context, host, self.sessions, self.clock, 5.0, **more
        )

    def connect(self, peer: Peer, host: str = HOST) -> Above:
        """Connect to a peer that must be accepted."""
        connecting = self.endpoint(peer, host=host).connect(Factory.forProtocol(Above))
        peer.pump()
        above = self.successResultOf(connecting)
        assert isinstance(above, Above)
        return above

    def refused(self, peer: Peer, host: str = HOST) -> BaseException:
        """What connecting to this peer fails with; nothing may have been sent."""
        connecting = self.endpoint(peer, host=host).connect(Factory.forProtocol(Above))
        peer.pump()
        error: BaseException | None = self.failureResultOf(connecting).value
        self.assertEqual(peer.heard, b"")
        self.assertTrue(peer.transport.disconnected)
        assert error is not None
        return error


class VerificationTests(TlsCase):
    """Who is spoken to."""

    def test_the_right_certificate(self) -> None:
        """The connection is handed out; TLS 1.2 or newer, HTTP/1.1 asked for."""
        context = authority().identity().context()
        context.set_alpn_protocols(["http/1.1"])
        peer = self.peer(context=context)
        above = self.connect(peer)
        line = transport_of(above)
        self.assertTrue(verifyObject(ITransport, line))
        self.assertTrue(verifyObject(IPushProducer, line))
        self.assertTrue(verifyObject(IStreamClientEndpoint, self.endpoint(peer)))
        self.assertEqual(peer.name, HOST)
        self.assertEqual(peer.tls.selected_alpn_protocol(), "http/1.1")
        line.write(b"hello")
        peer.pump()
        peer.send(b"hi")
        self.assertEqual((peer.heard, above.received), (b"hello", b"hi"))

    def test_an_intermediate_authority_that_is_sent_along(self) -> None:
        """As most providers do."""
        self.connect(self.peer(authority().intermediate()))

    def test_certificates_that_are_not_the_providers(self) -> None:
        """Each is refused before a byte of ours is sent, and the reason said."""
        kit = authority()
        for identity, words in (
            (kit.wrong_name(), "Hostname mismatch"),
            (kit.expired(), "certificate has expired"),
            (kit.not_yet_valid(), "certificate is not yet valid"),
            (kit.stranger(), "unable to get local issuer certificate"),
            (kit.self_signed(), "self-signed certificate"),
            (
                kit.intermediate(complete=False),
                "unable to get local issuer certificate",
            ),
        ):
            peer = self.peer(identity)
            error = self.refused(peer)
            self.assertIsInstance(error, ssl.SSLCertVerificationError)
            fault = translate_dial(error, tunnelled=True)
            self.assertEqual(fault.code, "upstream_tls_failed")
            self.assertIn(words, fault.message)
            self.assertTrue(peer.broken or peer.failed)

    def test_an_address_needs_a_certificate_for_the_address(self) -> None:
        """A name is no address, and the other way round."""
        self.connect(self.peer(), "127.0.0.1")
        error = self.refused(self.peer(authority().identity("localhost")), "127.0.0.1")
        self.assertIn("IP address mismatch", str(error))

    def test_old_protocols_are_refused(self) -> None:
        """TLS 1.1 is over."""
        context = authority().identity().context()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        error = self.refused(self.peer(context=context))
        self.assertIsInstance(error, ssl.SSLError)

    def test_tls_1_2_is_accepted(self) -> None:
        """Some gateways have nothing newer."""
        context = authority().identity().context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        peer = self.peer(context=context)
        above = self.connect(peer)
        peer.send(b"hi")
        self.assertEqual(above.received, b"hi")

    def test_something_that_is_not_tls(self) -> None:
        """Such as a plain HTTP server at the port."""
        peer = self.peer()
        connecting = self.endpoint(peer).connect(Factory.forProtocol(Above))
        peer.transport.deliver(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.clock.advance(0)
        error = self.failureResultOf(connecting, ssl.SSLError).value
        fault = translate_dial(error, tunnelled=False)
        self.assertEqual(fault.code, "upstream_tls_failed")
        self.assertTrue(peer.transport.aborted)


class HandshakeTests(TlsCase):
    """Handshakes that do not come to an end."""

    def test_a_close_in_the_handshake(self) -> None:
        """The dial fails."""
        peer = self.peer()
        connecting = self.endpoint(peer).connect(Factory.forProtocol(Above))
        peer.transport.close()
        self.clock.advance(0)
        self.failureResultOf(connecting, ConnectionLost)

    def test_silence_in_the_handshake(self) -> None:
        """The deadline ends it, and the connection; nothing is left to fail later."""
        peer = self.peer()
        connecting = self.endpoint(peer).connect(Factory.forProtocol(Above))
        self.clock.advance(4.9)
        self.assertNoResult(connecting)
        self.clock.advance(0.2)
        error = self.failureResultOf(connecting).value
        assert error is not None
        fault = translate_dial(error, tunnelled=False)
        self.assertEqual(fault.code, "upstream_timeout")
        self.clock.advance(0)
        self.assertTrue(peer.transport.aborted)
        self.assertTrue(peer.transport.disconnected)

    def test_nobody_waits_any_more(self) -> None:
        """A cancelled dial closes the connection; what still comes is not looked at."""
        peer = self.peer()
        connecting = self.endpoint(peer).connect(Factory.forProtocol(Above))
        connecting.cancel()
        peer.transport.deliver(b"whatever")
        self.failureResultOf(connecting, CancelledError)
        self.clock.advance(0)
        self.assertTrue(peer.transport.disconnected)

    def test_a_connection_that_cannot_be_had(self) -> None:
        """What is below says why, unchanged."""
        connecting = self.endpoint(failing=ConnectionRefusedError()).connect(
            Factory.forProtocol(Above)
        )
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_who_is_to_blame_can_be_said(self) -> None:
        """Only for what happens in the handshake itself."""

        def blame(error: Exception) -> Exception:
            return UpstreamMalformed(type(error).__name__)

        peer = self.peer(authority().expired())
        connecting = self.endpoint(peer, translate=blame).connect(
            Factory.forProtocol(Above)
        )
        peer.pump()
        error = self.failureResultOf(connecting, ProxyError).value
        self.assertEqual(str(error), "SSLCertVerificationError")
        connecting = self.endpoint(
            failing=ConnectionRefusedError(), translate=blame
        ).connect(Factory.forProtocol(Above))
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_a_handshake_byte_by_byte(self) -> None:
        """It may be cut anywhere."""
        peer = self.peer()
        peer.transport.read_size = 1
        above = self.connect(peer)
        peer.send(b"hello")
        self.assertEqual(above.received, b"hello")

    def test_bytes_right_behind_the_handshake(self) -> None:
        """They wait for the protocol above, then reach it."""
        context = authority().identity().context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        peer = self.peer(context=context)
        connecting = self.endpoint(peer).connect(Factory.forProtocol(Above))
        deliver, held = peer.transport.deliver, bytearray()
        peer.transport.deliver = held.extend  # type: ignore[method-assign,assignment]
        peer.pump()
        deliver(bytes(held))
        held.clear()
        peer.pump()
        self.assertTrue(peer.shaken)
        self.assertNoResult(connecting)
        deliver(bytes(held) + peer.say(b"early"))
        above = self.successResultOf(connecting)
        assert isinstance(above, Above)
        self.assertEqual(above.received, b"early")


class CarryTests(TlsCase):
    """What passes, once it is open."""

    def test_large_writes(self) -> None:
        """OpenSSL takes 16 KiB at a time; all of it goes out, in order."""
        peer = self.peer()
        above = self.connect(peer)
        data = bytes(range(256)) * 4096 + b"end"
        transport_of(above).write(b"begin" * 4000)
        line = transport_of(above)
        assert isinstance(line, TlsLine)
        line.writeSequence([data[:5], data[5:]])
        line.write(b"")
        peer.pump()
        self.assertEqual(peer.heard, b"begin" * 4000 + data)

    def test_large_answers(self) -> None:
        """All that is there is handed on at once, in pieces of no great size."""
        peer = self.peer()
        above = self.connect(peer)
        data = bytes(range(256)) * 4096
        peer.transport.read_size = 2 * MiB
        peer.send(data)
        self.assertEqual(above.received, data)
        self.assertLessEqual(max(above.pieces), 65536)

    def undelivered(self, peer: Peer) -> list[bool]:
        """What the line says of that each time it hands something on."""
        above = self.connect(peer)
        line = cast(TlsLine, above.transport)
        seen: list[bool] = []
        above.dataReceived = (  # type: ignore[method-assign]
            lambda data: seen.append(line.undelivered)
        )
        return seen

    def test_that_more_is_to_come_is_known_while_a_part_is_handed_on(self) -> None:
        """So that no part of it is taken for the beginning of something else."""
        peer = self.peer()
        seen = self.undelivered(peer)
        peer.transport.read_size = 2 * MiB
        peer.send(b"x" * 40_000)
        self.assertEqual(seen[-1], False)
        self.assertEqual(set(seen[:-1]), {True})

    def test_a_goodbye_that_comes_with_the_last_bytes_is_known_with_them(self) -> None:
        """So that a line which is about to close is not used for something else."""
        peer = self.peer()
        seen = self.undelivered(peer)
        peer.send(b"first")
        peer.transport.deliver(peer.say(b"last") + peer.bye())
        self.assertEqual(seen, [False, True])

    def test_an_answer_cut_anywhere(self) -> None:
        """Half a record waits for its other half."""
        peer = self.peer()
        above = self.connect(peer)
        data = peer.say(b"hello") + peer.say(b"world")
        for i in range(len(data)):
            peer.transport.deliver(data[i : i + 1])
        self.assertEqual(above.received, b"helloworld")
        self.assertEqual(above.pieces, [5, 5])

    def test_bytes_that_are_not_tls(self) -> None:
        """The connection is aborted, and what came before is still handed on."""
        peer = self.peer()
        above = self.connect(peer)
        peer.transport.deliver(peer.say(b"good") + b"\x17\x03\x03\x00\x05abcde")
        self.clock.advance(0)
        self.assertEqual(above.received, b"good")
        self.assertTrue(peer.transport.aborted)
        assert above.lost is not None
        self.assertIsNone(above.lost.check(ConnectionDone))

    def test_back_pressure(self) -> None:
        """It is that of the TCP connection, both ways."""
        peer = self.peer()
        above = self.connect(peer)
        line, told = transport_of(above), Told()
        line.registerProducer(told, True)
        peer.transport.stall()
        line.write(b"x" * 100_000)
        self.assertEqual(set(told.told), {"pause"})
        peer.transport.flow()
        self.assertEqual(told.told[-1], "resume")
        line.unregisterProducer()
        line.pauseProducing()
        peer.transport.deliver(peer.say(b"later"))
        self.assertEqual(above.received, b"")
        line.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(above.received, b"later")

    def test_a_memory_is_not_held_for_tickets(self) -> None:
        """After the session tickets have come nothing of them is sent or told."""
        peer = self.peer()
        above = self.connect(peer)
        self.assertEqual(above.received, b"")
        self.assertEqual(peer.transport.written, b"")

    def test_it_passes_on_what_is_asked_of_the_socket(self) -> None:
        """Addresses and options are those of the TCP connection."""
        peer = self.peer()
        line = transport_of(self.connect(peer))
        line.setTcpNoDelay(True)
        line.setTcpKeepAlive(True)
        self.assertEqual(
            (line.getPeer(), line.getHost(), line.getHandle()),
            (
                peer.transport.getPeer(),
                peer.transport.getHost(),
                peer.transport.getHandle(),
            ),
        )
        self.assertTrue(peer.transport.no_delay and peer.transport.keep_alive)


class EndTests(TlsCase):
    """How it ends."""

    def test_the_other_side_says_goodbye(self) -> None:
        """An orderly end, and we say goodbye too."""
        peer = self.peer()
        above = self.connect(peer)
        peer.transport.deliver(peer.say(b"last words") + peer.bye())
        peer.pump()
        self.assertEqual(above.received, b"last words")
        assert above.lost is not None
        above.lost.trap(ConnectionDone)
        self.assertTrue(peer.goodbye)
        self.assertFalse(peer.transport.aborted)

    def test_the_other_side_is_cut_off(self) -> None:
        """A FIN without a goodbye may have been forged: it is a loss."""
        peer = self.peer()
        above = self.connect(peer)
        peer.send(b"half an ans")
        peer.transport.close()
        self.clock.advance(0)
        self.assertEqual(above.received, b"half an ans")
        assert above.lost is not None
        above.lost.trap(ConnectionLost)

    def test_a_reset_behind_a_goodbye_is_no_loss(self) -> None:
        """All had been said; that our own goodbye met a closed door does not matter."""
        peer = self.peer()
        above = self.connect(peer)
        peer.transport.stall()
        transport_of(above).write(b"unread")
        peer.transport.deliver(peer.say(b"all") + peer.bye())
        peer.transport.close(ConnectionLost())
        self.clock.advance(0)
        self.assertEqual(above.received, b"all")
        assert above.lost is not None
        above.lost.trap(ConnectionDone)

    def test_a_reset_without_a_goodbye_is_one(self) -> None:
        """The reason passes as it is."""
        peer = self.peer()
        above = self.connect(peer)
        peer.transport.close(ConnectionLost())
        assert above.lost is not None
        above.lost.trap(ConnectionLost)

    def test_we_say_goodbye(self) -> None:
        """What was written before still arrives; what is written after does not."""
        peer = self.peer()
        above = self.connect(peer)
        line = transport_of(above)
        line.write(b"last words")
        line.loseWriteConnection()
        line.loseConnection()
        line.write(b"afterthought")
        peer.pump()
        self.assertEqual((peer.heard, peer.goodbye), (b"last words", True))
        self.assertTrue(peer.transport.disconnected)
        self.assertFalse(peer.transport.aborted)

    def test_we_say_goodbye_on_a_line_that_is_not_read(self) -> None:
        """Which Twisted's own TLS would never bring to an end, nor with a producer."""
        peer = self.peer()
        above = self.connect(peer)
        line = transport_of(above)
        line.registerProducer(Told(), True)
        line.pauseProducing()
        line.loseConnection()
        line.resumeProducing()
        peer.pump()
        self.assertTrue(peer.goodbye)
        self.assertIsNotNone(above.lost)

    def test_bytes_that_come_after_our_goodbye(self) -> None:
        """They break nothing, though OpenSSL will not write any more."""
        peer = self.peer()
        above = self.connect(peer)
        late = peer.say(b"too late")
        line = transport_of(above)
        assert isinstance(line, TlsLine)
        line.loseConnection()
        line.dataReceived(late)
        peer.pump()
        self.assertTrue(peer.transport.disconnected)
        self.assertFalse(peer.transport.aborted)

    def test_being_told_to_stop_is_to_say_goodbye(self) -> None:
        """As for any Twisted transport."""
        peer = self.peer()
        above = self.connect(peer)
        line = transport_of(above)
        assert isinstance(line, TlsLine)
        line.stopProducing()
        peer.pump()
        self.assertTrue(peer.goodbye)

    def test_we_abort(self) -> None:
        """No goodbye, and nothing more is sent."""
        peer = self.peer()
        above = self.connect(peer)
        line = transport_of(above)
        peer.transport.stall()
        line.write(b"dropped")
        line.abortConnection()
        line.write(b"dropped too")
        peer.pump()
        self.assertEqual((peer.heard, peer.goodbye), (b"", False))
        self.assertTrue(peer.transport.aborted)
        self.assertIsNotNone(above.lost)

    def test_a_protocol_that_leaves_in_the_middle(self) -> None:
        """Nobody is told what nobody wants to hear."""
        peer = self.peer()
        above = self.connect(peer)
        line = transport_of(above)
        line.protocol = None
        peer.send(b"hello")
        peer.transport.close()
        self.clock.advance(0)
        self.assertEqual((above.received, above.lost), (b"", None))


class SessionTests(TlsCase):
    """The second handshake with a host is cheaper."""

    def test_a_session_is_resumed(self) -> None:
        """Once its connection has carried data."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.sessions = TlsSessions(self.clock.seconds)
            context = authority().identity().context()
            context.maximum_version = version
            reused = []
            for _ in range(3):
                peer = self.peer(context=context)
                above = self.connect(peer)
                transport_of(above).write(b"hello")
                peer.pump()
                peer.send(b"hi")
                reused.append(peer.tls.session_reused)
            self.assertEqual(reused[0], False)
            self.assertEqual(reused[1], True)

    def test_a_session_is_for_one_host(self) -> None:
        """Another host begins anew, and is verified anew."""
        context = authority().identity().context()
        peer = self.peer(context=context)
        self.connect(peer)
        peer.send(b"hi")
        other = self.peer(context=context)
        self.connect(other, "api.anthropic.com")
        self.assertFalse(other.tls.session_reused)

    def test_a_session_the_other_side_forgot(self) -> None:
        """A whole handshake follows, certificate and all."""
        peer = self.peer()
        self.connect(peer)
        peer.send(b"hi")
        self.refused(self.peer(authority().expired()))

    def test_a_host_that_resumes_nothing(self) -> None:
        """It is not asked for a session each time: that would cost memory for good."""
        asked: list[str] = []

        class Full:
            session_reused = False

            @property
            def session(self) -> object:
                asked.append("again")
                return object()

        clock = Clock()
        sessions = TlsSessions(clock.seconds)
        for _ in range(100):
            sessions.remember("api.openai.com", cast(ssl.SSLObject, Full()))
        self.assertEqual(len(asked), 1)
        sessions.remember("api.anthropic.com", cast(ssl.SSLObject, Full()))
        self.assertEqual(len(asked), 2)
        clock.advance(3600)
        sessions.remember("api.openai.com", cast(ssl.SSLObject, Full()))
        self.assertEqual(len(asked), 3)
