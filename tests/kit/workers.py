"""Front and workers without processes: a reactor that remembers, and what it is given."""

import os
import socket
from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from apiproxy.wire.reactor import WorkersReactor
from apiproxy.workers.messages import Message, decode, encode


class FakePort:
    """A port that is listened on.

    Attributes:
        open: whether it accepts.
        transport: what is made of a connection.
        factory: gives protocols.
    """

    transport: Any = None

    def __init__(self, factory: Any, number: int) -> None:
        self.open = True
        self.closed = False
        self.factory = factory
        self._number = number

    def startReading(self) -> None:
        self.open = True

    def stopReading(self) -> None:
        self.open = False

    def stopListening(self) -> None:
        self.closed = True

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", self._number)


class FakeReactor(MemoryReactorClock):
    """Adopts connections in memory, and listens.

    Attributes:
        adopted: protocols that were given a connection.
        listening: ports that were opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[Any] = []
        self.listening: list[FakePort] = []

    def adoptStreamConnection(
        self, fileDescriptor: int, addressFamily: int, factory: Any
    ) -> Any:
        protocol = factory.buildProtocol(None)
        if protocol is None:
            return None
        transport = StringTransport(hostAddress=UNIXAddress(""))
        protocol.makeConnection(transport)
        self.adopted.append(protocol)
        return transport

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        self.listening.append(FakePort(factory, port))
        return self.listening[-1]

    def callWhenRunning(self, callable: Any, *args: Any, **kw: Any) -> None:
        callable(*args, **kw)


class FakeProcess:
    """A worker's process that does nothing by itself.

    Attributes:
        number: of the worker.
        pid: of the process.
        signals: what it was sent.
        channel: the front's end of the line to it.
    """

    channel: Any = None

    def __init__(self, number: int, life: ProcessProtocol, pid: int) -> None:
        self.number = number
        self.pid = pid
        self.signals: list[str] = []
        self.gone = False
        self._life = life

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(name)

    def end(self, code: int = 0, signal: int | None = None) -> None:
        """It ends."""
        self.gone = True
        how = ProcessTerminated(code, signal) if code or signal else ProcessDone(0)
        if signal is not None:
            how.exitCode = None  # as Twisted has it
        self._life.processEnded(Failure(how))


class FakeWorkers:
    """All workers there have been, by a ``Launch``, on a reactor that remembers.

    Attributes:
        processes: in the order of their start.
        fails: raised instead of starting one.
    """

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.processes: list[FakeProcess] = []
        self.fails: OSError | None = None
        self.inlets: list[socket.socket] = []

    @property
    def as_reactor(self) -> WorkersReactor:
        """The reactor, as what it stands for."""
        return cast(WorkersReactor, self.reactor)

    def launch(
        self, number: int, life: ProcessProtocol, descriptors: Mapping[int, int]
    ) -> Any:
        if self.fails is not None:
            raise self.fails
        self.inlets.append(socket.socket(fileno=os.dup(descriptors[4])))
        process = FakeProcess(number, life, 100 + len(self.processes))
        process.channel = self.reactor.adopted[-1]
        self.processes.append(process)
        return process

    def channel(self, at: int = -1) -> Any:
        """The front's end of the line to the worker that was started so many-th."""
        return self.reactor.adopted[at]

    def says(self, message: Message, at: int = -1) -> None:
        """A worker says something."""
        self.channel(at).stringReceived(encode(message))

    def heard(self, at: int = -1) -> list[Message]:
        """What a worker has been told since it was last asked about."""
        return sent(self.channel(at))

    def dies(self, at: int = -1, code: int = 0, signal: int | None = None) -> None:
        """A worker's process ends, and so does the line to it."""
        process = self.processes[at]
        process.end(code, signal)
        process.channel.connectionLost(Failure(connectionDone.value))

    def close(self) -> None:
        """End those that run, so that their lines are closed."""
        for at, process in enumerate(self.processes):
            if not process.gone:
                self.dies(at)
        self.processes.clear()
        for inlet in self.inlets:
            inlet.close()


def sent(channel: Any) -> list[Message]:
    """What was sent on a channel whose transport is a ``StringTransport``."""
    data, found = channel.transport.value(), []
    channel.transport.clear()
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        found.append(decode(data[4:end]))
        data = data[end:]
    return found
