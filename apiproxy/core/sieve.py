"""Control frames, taken out of the frames of one direction of a WebSocket.

A ping wants its pong, and a Close its end, while a message of many frames is held back until
somebody has judged it. RFC 6455, section 5.5, lets them stand between the fragments of a
message, so nothing is lost if they go before all of it.
"""

from apiproxy.core.frames import CLOSE, MAX_CONTROL, OPCODE, payload_of


class ControlSieve:
    """Tells control frames from the others, at any cut.

    Attributes:
        closed: whether a Close was among them.
    """

    __slots__ = ("_head", "_left", "closed")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.closed = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the next bytes of the socket.

        Returns:
            Control frames, each of them whole, and all other bytes. At most one head, or one
            control frame, is kept until the rest of it is here. A control frame that is
            longer than it may be is left to whoever reads the others.
        """
        data = self._head + data
        control: list[bytes] = []
        rest: list[bytes] = []
        at, start, end = min(self._left, len(data)), 0, len(data)
        self._left -= at
        while at < end:
            payload, length = payload_of(data, at, end)
            if payload < 0:
                break
            after = payload + length
            opcode = data[at] & OPCODE
            if opcode < CLOSE or length > MAX_CONTROL:
                self._left = max(after - end, 0)
                at = min(after, end)
                continue
            if after > end:
                break
            self.closed = self.closed or opcode == CLOSE
            rest.append(data[start:at])
            control.append(data[at:after])
            at = start = after
        rest.append(data[start:at])
        self._head = data[at:]
        return b"".join(control), b"".join(rest)

    def __repr__(self) -> str:
        return f"<ControlSieve {self._left} bytes to go>"
