"""Streams that are not timed, but have to be read all the same.

How late events come is told well by some of the streams, evenly spread. To time all of five
hundred takes more of the rig's core than anything else, and the rig would end before the
proxy does. Of the others only the last stamp is looked at, a few times a second: what comes
meanwhile waits in the kernel, which costs the rig nothing and the proxy what it always costs.
"""

import ssl
from collections import deque

from bench.talk import STAMP, Talk

_EVERY_US = 200_000


class Glance:
    """Streams that are read in turn, each at least five times a second.

    Attributes:
        talks: they.
        lost: how many have ended.
    """

    def __init__(self) -> None:
        self.talks: deque[Talk] = deque()
        self.lost = 0
        self._next = 0

    def turn(self, now: int) -> None:
        """Read those whose turn it is at this microsecond."""
        if not self.talks or now < self._next:
            return
        for _ in range(max(1, len(self.talks) // 100)):
            if self.talks:
                self._read(self.talks[0])
                self.talks.rotate(-1)
        self._next = now + _EVERY_US // 100

    def all(self) -> None:
        """Read all of them."""
        for talk in list(self.talks):
            self._read(talk)

    def _read(self, talk: Talk) -> None:
        data = b""
        try:
            while more := talk.sock.recv(65536):
                data += more
            self._drop(talk)
        except (BlockingIOError, ssl.SSLWantReadError):
            note_last(talk, data)
        except OSError:
            self._drop(talk)

    def _drop(self, talk: Talk) -> None:
        self.lost += 1
        self.talks.remove(talk)
        talk.sock.close()

    def close(self) -> int:
        """Close all; how many had been lost."""
        lost, self.lost = self.lost, 0
        for talk in self.talks:
            talk.sock.close()
        self.talks.clear()
        return lost


def note_last(talk: Talk, data: bytes) -> None:
    """Note when the last event that is here had been due."""
    data = talk.rest + data
    talk.rest = data[-STAMP:]
    mark = data.rfind(b"@", 0, max(0, len(data) - STAMP + 1))
    if mark >= 0:
        talk.due = int(data[mark + 1 : mark + STAMP])
