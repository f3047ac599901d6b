"""What the kit's servers have in common: they listen, count, tell a story on each line."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLContextFactory,
    IProtocolFactory,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from tests.kit.line import Bell, Gone, IReactor, Line

log = Logger()


class ServedLine(Line):
    """A connection to a server of the kit, with the story the server tells on it."""

    def __init__(self, reactor: IReactor, number: int, server: "Server[Any]") -> None:
        super().__init__(reactor, number)
        self._server = server
        self._story: Deferred[None] | None = None

    async def serve(self) -> None:
        """The story."""
        raise NotImplementedError

    def connectionMade(self) -> None:
        """Begin the story."""
        super().connectionMade()
        self._story = Deferred.fromCoroutine(self.serve()).addErrback(self._over)

    def _over(self, failure: Failure) -> None:
        if not failure.check(Gone, CancelledError, ConnectingCancelledError):
            # Trial counts this as an error of the test, which it is.
            log.failure("a story of the kit broke on {line!r}", failure, line=self)
            self.end("reset")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has ended, and so does the story."""
        super().connectionLost(reason)
        if self._story is not None:
            self._story.cancel()

    def changed(self) -> None:
        """Have everybody who waits on this line, or on its server, look again."""
        super().changed()
        self._server.changed()


L = TypeVar("L", bound=ServedLine)


class Server(Generic[L]):
    """A server on a random port of 127.0.0.1.

    Attributes:
        connections: all connections ever, in the order they came.
        port: where it listens; 0 before ``start``. The same after a restart.
    """

    def __init__(
        self, reactor: IReactor, context: IOpenSSLContextFactory | None
    ) -> None:
        self.reactor = reactor
        self.connections: list[L] = []
        self.port = 0
        self._context = context
        self._listening: IListeningPort | None = None
        self._bell = Bell()

    def line(self, number: int) -> L:
        """Make the next connection."""
        raise NotImplementedError

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return sum(line.open for line in self.connections)

    async def start(self) -> None:
        """Listen."""
        factory: IProtocolFactory = _Lines(self)
        if self._context is not None:
            factory = TLSMemoryBIOFactory(self._context, False, factory, self.reactor)
        endpoint = TCP4ServerEndpoint(
            self.reactor, self.port, backlog=1024, interface="127.0.0.1"
        )
        self._listening = await endpoint.listen(factory)
        self.port = cast(IPv4Address, self._listening.getHost()).port

    async def stop_listening(self) -> None:
        """Take no new connections; the old ones stay."""
        listening, self._listening = self._listening, None
        if listening is not None:
            stopped = listening.stopListening()
            if stopped is not None:
                await stopped

    async def stop(self) -> None:
        """Stop listening, abort what is open, and wait until all of it is gone."""
        await self.stop_listening()
        for line in self.connections:
            line.end("reset")
        await self.until(lambda: not self.open)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; looked at whenever anything happens here."""
        while not condition():
            await self._bell.heard()

    async def connected(self, count: int = 1) -> L:
        """Wait until so many connections have come; the last of them."""
        await self.until(lambda: len(self.connections) >= count)
        return self.connections[count - 1]

    async def left(self) -> None:
        """Wait until no connection is open."""
        await self.until(lambda: not self.open)

    def changed(self) -> None:
        """Have everybody who waits on this server look again."""
        self._bell.ring()


class _Lines(Factory, Generic[L]):
    noisy = False

    def __init__(self, server: Server[L]) -> None:
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> L:
        line = self._server.line(len(self._server.connections) + 1)
        self._server.connections.append(line)
        return line
