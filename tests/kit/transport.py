"""One honest transport in memory: what Twisted's real TCP connection does, it does.

Twisted's own fakes cannot be paused, take two producers, or complain where real ones do not.
Where time matters the real one acts in a later turn of the reactor; with a ``clock`` this one
does too, without one it acts at once but never within a call of the protocol's
``dataReceived``.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPullProducer,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITransport, ITCPTransport, IConsumer, IPushProducer)
class HonestTransport:
    """A TCP connection without a socket.

    ``written`` is what the protocol has written. How much of it has left is up to the test:
    as long as ``flowing`` all of it has, at once; after ``stall`` it stays in the buffer
    until ``drain`` takes some or ``flow`` takes all.

    Attributes:
        protocol: whose transport this is; set by ``connect``.
        written: all bytes written, in the buffer or not.
        flowing: whether bytes leave as they are written.
        high_water: bytes of buffer above which the producer is paused.
        producer: the one registered; None if there is none.
        producer_paused: whether it was told to pause.
        paused: whether the protocol has paused reading.
        pauses: ``pause`` and ``resume``, in the order the protocol asked for them.
        connected: whether it is up.
        disconnecting: whether ``loseConnection`` was called.
        disconnected: whether it is over.
        aborted: whether ``abortConnection`` was called.
        half_closed: whether our direction has ended.
        no_delay: what was set; None if nothing.
        keep_alive: what was set; None if nothing.
    """

    read_size = 65536  # bytes that the protocol gets at once, at most

    def __init__(
        self,
        protocol: IProtocol | None = None,
        *,
        high_water: int = 65536,
        flowing: bool = True,
        tls: bool = False,
        clock: IReactorTime | None = None,
        host: IPv4Address | None = None,
        peer: IPv4Address | None = None,
    ) -> None:
        """Make it; with a protocol it is connected at once.

        Args:
            protocol: whose transport this is.
            high_water: bytes of buffer above which the producer is paused.
            flowing: whether bytes leave as they are written.
            tls: end as TLS does: nothing is written after ``loseConnection``, unless a
                producer is registered, and it never completes while reading is paused.
            clock: makes ends and queued data come in a later turn, as in reality.
            host: our address.
            peer: the other side's address.
        """
        self.protocol: IProtocol | None = None
        self.written = b""
        self.flowing = flowing
        self.high_water = high_water
        self.producer: IProducer | None = None
        self.producer_paused = False
        self.streaming = False
        self.paused = False
        self.pauses: list[str] = []
        self.connected = False
        self.disconnecting = False
        self.disconnected = False
        self.aborted = False
        self.half_closed = False
        self.no_delay: bool | None = None
        self.keep_alive: bool | None = None
        self._tls = tls
        self._clock = clock
        self._host = host or IPv4Address("TCP", "127.0.0.1", 10000)
        self._peer = peer or IPv4Address("TCP", "127.0.0.1", 54321)
        self._left = 0
        self._half_closing = False
        self._writing = False
        self._incoming: deque[bytes | Failure] = deque()
        self._delivering = False
        self._pending: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        if protocol is not None:
            self.connect(protocol)

    # What a test does.

    def connect(self, protocol: IProtocol) -> None:
        """Give the protocol this transport."""
        self.protocol = protocol
        self.connected = True
        protocol.makeConnection(self)

    @property
    def buffered(self) -> int:
        """Bytes written that have not left."""
        return len(self.written) - self._left

    @property
    def sent(self) -> bytes:
        """What has left."""
        return self.written[: self._left]

    def clear(self) -> bytes:
        """Forget what has left, and return it."""
        sent, self.written = self.sent, self.written[self._left :]
        self._left = 0
        return sent

    def stall(self) -> None:
        """From now on nothing leaves unless the test says so."""
        self.flowing = False

    def flow(self) -> None:
        """From now on everything leaves, and what is in the buffer does so now."""
        self.flowing = True
        self.drain()

    def drain(self, count: int | None = None) -> None:
        """Let bytes leave; an empty buffer resumes the producer, or completes an end.

        Args:
            count: bytes; None for all there are.
        """
        if not self.connected or self.aborted or not self._writing:
            return
        there = self.buffered
        self._left += there if count is None else min(count, there)
        if self.buffered:
            return
        self._writing = False
        if self.producer is not None and (not self.streaming or self.producer_paused):
            self.producer_paused = False
            cast(IPullProducer, self.producer).resumeProducing()
        elif self.disconnecting:
            self._complete()
        elif self._half_closing and not self.half_closed:
            self.half_closed = True
            protocol = _half_closeable(self.protocol)
            if protocol is not None:
                protocol.writeConnectionLost()

    def deliver(self, *data: bytes) -> None:
        """Bytes come from the other side; they wait while reading is paused."""
        for each in data:
            for start in range(0, len(each), self.read_size):
                self._incoming.append(each[start : start + self.read_size])
        self._deliver()

    def close(self, reason: BaseException | None = None) -> None:
        """The other side ends the connection, orderly unless a reason is given.

        Nobody notices as long as reading is paused, unless something is being written.

        Args:
            reason: such as ``ConnectionLost()``; None for ``ConnectionDone()``.
        """
        failure = Failure(ConnectionDone() if reason is None else reason)
        if self.buffered and reason is not None:
            self._lost(failure)
        else:
            self._incoming.append(failure)
            self._deliver()

    # ITransport and ITCPTransport.

    def write(self, data: bytes) -> None:
        """Write, as long as the connection is up."""
        if not isinstance(data, bytes):
            raise TypeError(f"Data must be bytes, not {type(data).__name__}")
        if not self._writable() or not data:
            return
        self.written += data
        self._writing = True
        if self.flowing:
            self._left = len(self.written)
            # Without a clock a pull producer waits for ``drain``, or it would never end.
            if self._clock is not None and not self.streaming:
                self._clock.callLater(0, self.drain)
        elif self.streaming and self.buffered > self.high_water:
            # A real one says it again at each write that finds the buffer full.
            self._pause_producer()

    def _pause_producer(self) -> None:
        if self.producer is not None:
            self.producer_paused = True
            cast(IPushProducer, self.producer).pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write all of them."""
        self.write(b"".join(data))

    def _writable(self) -> bool:
        if self._tls and self.disconnecting and self.producer is None:
            return False
        return self.connected and not self.half_closed

    def loseConnection(self) -> None:
        """End when the buffer is empty and no producer has to be waited for.

        TLS waits for any producer; TCP waits for a pull producer and for one it has
        paused, whatever its documentation says (``twisted.internet.abstract.doWrite``).
        """
        if not self.connected or self.disconnecting:
            return
        if self.half_closed:
            self._lost(Failure(ConnectionDone()))
            return
        self.disconnecting = True
        if not self._tls:
            self._incoming.clear()
        self._write_later()

    def _complete(self) -> None:
        if not self.disconnecting or self.buffered:
            return
        if self._tls:
            # TLS waits for any producer, and then for the other side's close_notify,
            # which is never read while reading is paused.
            waiting = self.producer is not None or self.paused
        else:
            # TCP waits for a pull producer, and for a push producer that it has paused
            # (which it resumes first); one that is not paused it does not wait for.
            waiting = self.producer is not None and not self.streaming
        if not waiting:
            self._lost(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """End now; what is in the buffer is dropped."""
        if self.aborted or self.disconnected:
            return
        self.aborted = True
        self._incoming.clear()
        self._later(self._lost, Failure(ConnectionAborted()))

    def loseWriteConnection(self) -> None:
        """End our direction when the buffer is empty."""
        self._half_closing = True
        self._write_later()

    def getTcpNoDelay(self) -> bool:
        """What was set."""
        return bool(self.no_delay)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Record it."""
        self.no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """What was set."""
        return bool(self.keep_alive)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Record it."""
        self.keep_alive = bool(enabled)

    def getHost(self) -> IPv4Address:
        """Our address."""
        return self._host

    def getPeer(self) -> IPv4Address:
        """The other side's address."""
        return self._peer

    # IConsumer.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Take a producer, one at a time.

        Raises:
            RuntimeError: there is one already.
        """
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer"
                f" {self.producer} was never unregistered."
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streaming = streaming
        if not streaming:
            cast(IPullProducer, producer).resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer; harmless without one."""
        self.producer = None
        # A real one forgets nothing else: a later producer of a full buffer is resumed
        # when it empties, though it was never paused.
        if self.connected and self.disconnecting:
            self._write_later()

    # IPushProducer: reading.

    def pauseProducing(self) -> None:
        """Stop reading."""
        self.pauses.append("pause")
        self.paused = True

    def resumeProducing(self) -> None:
        """Read again, unless the connection is ending."""
        self.pauses.append("resume")
        if self.connected and (self._tls or not self.disconnecting):
            self.paused = False
            self._later(self._deliver)
            if self.disconnecting:
                self._later(self._complete)

    def stopProducing(self) -> None:
        """End the connection."""
        self.loseConnection()

    # How it works.

    def _deliver(self) -> None:
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._incoming and self.connected and not self.paused:
                if self.aborted or (self.disconnecting and not self._tls):
                    break
                assert self.protocol is not None
                what = self._incoming.popleft()
                if isinstance(what, bytes):
                    self.protocol.dataReceived(what)
                else:
                    self._end_of_input(what)
        finally:
            self._delivering = False
        while self._pending:
            action, args = self._pending.popleft()
            action(*args)

    def _end_of_input(self, reason: Failure) -> None:
        protocol = _half_closeable(self.protocol)
        if protocol is not None and reason.check(ConnectionDone) and not self._tls:
            protocol.readConnectionLost()
        else:
            self._lost(reason)

    def _lost(self, reason: Failure) -> None:
        if self.disconnected:
            return
        self.connected = False
        self.disconnected = True
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        assert self.protocol is not None
        self.protocol.connectionLost(reason)

    def _write_later(self) -> None:
        """Have the reactor come by to write, though there may be nothing to write."""
        self._writing = True
        self._later(self.drain, 0)

    def _later(self, action: Callable[..., object], *args: object) -> None:
        if self._clock is not None:
            self._clock.callLater(0, action, *args)
        elif self._delivering:
            self._pending.append((action, args))
        else:
            action(*args)

    def __repr__(self) -> str:
        if self.disconnected:
            state = "aborted" if self.aborted else "closed"
        else:
            state = "closing" if self.disconnecting else "open"
        return (
            f"<HonestTransport {state} {len(self.written)} written"
            f" {self.buffered} buffered{' paused' if self.paused else ''}>"
        )


def _half_closeable(protocol: IProtocol | None) -> IHalfCloseableProtocol | None:
    return IHalfCloseableProtocol(protocol, None)
