"""A CONNECT proxy of a few lines, for machines without Squid. For the demonstration only.

It opens tunnels to one authority and to no other; there is nothing else it can do.
"""

from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IListeningPort, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from apiproxy.demo.patience import until
from apiproxy.listening import AnyFactory
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.transport import transport_of

_MAX_HEAD = 8192


class StandIn:
    """The proxy.

    Attributes:
        name: what to call it.
        what: what it is, in a few words.
        url: for ``HTTPS_PROXY``; empty before ``start``.
    """

    name = "stand-in"

    def __init__(
        self, reactor: Reactor, authority: str, port: int, instead: str
    ) -> None:
        """A proxy that listens on nothing yet.

        Args:
            reactor: provides sockets and time.
            authority: the one that may be asked for.
            port: where that is, on 127.0.0.1.
            instead: why there is no Squid.
        """
        self.what = f"the demo's own small CONNECT proxy, not Squid: {instead}"
        self.url = ""
        self.authority = authority
        self.lines: set[Protocol] = set()
        self.provider = TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=5)
        self.asked: list[str] = []
        self.ended: list[str] = []
        self._reactor = reactor
        self._listening: IListeningPort | None = None

    async def start(self) -> None:
        """Listen."""
        factory: Factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: _AgentEnd(self)  # type: ignore[method-assign]
        self._listening = self._reactor.listenTCP(
            0, cast(AnyFactory, factory), interface="127.0.0.1"
        )
        port = cast(IPv4Address, self._listening.getHost()).port
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Stop listening, and end what is open."""
        if self._listening is not None:
            stopped = self._listening.stopListening()
            if isinstance(stopped, Deferred):
                await stopped
        for line in list(self.lines):
            transport_of(line).abortConnection()
        await until(self._reactor, lambda: not self.lines)

    def heard(self) -> list[str]:
        """The CONNECT requests so far."""
        return self.asked

    def logged(self) -> list[str]:
        """The tunnels that have ended."""
        return self.ended


class _End(Protocol):
    """One end of a tunnel; what it receives goes to the other."""

    def __init__(self, proxy: StandIn) -> None:
        self._proxy = proxy
        self.other: _End | None = None
        self.passed = 0

    def connectionMade(self) -> None:
        self._proxy.lines.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            self.passed += len(data)
            transport_of(self.other).write(data)

    def join(self, other: "_End") -> None:
        """Tie the two ends together, each slowing the other down."""
        self.other, other.other = other, self
        for end, source in ((self, other), (other, self)):
            producer = cast(IPushProducer, source.transport)
            transport_of(end).registerProducer(producer, True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._proxy.lines.discard(self)
        other, self.other = self.other, None
        if other is not None:
            other.other = None
            line = transport_of(other)
            line.unregisterProducer()
            line.loseConnection()
            size = self.passed + other.passed
            self._proxy.ended.append(
                f"200 CONNECT {self._proxy.authority} {size} bytes"
            )


class _AgentEnd(_End):
    """The end that asks for a tunnel."""

    def __init__(self, proxy: StandIn) -> None:
        super().__init__(proxy)
        self._head = b""
        self._dialling: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            super().dataReceived(data)
            return
        self._head += data
        if b"\r\n\r\n" in self._head or len(self._head) > _MAX_HEAD:
            self._answer()

    def _answer(self) -> None:
        line = self._head.partition(b"\r\n")[0].decode("latin-1")
        method, _, rest = line.partition(" ")
        authority = rest.partition(" ")[0]
        self._proxy.asked.append(f"{method} {authority}"[:200])
        if (method, authority) != ("CONNECT", self._proxy.authority):
            self._refuse(b"403 Forbidden")
            return
        factory: Factory = Factory.forProtocol(lambda: _End(self._proxy))
        factory.noisy = False
        dialling = self._proxy.provider.connect(factory)
        self._dialling = dialling.addCallbacks(
            lambda end: self._open(cast(_End, end)),
            lambda _: self._refuse(b"503 Service Unavailable"),
        )

    def _open(self, end: _End) -> None:
        if self not in self._proxy.lines:
            transport_of(end).abortConnection()
            return
        self.join(end)
        transport_of(self).write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def _refuse(self, status: bytes) -> None:
        line = transport_of(self)
        line.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
        line.loseConnection()
