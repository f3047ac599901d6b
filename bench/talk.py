"""One connection of an agent, and how what comes from it is read."""

import socket
from collections.abc import Iterable

from bench import speech
from bench.figures import percentile

STAMP = 17
"""Bytes of a stamp in an event: ``@`` and sixteen digits."""


class Refused(Exception):
    """The answer was not the one hoped for."""


class Talk:
    """One connection of an agent.

    Attributes:
        sock: of it.
        rest: bytes that are not dealt with yet.
        last: when the last event came, in µs; 0: none yet.
        due: when the last event that came had been due, in µs.
        awaited: bytes of an echo that are still to come.
        asked: when the message was sent, in µs.
    """

    __slots__ = ("asked", "awaited", "due", "last", "rest", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""
        self.last = 0
        self.due = 0
        self.awaited = 0
        self.asked = 0


def take_events(
    talk: Talk, data: bytes, now: int, late: list[int], gaps: list[int]
) -> None:
    """Note when each event came: after it was due, and after the one before; in µs."""
    data = talk.rest + data
    at = 0
    while (mark := data.find(b"@", at)) >= 0 and len(data) >= mark + STAMP:
        at = mark + STAMP
        talk.due = int(data[mark + 1 : at])
        late.append(now - talk.due)
        if talk.last:
            gaps.append(now - talk.last)
        talk.last = now
    talk.rest = data[mark:] if mark >= 0 else b""


def overdue(dues: Iterable[int], pace: int, now: int, limit: int) -> list[int]:
    """How late the events already are that should have come and have not, in µs.

    Without them a stream that stands still would look punctual: none of its events is late.

    Args:
        dues: when the last event that came of each stream had been due, in µs.
        pace: from event to event, in µs.
        now: the present, in µs.
        limit: what is less late than this may simply be on its way.
    """
    return [
        now - due for last in dues for due in range(last + pace, now - limit + 1, pace)
    ]


def answer_ping(talk: Talk, data: bytes, now: int) -> None:
    """Answer the pings there are, and skip all else."""
    talk.rest += data
    while (frame := speech.take_frame(talk.rest)) is not None:
        first, payload, length = frame
        talk.rest = talk.rest[length:]
        if first == 0x89:
            talk.sock.send(speech.frame(0x8A, payload, masked=True))


def read_answer(sock: socket.socket, data: bytes) -> None:
    """Read an answer to its end.

    Args:
        sock: that it comes from.
        data: what has come of it.

    Raises:
        Refused: it is not 200, or breaks off.
    """
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise Refused("the connection was closed in an answer")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise Refused(head.split(b"\r\n", 1)[0].decode("latin-1"))
    length = -1
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length or (length < 0 and not body.endswith(b"0\r\n\r\n")):
        more = sock.recv(65536)
        if not more:
            raise Refused("the connection was closed in an answer")
        body += more


def shares(name: str, microseconds: list[int]) -> dict[str, float]:
    """Median, 99th percentile and largest, in milliseconds."""
    if not microseconds:
        return {}
    values = sorted(microseconds)
    return {
        f"{name}_p50": percentile(values, 0.5) / 1e3,
        f"{name}_p99": percentile(values, 0.99) / 1e3,
        f"{name}_max": values[-1] / 1e3,
    }
