"""TLS to the provider: verified to the last, sessions resumed.

Python's own ``ssl`` on memory BIOs carries the data, because it costs about a fifth less per
request than pyOpenSSL under Twisted's TLS protocol, and because a failed handshake then says
why before a connection is handed out: ``TlsEndpoint`` fires only when the certificate chain
and the host name have been verified. There is no switch that turns verification off.

``TlsLine`` stands between two protocols: to the TCP connection below it is a protocol, to
the protocol above it is a transport. It ends in three ways. ``loseConnection`` says goodbye
(close_notify) and closes. ``abortConnection`` closes at once. And when the other side closes,
the protocol above learns whether it said goodbye: ``ConnectionDone`` if it did,
``ConnectionLost`` if the bytes just stopped, so that an answer which was cut off can never
pass for one that was complete.
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from apiproxy.wire.atonce import sender
from apiproxy.wire.transport import Transport, quiet, transport_of

_RECORD = 16 * 1024
"""The most a TLS record holds (RFC 8446, section 5.1). What goes through the memory BIOs goes
in pieces of this size, because they never give back what they have grown to."""

_READ = 2 * _RECORD

_ASK_SECONDS = 600.0
"""At most so often a host's session is asked for."""


class TlsSessions:
    """The newest session of each host, by which the next handshake is cheaper.

    To ask ``ssl`` for a session costs 140 µs and, in every version of Python there is, 7 kB
    that are never given back. So a host is asked for one again only when it would not resume
    the last, and not before some minutes have passed.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """Without any session.

        Args:
            seconds: a clock; one that jumps does no harm.
        """
        self._seconds = seconds
        self._sessions: dict[str, ssl.SSLSession] = {}
        self._asked: dict[str, float] = {}

    def resume(self, host: str) -> ssl.SSLSession | None:
        """The session to offer to this host, if there is one."""
        return self._sessions.get(host)

    def remember(self, host: str, tls: ssl.SSLObject) -> None:
        """Keep the session of a connection that has carried data."""
        now, asked = self._seconds(), self._asked.get(host)
        if tls.session_reused or (asked is not None and now - asked < _ASK_SECONDS):
            return
        self._asked[host] = now
        session = tls.session
        if session is not None:
            self._sessions[host] = session


@implementer(ITransport, IPushProducer)
class TlsLine(Protocol):
    """A TLS connection over a TCP connection (see the top of this file).

    Attributes:
        protocol: the protocol above; it may be replaced at any time.
        disconnecting: whether ``loseConnection`` was called.
        undelivered: whether more has been received than handed on so far, be it a goodbye.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        host: str,
        sessions: TlsSessions,
        verified: "Deferred[TlsLine]",
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_hostname=host,
            session=sessions.resume(host),
        )
        self._host = host
        self._sessions = sessions
        self._verified: Deferred[TlsLine] | None = verified
        self._fresh = True
        self._goodbye = False
        self.protocol: IProtocol | None = None
        self.disconnecting = False
        self.undelivered = False

    # What the TCP connection below calls.

    def connectionMade(self) -> None:
        """Begin the handshake."""
        # An endpoint's wrapper stands between, which has done its work by now.
        self._tcp.protocol = self
        self._send = sender(self._tcp)
        self._handshake()

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, and hand on."""
        if len(data) > _RECORD:
            self._take_records(data)
            return
        self._incoming.write(data)
        if self._verified is not None:
            self._handshake()
        elif not self._goodbye:
            self._read()

    def _take_records(self, data: bytes) -> None:
        """Take what is more than a record, piece by piece."""
        for at in range(0, len(data), _RECORD):
            self.undelivered = at + _RECORD < len(data)
            self.dataReceived(data[at : at + _RECORD])
            if self.disconnecting:
                break
        self.undelivered = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever waits; without a goodbye, an orderly end is not orderly."""
        if self._verified is not None:
            self._fail(ConnectionLost("closed in the TLS handshake"))
        # Whoever still knows this line, OpenSSL's share of it goes now.
        self.disconnecting = True
        del self._tls, self._incoming, self._outgoing
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            if self._goodbye:  # all was said; how the TCP connection ended matters not
                reason = connectionDone
            elif reason.check(ConnectionDone):
                reason = Failure(ConnectionLost("closed without a TLS goodbye"))
            protocol.connectionLost(reason)

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except (ssl.SSLError, ssl.CertificateError, ValueError) as error:
            self._flush()
            self._fail(error)
        else:
            self._flush()
            verified, self._verified = self._verified, None
            assert verified is not None
            verified.callback(self)
            if self._incoming.pending and not self._goodbye:
                self._read()

    def _fail(self, error: Exception) -> None:
        verified = self._verified
        self.give_up()
        if verified is not None:
            verified.errback(error)

    def give_up(self) -> None:
        """Nobody waits for the handshake any more."""
        self._verified = None
        self._goodbye = True
        self.abortConnection()

    def _read(self) -> None:
        """Decrypt all that is there; one call of the protocol above for all of it."""
        incoming, broken, data = self._incoming, False, b""
        try:
            data = self._tls.read(_READ)
            self._goodbye = not data
            # OpenSSL itself holds nothing back: what is read at once is over a record.
            while incoming.pending and not self._goodbye:
                piece = self._tls.read(_READ)
                self._goodbye = not piece
                data += piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._goodbye = True
        except ssl.SSLError:
            broken = True
        if self._fresh or not data:
            self._let_go_of_ticket()
        if self._outgoing.pending:
            self._flush()
        if data and self.protocol is not None:
            if self._fresh:
                self._fresh = False
                self._sessions.remember(self._host, self._tls)
            if self._goodbye:
                self.undelivered = True
            self.protocol.dataReceived(data)
        if broken:
            self.abortConnection()
        elif self._goodbye and not self.disconnecting:
            self.loseConnection()

    def _let_go_of_ticket(self) -> None:
        """OpenSSL keeps 16 KiB for a session ticket it has read until the next write.

        An empty one sends nothing, and a stream may never write again. Behind our own
        goodbye it is an error, which nobody minds.
        """
        with suppress(ssl.SSLError):
            self._tls.write(b"")

    def _flush(self) -> None:
        if self._outgoing.pending and self.transport is not None:
            self._send(self._outgoing.read())

    # What the protocol above calls.

    def write(self, data: bytes) -> None:
        """Encrypt and send; silently nothing once closing, as Twisted's transports do."""
        if not data or self.disconnecting or self._goodbye:
            return
        if len(data) <= _RECORD:
            self._tls.write(data)
            self._send(self._outgoing.read())
            return
        view = memoryview(data)
        for at in range(0, len(data), _RECORD):
            self._tls.write(view[at : at + _RECORD])
            self._flush()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Encrypt and send several pieces as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Say goodbye, send what is left, close. Works on a paused line too."""
        if self.disconnecting:
            return
        self.disconnecting = True
        # The other side's goodbye, which unwrap would read next, nobody waits for.
        with suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()
        self._flush()
        self._tcp.unregisterProducer()
        self._tcp.resumeProducing()
        self._tcp.loseConnection()

    def abortConnection(self) -> None:
        """Close at once; what was not sent is dropped."""
        self.disconnecting = True
        self._tcp.abortConnection()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """The producer is paused while the TCP connection's buffer is full."""
        self._tcp.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer is not told any more."""
        self._tcp.unregisterProducer()

    def pauseProducing(self) -> None:
        """Read no more from the other side."""
        self._tcp.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        if not self.disconnecting:
            self._tcp.resumeProducing()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    @property
    def _tcp(self) -> Transport:
        return transport_of(self)

    def getPeer(self) -> IAddress:
        """Where the TCP connection goes, which may be the egress proxy."""
        return self._tcp.getPeer()

    def getHost(self) -> IAddress:
        """Our end of the TCP connection."""
        return self._tcp.getHost()

    def getHandle(self) -> socket.socket:
        """The TCP connection's socket."""
        return self._tcp.getHandle()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small writes at once."""
        self._tcp.setTcpNoDelay(enabled)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Probe a silent connection."""
        self._tcp.setTcpKeepAlive(enabled)

    def loseWriteConnection(self) -> None:
        """TLS cannot be half closed usefully; this closes."""
        self.loseConnection()


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """Connects over another endpoint, then TLS; fires once the other side is verified."""

    def __init__(
        self,
        below: IStreamClientEndpoint,
        context: ssl.SSLContext,
        host: str,
        sessions: TlsSessions,
        clock: IReactorTime,
        seconds: float,
        translate: Callable[[Exception], Exception] = lambda error: error,
    ) -> None:
        """An endpoint for ``host``.

        Args:
            below: gives the TCP connection or tunnel.
            context: what is trusted.
            host: the name the certificate must have; also sent as SNI.
            sessions: sessions to resume.
            clock: counts the seconds.
            seconds: how long the handshake may take.
            translate: says what a failed handshake means; given ``ssl.SSLError``,
                ``ConnectionLost``, ``TimeoutError`` or ``CancelledError``.
        """
        self._below = below
        self._context = context
        self._host = host
        self._sessions = sessions
        self._clock = clock
        self._seconds = seconds
        self._translate = translate

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, verify, and build the protocol above.

        Errors:
            what ``below`` fails with, and what ``translate`` makes of a handshake that
            failed.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        lines: list[TlsLine] = []
        verified: Deferred[TlsLine] = Deferred(lambda _: lines[0].give_up())

        def build(_: object) -> TlsLine:
            lines.append(TlsLine(self._context, self._host, self._sessions, verified))
            return lines[0]

        await self._below.connect(quiet(build))
        try:
            line = await verified.addTimeout(self._seconds, self._clock)
        except Exception as error:
            raise self._translate(error) from None
        protocol = factory.buildProtocol(line.getPeer())
        assert protocol is not None
        line.protocol = protocol
        protocol.makeConnection(line)
        return protocol
