"""The honest transport does what a real connection does.

``ConformanceTests`` tell the same story to both and compare what happened.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.kit.case import LoopbackCase
from tests.kit.transport import HonestTransport


class Recorder(Protocol):
    """Writes down what happens to it, and does what a test wants on data."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.on_data: Callable[[], object] = list

    def dataReceived(self, data: bytes) -> None:
        self.events.append(f"data {len(data)}")
        self.on_data()
        self.events.append("data done")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.events.append(f"lost {type(reason.value).__name__}")


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    """Goes on writing when the other side has ended its direction."""

    def readConnectionLost(self) -> None:
        self.events.append("read lost")

    def writeConnectionLost(self) -> None:
        self.events.append("write lost")


@implementer(IPushProducer)
class Push:
    """A producer that writes down what it is told."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def pauseProducing(self) -> None:
        self.events.append("paused")

    def resumeProducing(self) -> None:
        self.events.append("resumed")

    def stopProducing(self) -> None:
        self.events.append("stopped")


@implementer(IPullProducer)
class Pull:
    """A producer that has a few pieces."""

    def __init__(
        self, transport: HonestTransport | Connection, events: list[str], pieces: int
    ) -> None:
        self.transport = transport
        self.events = events
        self.pieces = pieces

    def resumeProducing(self) -> None:
        self.events.append(f"pulled {self.pieces}")
        if self.pieces:
            self.pieces -= 1
            self.transport.write(b"piece")
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.events.append("stopped")


class HonestTransportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.protocol = Recorder()
        self.events = self.protocol.events
        self.transport = HonestTransport(self.protocol)

    def stalled(self, *, tls: bool = False) -> HonestTransport:
        self.protocol = Recorder()
        self.events = self.protocol.events
        self.transport = HonestTransport(
            self.protocol, high_water=10, flowing=False, tls=tls
        )
        return self.transport

    def test_it_provides_what_a_connection_provides(self) -> None:
        for interface in (ITransport, ITCPTransport, IConsumer, IPushProducer):
            verifyObject(interface, self.transport)
        verifyObject(IPushProducer, Push([]))
        verifyObject(IPullProducer, Pull(self.transport, [], 0))
        verifyObject(IHalfCloseableProtocol, HalfCloseable())

    def test_it_knows_its_ends_and_options(self) -> None:
        self.assertEqual(self.transport.getHost().port, 10000)
        self.assertEqual(self.transport.getPeer().port, 54321)
        self.assertEqual(self.transport.no_delay, None)
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(False)
        self.assertEqual(
            (self.transport.getTcpNoDelay(), self.transport.getTcpKeepAlive()),
            (True, False),
        )

    def test_bytes_leave_at_once_as_long_as_they_flow(self) -> None:
        self.transport.write(b"ab")
        self.transport.writeSequence([b"c", b"d"])
        self.assertEqual(self.transport.written, b"abcd")
        self.assertEqual(self.transport.buffered, 0)
        self.assertEqual(self.transport.clear(), b"abcd")
        self.assertEqual(self.transport.written, b"")
        with self.assertRaises(TypeError):
            self.transport.write("text")  # type: ignore[arg-type]  # that is the test

    def test_a_full_buffer_pauses_and_an_empty_one_resumes(self) -> None:
        transport = self.stalled()
        transport.registerProducer(Push(self.events), True)
        transport.write(b"x" * 10)
        self.assertEqual(self.events, [])
        transport.write(b"y")
        transport.write(b"z")
        self.assertEqual(self.events, ["paused", "paused"])
        transport.drain(11)
        self.assertEqual((transport.sent[-1:], transport.buffered), (b"y", 1))
        self.assertEqual(self.events, ["paused", "paused"])
        transport.drain()
        self.assertEqual(self.events, ["paused", "paused", "resumed"])
        self.assertFalse(transport.producer_paused)

    def test_flow_and_stall(self) -> None:
        transport = self.stalled()
        transport.registerProducer(Push(self.events), True)
        transport.write(b"x" * 20)
        transport.flow()
        transport.write(b"x" * 20)
        transport.stall()
        transport.write(b"x" * 20)
        self.assertEqual(self.events, ["paused", "resumed", "paused"])
        self.assertEqual(transport.buffered, 20)

    def test_a_second_producer_is_refused(self) -> None:
        self.transport.registerProducer(Push(self.events), True)
        with self.assertRaises(RuntimeError):
            self.transport.registerProducer(Push(self.events), True)
        self.transport.unregisterProducer()
        self.transport.unregisterProducer()
        self.transport.registerProducer(Push(self.events), True)

    def test_a_pull_producer_is_asked_each_time_the_buffer_is_empty(self) -> None:
        transport = self.stalled()
        transport.registerProducer(Pull(transport, self.events, 2), False)
        transport.loseConnection()
        while transport.connected:
            transport.drain()
        self.assertEqual(
            self.events, ["pulled 2", "pulled 1", "pulled 0", "lost ConnectionDone"]
        )
        self.assertEqual(transport.sent, b"piecepiece")

    def test_over_tls_an_end_waits_for_the_producer(self) -> None:
        transport = self.stalled(tls=True)
        transport.registerProducer(Push(self.events), True)
        transport.write(b"abc")
        transport.loseConnection()
        transport.write(b"def")
        transport.drain()
        self.assertEqual((self.events, transport.sent), ([], b"abcdef"))
        transport.unregisterProducer()
        self.assertEqual(self.events, ["lost ConnectionDone"])

    def test_over_tls_an_end_never_comes_while_reading_is_paused(self) -> None:
        transport = HonestTransport(self.protocol, tls=True)
        transport.pauseProducing()
        transport.loseConnection()
        transport.write(b"dropped")
        self.assertEqual((self.events, transport.written), ([], b""))
        self.assertEqual(transport.pauses, ["pause"])
        transport.resumeProducing()
        self.assertEqual(self.events, ["lost ConnectionDone"])

    def test_an_abort_is_immediate(self) -> None:
        transport = self.stalled()
        transport.registerProducer(Push(self.events), True)
        transport.write(b"abc")
        transport.pauseProducing()
        transport.abortConnection()
        transport.abortConnection()
        self.assertEqual(self.events, ["stopped", "lost ConnectionAborted"])
        self.assertEqual((transport.sent, transport.aborted), (b"", True))
        transport.write(b"def")
        transport.drain()
        transport.loseConnection()
        transport.close()
        transport.registerProducer(Push(self.events), True)
        self.assertEqual(self.events[2:], ["stopped"])

    def test_data_waits_while_reading_is_paused(self) -> None:
        self.transport.pauseProducing()
        self.transport.deliver(b"ab", b"cde")
        self.transport.close()
        self.assertEqual(self.events, [])
        self.protocol.on_data = self.transport.pauseProducing
        self.transport.resumeProducing()
        self.assertEqual(self.events, ["data 2", "data done"])
        self.protocol.on_data = list
        self.transport.resumeProducing()
        self.assertEqual(
            self.events[2:], ["data 3", "data done", "lost ConnectionDone"]
        )

    def test_much_data_comes_in_pieces(self) -> None:
        self.transport.deliver(b"x" * 70000)
        self.assertEqual(self.events[::2], ["data 65536", "data 4464"])

    def test_nothing_happens_inside_the_protocol(self) -> None:
        for act in (self.transport.loseConnection, self.transport.abortConnection):
            self.setUp()
            self.protocol.on_data = getattr(self.transport, act.__name__)
            self.transport.deliver(b"x", b"y")
            self.assertEqual(self.events[:2], ["data 1", "data done"])
            self.assertEqual(len(self.events), 3)

    def test_a_reset_is_noticed_by_writing_only_if_reading_is_paused(self) -> None:
        self.transport.pauseProducing()
        self.transport.close(ConnectionLost())
        self.assertEqual(self.events, [])
        self.transport.resumeProducing()
        self.assertEqual(self.events, ["lost ConnectionLost"])
        transport = self.stalled()
        transport.pauseProducing()
        transport.write(b"x")
        transport.close(ConnectionLost())
        self.assertEqual(self.events, ["lost ConnectionLost"])

    def test_with_a_clock_ends_come_in_a_later_turn(self) -> None:
        for act, kind in (
            ("loseConnection", "ConnectionDone"),
            ("abortConnection", "ConnectionAborted"),
            ("stopProducing", "ConnectionDone"),
        ):
            clock = Clock()
            protocol = Recorder()
            transport = HonestTransport(protocol, clock=clock)
            getattr(transport, act)()
            self.assertEqual(protocol.events, [])
            clock.advance(0)
            self.assertEqual(protocol.events, [f"lost {kind}"])

    def test_with_a_clock_a_pull_producer_goes_on_by_itself(self) -> None:
        clock = Clock()
        protocol = Recorder()
        transport = HonestTransport(protocol, clock=clock)
        transport.registerProducer(Pull(transport, protocol.events, 2), False)
        clock.pump([0] * 5)
        self.assertEqual(protocol.events, ["pulled 2", "pulled 1", "pulled 0"])

    def test_half_an_end(self) -> None:
        protocol = HalfCloseable()
        transport = HonestTransport(protocol, flowing=False)
        transport.write(b"abc")
        transport.loseWriteConnection()
        self.assertEqual(protocol.events, [])
        transport.drain()
        transport.write(b"dropped")
        transport.deliver(b"x")
        transport.close()
        transport.loseConnection()
        self.assertEqual(
            protocol.events,
            ["write lost", "data 1", "data done", "read lost", "lost ConnectionDone"],
        )
        self.assertEqual(transport.written, b"abc")
        plain = HonestTransport(self.protocol)
        plain.loseWriteConnection()
        self.assertTrue(plain.half_closed)

    def test_it_says_where_it_is(self) -> None:
        transport = self.stalled()
        transport.write(b"abc")
        transport.pauseProducing()
        self.assertEqual(
            repr(transport), "<HonestTransport open 3 written 3 buffered paused>"
        )
        transport.loseConnection()
        self.assertIn(" closing ", repr(transport))
        transport.drain()
        self.assertIn(" closed ", repr(transport))
        transport = self.stalled()
        transport.abortConnection()
        self.assertIn(" aborted ", repr(transport))


@frozen
class Both:
    """A protocol on a real connection or on the honest transport.

    Attributes:
        transport: the one or the other.
        events: what happened.
        stall: has the other side take nothing.
        flow: has the other side take everything.
    """

    transport: HonestTransport | Connection
    events: list[str]
    stall: Callable[[], object]
    flow: Callable[[], object]


@implementer(IHalfCloseableProtocol)
class Accepted(Protocol):
    """The other side of the real connection, which does not end it."""

    def __init__(self, here: Deferred[None]) -> None:
        self.here = here

    def connectionMade(self) -> None:
        self.here.callback(None)

    def readConnectionLost(self) -> None:
        """Stay."""

    def writeConnectionLost(self) -> None:
        """Never happens."""


class ConformanceTests(LoopbackCase):
    """One story, told to a real TCP connection and to the honest one."""

    async def real(self) -> Both:
        here: Deferred[None] = Deferred()
        other = Accepted(here)
        server = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = await server.listen(Factory.forProtocol(lambda: other))
        self.addCleanup(port.stopListening)
        number = cast(IPv4Address, port.getHost()).port
        client = TCP4ClientEndpoint(self.reactor, "127.0.0.1", number)
        protocol = Recorder()
        await client.connect(Factory.forProtocol(lambda: protocol))
        await here
        ours: object = protocol.transport
        theirs: object = other.transport
        assert isinstance(ours, Connection)
        assert isinstance(theirs, Connection)
        for each in (ours, theirs):
            self.addCleanup(each.abortConnection)
        return Both(
            ours, protocol.events, theirs.pauseProducing, theirs.resumeProducing
        )

    def honest(self) -> Both:
        protocol = Recorder()
        transport = HonestTransport(protocol, clock=self.reactor)
        return Both(
            transport,
            protocol.events,
            transport.stall,
            lambda: self.reactor.callLater(0, transport.flow),
        )

    async def compare(self, *steps: str) -> list[str]:
        """Take the same steps on both; what happened, after it has proved the same."""
        results: list[list[str]] = []
        for both in (await self.real(), self.honest()):
            for step in steps:
                both.events.append(step)
                self.take(step, both)
                both.events.append("-")
                if step == "flow":
                    # How long the kernel takes for so much is nobody's business.
                    await self.until(partial(both.events.count, "resumed"))
                # All else takes a certain number of turns.
                for _ in range(20):
                    await deferLater(self.reactor, 0.001)
            results.append(both.events)
        self.assertEqual(results[0], results[1])
        return results[1]

    def take(self, step: str, both: Both) -> None:
        transport, events = both.transport, both.events
        if step == "write":
            transport.write(b"x" * 100)
        elif step == "fill":
            both.stall()
            transport.write(b"x" * 2**24)
        elif step == "flow":
            both.flow()
        elif step == "push":
            transport.registerProducer(Push(events), True)
        elif step == "pull":
            transport.registerProducer(Pull(transport, events, 3), False)
        else:
            getattr(transport, step)()

    async def test_the_same_happens(self) -> None:
        for steps in (
            ["write", "loseConnection", "loseConnection", "write"],
            ["write", "abortConnection", "abortConnection", "loseConnection"],
            ["push", "abortConnection", "push"],
            ["pull", "loseConnection"],
            ["pull", "abortConnection"],
            ["loseWriteConnection", "write", "loseConnection"],
            ["unregisterProducer", "loseConnection"],
            ["pauseProducing", "loseConnection", "resumeProducing"],
            ["stopProducing"],
            ["fill", "push", "unregisterProducer", "abortConnection"],
        ):
            with self.subTest(steps):
                events = await self.compare(*steps)
                self.assertEqual(sum(each[:5] == "lost " for each in events), 1)

    async def test_a_producer_that_was_paused_is_waited_for(self) -> None:
        events = await self.compare(
            "push", "fill", "loseConnection", "write", "flow", "unregisterProducer"
        )
        told = " ".join(each for each in events if each != "-")
        self.assertEqual(
            told,
            "push fill paused loseConnection write paused flow resumed"
            " unregisterProducer lost ConnectionDone",
        )

    async def test_a_producer_that_was_not_paused_is_not_waited_for(self) -> None:
        events = await self.compare("push", "write", "loseConnection")
        self.assertEqual(events[-2:], ["stopped", "lost ConnectionDone"])
