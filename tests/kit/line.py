"""One end of a real connection, written as a story: read until, send, end in some way.

The provider, the CONNECT proxy and the raw agent of the kit are all a ``Line``. It keeps
what it received until somebody takes it, honours back-pressure in both directions, and
knows four ways of ending a connection, because a proxy has to tell them apart.
"""

import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Literal, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IPushProducer,
    IReactorProcess,
    IReactorTCP,
    IReactorTime,
    ITLSTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

Ending = Literal["close", "fin", "reset"]
"""How a connection ends.

``close``: everything is sent, then an orderly end (over TLS with a close_notify).
``fin``: everything is sent, then a bare FIN, even over TLS: what a cut cable looks like.
``reset``: an RST.
"""


class IReactor(IReactorTCP, IReactorTime, IReactorProcess):
    """What the kit needs of a real reactor."""


class Bell:
    """Rung when something has changed; stories wait on it for what they want."""

    def __init__(self) -> None:
        self._waiters: list[Deferred[None]] = []

    def ring(self) -> None:
        """Wake everybody, so that they look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.called:  # it may have been given up a moment ago
                waiter.callback(None)

    async def heard(self) -> None:
        """Wait for the next ring."""
        waiter: Deferred[None] = Deferred(self._forget)
        self._waiters.append(waiter)
        await waiter

    def _forget(self, waiter: Deferred[None]) -> None:
        # A waiter that is being woken in this very turn is no longer in the list.
        if waiter in self._waiters:
            self._waiters.remove(waiter)


class Gate:
    """Something a story waits for and a test opens, once for all."""

    def __init__(self) -> None:
        self.is_open = False
        self._bell = Bell()

    def open(self) -> None:
        """Let everybody through, now and later."""
        self.is_open = True
        self._bell.ring()

    async def opened(self) -> None:
        """Wait until it is open."""
        if not self.is_open:
            await self._bell.heard()


class Gone(Exception):
    """The connection ended while the story still wanted something of it."""


@implementer(IHandshakeListener)
class Line(Protocol):
    """One end of a real TCP connection, with TLS or without.

    Attributes:
        number: which connection it is on its server, from 1; 0 on a client.
        received: bytes that nobody has taken yet.
        total_received: bytes received since the beginning.
        total_sent: bytes given to the transport since the beginning.
        open: whether the connection is up.
        reason: why it ended; None as long as it is open.
        paused: whether reading is paused by us.
        full: whether the transport has told us to stop writing.
        secured: whether a TLS handshake was completed.
        server_name: the SNI of the handshake; None without one.
        alpn: the protocol agreed on in the handshake; None without one.
    """

    def __init__(self, reactor: IReactor, number: int = 0) -> None:
        self.reactor = reactor
        self.number = number
        self.received = bytearray()
        self.total_received = 0
        self.total_sent = 0
        self.open = False
        self.reason: Failure | None = None
        self.paused = False
        self.full = False
        self.secured = False
        self.server_name: bytes | None = None
        self.alpn: bytes | None = None
        self._bell = Bell()

    # What the transport tells us.

    def connectionMade(self) -> None:
        """The connection is up."""
        self.open = True
        self._tcp().setTcpNoDelay(True)
        assert self.transport is not None
        # Every real transport is a consumer, which ITransport does not say.
        self.transport.registerProducer(_Regulator(self), True)  # type: ignore[attr-defined]
        self.changed()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came; keep them and wake whoever waits."""
        self.received += data
        self.total_received += len(data)
        self.changed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has ended, whoever ended it."""
        self.open = False
        self.reason = reason
        self.changed()

    def handshakeCompleted(self) -> None:
        """The TLS handshake is done."""
        self.secured = True
        assert self.transport is not None
        handle = self.transport.getHandle()  # type: ignore[attr-defined]  # TLS has one
        self.server_name = handle.get_servername()
        self.alpn = handle.get_alpn_proto_negotiated() or None
        self.changed()

    def changed(self) -> None:
        """Have everybody who waits on this line look again."""
        self._bell.ring()

    # What a story can wait for.

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; looked at whenever anything happens here.

        Raises:
            Gone: the connection ended and it is still not so.
        """
        while not condition():
            if self.reason is not None:
                raise Gone(f"{self!r} with {bytes(self.received[-200:])!r} not taken")
            await self._bell.heard()

    async def read(self, count: int) -> bytes:
        """Take exactly ``count`` bytes."""
        await self.until(lambda: len(self.received) >= count)
        return self._take(count)

    async def read_until(self, mark: bytes) -> bytes:
        """Take everything up to and including ``mark``."""
        await self.until(lambda: mark in self.received)
        return self._take(self.received.index(mark) + len(mark))

    async def read_some(self, limit: int | None = None) -> bytes:
        """Take what is there, up to ``limit`` bytes; waits for at least one."""
        await self.until(lambda: bool(self.received))
        there = len(self.received)
        return self._take(there if limit is None else min(limit, there))

    async def read_all(self) -> bytes:
        """Take everything up to the end of the connection, however it ends."""
        await self.gone()
        return self._take(len(self.received))

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self.received)[:count])
        del self.received[:count]
        return taken

    async def gone(self) -> Failure:
        """Wait for the end of the connection; why it ended."""
        await self.until(lambda: self.reason is not None)
        assert self.reason is not None
        return self.reason

    async def sleep(self, seconds: float) -> None:
        """Let the reactor run for so long.

        Raises:
            Gone: the connection had ended by then.
        """
        await deferLater(self.reactor, seconds)
        if self.reason is not None:
            raise Gone(repr(self))

    # What a story can do.

    def write(self, data: bytes) -> None:
        """Give bytes to the transport, whether it is full or not.

        Raises:
            Gone: the connection has ended.
        """
        if self.reason is not None:
            raise Gone(repr(self))
        assert self.transport is not None
        self.total_sent += len(data)
        self.transport.write(data)

    async def send(self, data: bytes) -> None:
        """Give bytes to the transport, then wait until it has room again."""
        self.write(data)
        await self.until(lambda: not self.full)

    async def flushed(self) -> None:
        """Wait until the other side's kernel has everything we wrote."""
        # Two turns, because Twisted's TLS gathers small writes for one.
        await self.sleep(0)
        await self.sleep(0)
        while self._unsent():
            await self.sleep(0.001)

    def _unsent(self) -> int:
        tcp = self._tcp()
        # Twisted has no public way to ask how much of its buffer is left.
        ours = len(tcp.dataBuffer) + tcp._tempDataLen
        answer = fcntl.ioctl(tcp.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        return ours + int(struct.unpack("i", answer)[0])

    def pause(self) -> None:
        """Stop reading: the kernel's buffers fill, then the other side has to wait."""
        self.paused = True
        assert self.transport is not None
        self.transport.pauseProducing()  # type: ignore[attr-defined]  # every real transport is a producer

    def resume(self) -> None:
        """Read again."""
        self.paused = False
        assert self.transport is not None
        self.transport.resumeProducing()  # type: ignore[attr-defined]  # as above

    def end(self, how: Ending = "close") -> None:
        """End the connection; nothing happens if it has ended.

        Before ``fin`` and ``reset``, wait for ``flushed`` if what was written matters.
        """
        if self.reason is not None:
            return
        assert self.transport is not None
        # With a producer registered neither kind of loseConnection would ever complete.
        self.transport.unregisterProducer()  # type: ignore[attr-defined]  # as above
        if how == "close":
            if self.paused:
                self.resume()
            self.transport.loseConnection()
        elif how == "fin":
            FileDescriptor.loseConnection(self._tcp())  # past any TLS
        else:
            self._tcp().abortConnection()

    def half_close(self) -> None:
        """Send a FIN and go on reading. TLS has no such thing."""
        assert self.transport is not None
        self.transport.unregisterProducer()  # type: ignore[attr-defined]  # as above
        self.transport.loseWriteConnection()  # type: ignore[attr-defined]  # TCP has it

    async def secure(self, options: IOpenSSLClientConnectionCreator) -> None:
        """Begin TLS as the client, and wait for the handshake.

        Raises:
            Gone: the handshake failed; ``reason`` says why.
        """
        assert self.transport is not None
        cast(ITLSTransport, self.transport).startTLS(options)
        await self.until(lambda: self.secured)

    def _tcp(self) -> Connection:
        transport: object = self.transport
        if isinstance(transport, TLSMemoryBIOProtocol):
            transport = transport.transport
        return cast(Connection, transport)

    def __repr__(self) -> str:
        state = "open" if self.reason is None else self.reason.getErrorMessage()
        return (
            f"<{type(self).__name__} {self.number} {self.total_received} received"
            f" {self.total_sent} sent: {state}>"
        )


@implementer(IPushProducer)
class _Regulator:
    """Tells a line when its transport is full."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def pauseProducing(self) -> None:
        self._line.full = True

    def resumeProducing(self) -> None:
        self._line.full = False
        self._line.changed()

    def stopProducing(self) -> None:
        """The connection is ending; ``connectionLost`` says so next."""
