"""Ways to a host: through the egress proxy's CONNECT tunnel, or directly.

``TunnelEndpoint`` is an ordinary Twisted endpoint on top of another one: it dials the proxy,
shakes hands (``core.connect``), and then gives the very same connection to the protocol that
was asked for, as if it had been dialled straight.
"""

from typing import TypeVar, cast

from twisted.internet.abstract import isIPAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    TimeoutError as DialTimeout,
)
from twisted.internet.interfaces import (
    IConnector,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import (
    ClientFactory,
    Protocol,
    connectionDone,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from apiproxy.core.connect import ConnectHandshake, connect_request
from apiproxy.core.errors import EgressFault
from apiproxy.core.values import Secret
from apiproxy.wire.transport import quiet, transport_of

T = TypeVar("T")


def tcp(
    reactor: IReactorTime, host: str, port: int, seconds: float
) -> IStreamClientEndpoint:
    """An endpoint for ``host:port``; a numeric address needs no resolver.

    Args:
        reactor: provides TCP, time and names.
        host: name or address, IPv6 without brackets.
        port: TCP port.
        seconds: how long the dial may take, the search for the name included.
    """
    if isIPAddress(host):
        return _Loose(TCP4ClientEndpoint(reactor, host, port, timeout=seconds))
    by_name = HostnameEndpoint(reactor, host.encode("ascii"), port, timeout=seconds)
    return _Loose(_Within(by_name, seconds, reactor))


def within(seconds: float, clock: IReactorTime, waiting: Deferred[T]) -> Deferred[T]:
    """Cancel what takes longer.

    Errors:
        ``TimeoutError``, whatever a cancelled dial or call calls itself.
    """

    def late(result: T | Failure, _: float) -> T | Failure:
        return Failure(DialTimeout()) if isinstance(result, Failure) else result

    return waiting.addTimeout(seconds, clock, late)


@implementer(IStreamClientEndpoint)
class _Within:
    """An endpoint with a deadline: ``HostnameEndpoint`` has none while it resolves."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, seconds: float, clock: IReactorTime
    ) -> None:
        self._endpoint = endpoint
        self._seconds = seconds
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect in time, or not at all."""
        dial = self._endpoint.connect(protocolFactory)
        return within(self._seconds, self._clock, dial)


@implementer(IStreamClientEndpoint)
class _Loose:
    """An endpoint whose connections are freed as soon as they have ended.

    With Twisted's, a connection and its connector know each other for ever, and so do the
    connector and its factory. What such a ring holds waits for the garbage collector, and
    ours waited long: until then it lay scattered over the memory that was freed around it,
    which grew and grew.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect as the endpoint below does."""
        return self._endpoint.connect(protocolFactory).addCallback(_loosen)


class _Loosening(ClientFactory):
    """Takes the place of the factory that has built its one protocol."""

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        connector.transport = None  # type: ignore[attr-defined]


_LOOSENING = _Loosening()


def _loosen(protocol: IProtocol) -> IProtocol:
    connector = getattr(protocol.transport, "connector", None)  # type: ignore[attr-defined]
    if connector is not None:
        connector.factory = _LOOSENING
    return protocol


class _TunnelOpener(Protocol):
    """Speaks CONNECT, then steps aside."""

    def __init__(self, request: bytes, opened: "Deferred[_TunnelOpener]") -> None:
        self._request = request
        self._handshake = ConnectHandshake()
        self._opened: Deferred[_TunnelOpener] | None = opened

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._opened is None:
            return
        try:
            opened = self._handshake.receive(data)
        except EgressFault as fault:
            self._end(fault)
        else:
            if opened:
                deferred, self._opened = self._opened, None
                deferred.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ConnectionDone):
            reason = Failure(ConnectionLost("closed before answering CONNECT"))
        self._end(reason.value)

    def _end(self, error: BaseException | None) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            self.abort()
            opened.errback(error)

    def abort(self) -> None:
        """Give up; nobody is told."""
        self._opened = None
        if self.transport is not None:
            transport_of(self).abortConnection()

    def give_to(self, protocol: IProtocol) -> None:
        """From now on the connection is ``protocol``'s."""
        transport_of(self).protocol = protocol
        protocol.makeConnection(cast(ITransport, self.transport))


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """Connects to a host through an HTTP proxy's CONNECT."""

    def __init__(
        self,
        proxy: IStreamClientEndpoint,
        authority: bytes,
        authorization: Secret | None,
        clock: IReactorTime,
        seconds: float,
    ) -> None:
        """An endpoint for ``authority``.

        Args:
            proxy: gives a connection to the proxy, over TLS if that is what it speaks.
            authority: ``host:port`` to ask for.
            authorization: value of ``Proxy-Authorization``, or None.
            clock: counts the seconds.
            seconds: how long the proxy may take to answer CONNECT.
        """
        self._proxy = proxy
        self._authority = authority
        self._authorization = authorization
        self._clock = clock
        self._seconds = seconds

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a tunnel and build the protocol on it.

        Errors:
            ``EgressFault`` when the proxy refuses; ``TimeoutError`` when it is silent;
            otherwise what the endpoint below fails with.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        openers: list[_TunnelOpener] = []
        opened: Deferred[_TunnelOpener] = Deferred(lambda _: openers[0].abort())

        def build(_: object) -> _TunnelOpener:
            request = connect_request(self._authority, self._authorization)
            openers.append(_TunnelOpener(request, opened))
            return openers[0]

        await self._proxy.connect(quiet(build))
        opener = await opened.addTimeout(self._seconds, self._clock)
        protocol = factory.buildProtocol(transport_of(opener).getPeer())
        assert protocol is not None
        opener.give_to(protocol)
        return protocol
