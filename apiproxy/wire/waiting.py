"""What an agent has said on a WebSocket and nobody has judged yet, in whole messages.

It is taken out of the stream as it came, so that it can go on as it came. How much may wait is
bounded twice: on one socket, beyond which its agent is read no more, and on all sockets
together, beyond which this one has to end. A message weighs what it says if that is more than
it came as, for both are kept, and so does one of which only the beginning is there; and it
weighs until it is judged, which may take a while.
"""

from collections import deque
from typing import Protocol

from apiproxy.core.messages import Message, MessageReader
from apiproxy.wire.room import Room

_MOST = 64 * 1024
"""Bytes of messages that wait to be judged before the agent is read no more."""


class Agent(Protocol):
    """The agent's side of a bridge."""

    def hold(self) -> None:
        """Read no more of the agent for now."""

    def release(self) -> None:
        """Read on."""


class Waiting:
    """Messages in the order in which they came, and the beginning of the next one.

    Attributes:
        queue: each message as it came, and what it says; with None what is no message.
    """

    def __init__(self, reader: MessageReader, room: Room, agent: Agent) -> None:
        """Nothing waits.

        Args:
            reader: reads what the agent says.
            room: for all sockets together.
            agent: is held while too much waits.
        """
        self.queue: deque[tuple[bytes, Message | None]] = deque()
        self._reader = reader
        self._room = room
        self._agent = agent
        self._begun = bytearray()
        self._whole = 0
        self._judged = 0
        self._taken = 0
        self._stopped = False

    def keep(self, data: bytes) -> None:
        """Put what is whole into the queue, and keep the rest."""
        before, start = len(self._begun), 0
        messages = self._reader.feed(data)
        self._begun += data
        for message in messages:
            end = before + message.end
            self._append(bytes(self._begun[start:end]), message)
            start = end
        clear = before + self._reader.clear
        if clear > start:  # what is no message, and broken: upstream may say so
            self._append(bytes(self._begun[start:clear]), None)
            start = clear
        del self._begun[:start]

    def _append(self, raw: bytes, message: Message | None) -> None:
        self.queue.append((raw, message))
        self._whole += _weight(raw, message)

    def next(self) -> tuple[bytes, Message | None]:
        """Take the first one out of the queue, to judge it."""
        first = self.queue.popleft()
        self._judged = _weight(*first)
        self._whole -= self._judged
        return first

    def judged(self) -> None:
        """The one that was taken last is judged, and gone."""
        self._judged = 0

    def weigh(self) -> bool:
        """Hold the agent, or release it; False if there is no room for what waits."""
        begun = max(len(self._begun), self._reader.held)
        more = begun + self._whole + self._judged - self._taken
        if more > 0 and not self._room.take(more):
            return False
        if more < 0:
            self._room.give(-more)
        self._taken += more
        if (self._whole > _MOST) != self._stopped:
            self._stopped = not self._stopped
            (self._agent.hold if self._stopped else self._agent.release)()
        return True

    def drop(self) -> None:
        """Forget it all; the agent is about to leave."""
        self.queue.clear()
        self._whole = self._judged = 0
        self._begun.clear()

    def end(self) -> None:
        """Give back all room; the socket is closed."""
        self.drop()
        self._room.give(self._taken)
        self._taken = 0


def _weight(raw: bytes, message: Message | None) -> int:
    """Bytes that a message takes: as it came, or as what it says."""
    said = None if message is None else message.payload
    return len(raw) if said is None else max(len(raw), len(said))
