"""What we use of a transport, said as a type: Twisted's own interfaces each say a part."""

import socket
import typing
from collections.abc import Callable

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol


class Transport(typing.Protocol):
    """A connection: Twisted's over TCP or a Unix socket, or ``TlsLine`` over one."""

    protocol: IProtocol | None

    def write(self, data: bytes) -> None:
        """Send, in time."""

    def loseConnection(self) -> None:
        """Send what is left, then close; waits for a registered producer."""

    def loseWriteConnection(self) -> None:
        """Send what is left, then close our direction."""

    def abortConnection(self) -> None:
        """Close at once."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Pause this producer while the send buffer is full."""

    def unregisterProducer(self) -> None:
        """Forget the producer."""

    def pauseProducing(self) -> None:
        """Stop reading."""

    def resumeProducing(self) -> None:
        """Read again."""

    def getPeer(self) -> IAddress:
        """The other end."""

    def getHost(self) -> IAddress:
        """Our end."""

    def getHandle(self) -> socket.socket:
        """The socket."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small writes at once."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Probe a silent connection."""


def transport_of(protocol: Protocol) -> Transport:
    """The transport of a connected protocol."""
    return typing.cast(Transport, protocol.transport)


def probes(system: object) -> list[tuple[int, int]]:
    """Socket options and their values, of those that the system's ``socket`` has."""
    wanted = (
        ("TCP_KEEPIDLE", 60),  # seconds of silence; macOS has it under another name
        ("TCP_KEEPINTVL", 20),  # seconds between probes
        ("TCP_KEEPCNT", 5),  # probes without an answer
    )
    found = [(getattr(system, name, None), value) for name, value in wanted]
    return [(option, value) for option, value in found if option is not None]


_PROBES = probes(socket)


def tune(line: Transport) -> None:
    """Set a TCP connection up: small writes at once, a dead host found in minutes."""
    if isinstance(line.getHost(), UNIXAddress):
        return
    line.setTcpNoDelay(True)
    line.setTcpKeepAlive(True)
    handle = line.getHandle()
    for option, value in _PROBES:
        handle.setsockopt(socket.IPPROTO_TCP, option, value)


def quiet(build: Callable[[IAddress | None], Protocol]) -> Factory:
    """A factory that makes protocols this way, and tells the log nothing of it."""
    factory: Factory = Factory()
    factory.noisy = False
    factory.buildProtocol = build  # type: ignore[method-assign,assignment]
    return factory
