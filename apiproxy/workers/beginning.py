"""How a worker learns what to serve by: it asks the front, before anything else.

The keys neither stand in its environment nor in a file that it inherits. Between its start and
``PR_SET_DUMPABLE`` any process of the same user could read those in ``/proc``; so it asks
when that is done, over a socket, which cannot be opened there.
"""

import socket

from apiproxy.workers.messages import Begin, Message, Serve, decode, encode

_PATIENCE_SECONDS = 30.0


def ask(line: socket.socket) -> Serve | None:
    """What to serve by, or None if the service is about to end.

    Args:
        line: to the front; blocks, and does not when this is over.

    Raises:
        OSError: the front is gone or does not answer.
    """
    line.settimeout(_PATIENCE_SECONDS)
    question = encode(Begin())
    line.sendall(len(question).to_bytes(4, "big") + question)
    answer = _message(line)
    line.setblocking(False)
    return answer if isinstance(answer, Serve) else None


def _message(line: socket.socket) -> Message:
    """The next message, and nothing of what comes behind it."""
    return decode(_exactly(line, int.from_bytes(_exactly(line, 4), "big")))


def _exactly(line: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = line.recv(length - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return bytes(data)
