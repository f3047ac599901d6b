"""A tap between an agent and apiproxy: it passes bytes on, and keeps them.

It also is a fixed address, behind which apiproxy may be started anew.
"""

from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.kit.line import IReactor


class TappedLine(Protocol):
    """An agent's connection.

    Attributes:
        up: bytes that the agent has sent.
        down: bytes that it was sent.
    """

    transport: Any  # a TCP connection, of which the interfaces tell only half

    def __init__(self, tap: "Tap") -> None:
        self.up = bytearray()
        self.down = bytearray()
        self.other: _Onward | None = None
        self._tap = tap
        self._open = False

    def connectionMade(self) -> None:
        """Connect onward."""
        self._open = True
        self.transport.pauseProducing()
        end = TCP4ClientEndpoint(self._tap.reactor, "127.0.0.1", self._tap.target)
        self._story = Deferred.fromCoroutine(self._connect(end))

    async def _connect(self, end: TCP4ClientEndpoint) -> None:
        try:
            other = await end.connect(Factory.forProtocol(_Onward))
        except ConnectError:
            self.transport.abortConnection()
        else:
            self._onward(cast(_Onward, other))

    def _onward(self, other: "_Onward") -> None:
        other.agent, self.other = self, other
        if not self._open:
            other.transport.abortConnection()
            return
        # Each side waits for the other's room.
        self.transport.registerProducer(other.transport, True)
        other.transport.registerProducer(self.transport, True)
        self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        """From the agent."""
        self.up += data
        assert self.other is not None
        self.other.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The agent has gone."""
        self._open = False
        if self.other is not None:
            self.transport.unregisterProducer()
            self.other.transport.loseConnection()


class _Onward(Protocol):
    transport: Any
    agent: TappedLine

    def dataReceived(self, data: bytes) -> None:
        self.agent.down += data
        self.agent.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport.unregisterProducer()
        self.agent.transport.loseConnection()


class Tap:
    """The tap.

    Attributes:
        port: where it listens on 127.0.0.1; 0 before ``start``.
        target: the port it leads to.
        lines: all connections ever.
    """

    def __init__(self, reactor: IReactor, target: int) -> None:
        self.reactor = reactor
        self.port = 0
        self.target = target
        self.lines: list[TappedLine] = []
        self._listening: IListeningPort | None = None

    async def start(self) -> None:
        """Listen."""
        factory = Factory.forProtocol(self._line)
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        self._listening = await endpoint.listen(factory)
        self.port = cast(IPv4Address, self._listening.getHost()).port

    def _line(self) -> TappedLine:
        self.lines.append(TappedLine(self))
        return self.lines[-1]

    async def stop(self) -> None:
        """Stop listening, and drop what is open."""
        listening, self._listening = self._listening, None
        if listening is not None:
            stopped = listening.stopListening()
            if stopped is not None:
                await stopped
        for line in self.lines:
            if line.transport is not None:
                line.transport.abortConnection()
