"""The line between the front and one worker: messages, each with its length in front."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from apiproxy.workers.messages import Message, decode, encode

_log = Logger()

_CLOSE_SECONDS = 1.0

# Any: each function takes the message of its class.
Duties = Mapping[type[Message], Callable[[Any], None]]
"""What to do with each kind of message."""


class Channel(Int32StringReceiver):
    """One end of the line; what is sent before it is connected is forgotten."""

    MAX_LENGTH = 16 * 1024 * 1024

    def __init__(self, duties: Duties, lost: Callable[[], None]) -> None:
        """An end that is not connected yet.

        Args:
            duties: what to do with each kind of message; others are ignored.
            lost: called when the other process is gone.
        """
        self._duties = duties
        self._lost = lost
        self._closing: Deferred[None] | None = None

    def send(self, message: Message) -> None:
        """Send a message, if there is still somebody to read it."""
        if self.connected:
            self.sendString(encode(message))  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        """A message came."""
        try:
            message = decode(string)
            duty = self._duties.get(type(message))
            if duty is not None:
                duty(message)
        except Exception:  # a bug, which must not cost a process
            _log.failure("a message between processes could not be acted on")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other process is gone."""
        self.connected = 0
        closing, self._closing = self._closing, None
        if closing is not None:
            closing.callback(None)
        self._lost()

    def close(self, clock: IReactorTime) -> Deferred[None]:
        """Hang up when all that was sent is out, but do not wait for that for long."""
        closed: Deferred[None] = Deferred()
        if not self.connected or self.transport is None:
            closed.callback(None)
            return closed
        self._closing = closed
        self.transport.loseConnection()
        return closed.addTimeout(_CLOSE_SECONDS, clock).addErrback(lambda _: None)


class OneConnection(ServerFactory):
    """Gives one protocol to the one connection that is adopted by it."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """The protocol."""
        return self._protocol
