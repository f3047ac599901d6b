"""The provider of streams and WebSockets: TLS, one process, as little Python as possible.

``python -m bench.live PORT TUNNELS IDENTITY.pem`` answers on 127.0.0.1 until it is ended: on
the first port with TLS, on the second with TLS inside a CONNECT tunnel, as if a Squid that
costs nothing stood in front. Its sockets
are OpenSSL's own (no memory buffers in between) and readiness comes straight from epoll: a
paced event costs it about as much as the system call that sends it, so that one core carries
more streams than any proxy under test, with Squid and the load beside it.

It answers a plain POST with a chat completion, a POST with ``"stream":true`` with events paced
as the model's name says (``paced-20000`` is one every 20 ms, ``paced-0`` one and no more), and
an upgrade with a WebSocket that echoes messages. A body is read and forgotten. Streams of
``held-20000`` wait after their first event until somebody posts for the model ``go``: all that
are held then begin, evenly spread over their pace, so that the opening of a thousand streams
neither bunches their events nor leaves a backlog for the measurement to find.
"""

import contextlib
import heapq
import re
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from functools import partial

from bench import speech
from bench.machine import raise_descriptor_limit

_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding:\s*chunked")
_MOST_UNSENT = 1 << 20
_READ = select.EPOLLIN | select.EPOLLRDHUP
_BODY = speech.answer_body()
_PLAIN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(_BODY) + _BODY
)


class Line:
    """One connection."""

    def __init__(self, sock: ssl.SSLSocket, provider: "Provider") -> None:
        self.sock = sock
        self.number = sock.fileno()
        self.take: Callable[[bytes], None] = self._head
        self._provider = provider
        self._unsent = b""
        self._held = b""
        self._asked = b""
        self._left = 0
        self._echoed = self._echo = b""
        self.pace = 0
        self.due = 0

    def ready(self, mask: int) -> None:
        """Epoll says that something can be done."""
        try:
            if mask & select.EPOLLOUT and self._unsent:
                unsent, self._unsent = self._unsent, b""
                self.send(unsent)
            self._receive()
            while self.sock.pending():
                self._receive()
        except ssl.SSLWantReadError:
            return
        except (OSError, ValueError):
            self._provider.drop(self)

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError
        self.take(data)

    def handshake(self, mask: int) -> None:
        """Epoll says the same during the TLS handshake."""
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return
        except OSError:
            self._provider.drop(self)
            return
        self._provider.established(self)
        self.ready(mask)

    def send(self, data: bytes) -> None:
        """Send now, or as soon as there is room.

        Raises:
            OSError: the connection is gone, or takes nothing any more.
        """
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > _MOST_UNSENT:
                raise BrokenPipeError
            return
        try:
            sent = self.sock.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        self._unsent = data[sent:]
        self._provider.watch(self, _READ | (select.EPOLLOUT if self._unsent else 0))

    def event(self, now: int) -> None:
        """Send the event that is due, stamped with when it was."""
        try:
            self.send(speech.EVENT_CHUNK % self.due)
        except OSError:
            self._provider.drop(self)
        self.due = max(self.due + self.pace, now - 100 * self.pace)

    # What it takes: heads, bodies, frames.

    def _head(self, data: bytes) -> None:
        data = self._held + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._held = data
            return
        head, self._held = data[:end], b""
        if b"sec-websocket-key" in head.lower():
            self.take = self._frames
            self.send(speech.upgrade_answer(head))
            return
        length = _LENGTH.search(head)
        self._left = int(length[1]) if length else 0
        self._asked = b""
        self.take = self._chunks if _CHUNKED.search(head) else self._counted
        self.take(data[end + 4 :])

    def _counted(self, data: bytes) -> None:
        if len(self._asked) < 65536:
            self._asked += data
        self._left -= len(data)
        if self._left <= 0:
            self._answer()

    def _chunks(self, data: bytes) -> None:
        self._asked += data
        if self._asked.endswith(b"0\r\n\r\n"):
            self._answer()

    def _answer(self) -> None:
        pace = speech.pace_asked(self._asked)
        self.take = self._head
        if pace is None:
            if speech.is_go(self._asked):
                self._provider.go()
            self.send(_PLAIN)
            return
        now = time.monotonic_ns() // 1000
        self.send(speech.STREAM_HEAD + speech.EVENT_CHUNK % now)
        self.pace = pace
        if speech.is_held(self._asked):
            self._provider.hold(self)
        elif pace:
            self._provider.pace(self, now + pace)

    def _frames(self, data: bytes) -> None:
        if data == self._echoed:
            self.send(self._echo)
            return
        self._held += data
        if self._held == self._echoed:  # it came in pieces
            self._held = b""
            self.send(self._echo)
            return
        while (frame := speech.take_frame(self._held)) is not None:
            first, payload, length = frame
            taken, self._held = self._held[:length], self._held[length:]
            if first & 0x0F == 8:
                raise ConnectionResetError
            answer = 0x8A if first & 0x0F == 9 else first
            if first & 0x0F == 10:
                continue
            reply = speech.frame(answer, payload, masked=False)
            if answer == first:
                self._echoed, self._echo = taken, reply
            self.send(reply)


class Opener:
    """A connection that asks for a tunnel, to wherever; it ends here."""

    def __init__(self, sock: socket.socket, provider: "Provider") -> None:
        self._sock = sock
        self._provider = provider
        self._head = b""

    def ready(self, mask: int) -> None:
        """Epoll says that something can be done."""
        try:
            data = self._sock.recv(4096)
            self._head += data
            if self._head.endswith(b"\r\n\r\n"):
                self._sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._provider.secure(self._sock)
            elif not data:
                raise ConnectionResetError
        except BlockingIOError:
            return
        except OSError:
            self._provider.give_up(self._sock)


class Provider:
    """The listeners and all their lines."""

    def __init__(self, port: int, tunnels: int, identity: str) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity)
        self._epoll = select.epoll()
        self._lines: dict[int, Line] = {}
        self._ready: dict[int, Callable[[int], None]] = {}
        self._masks: dict[int, int] = {}
        self._paced: list[tuple[int, int, Line]] = []
        self._held: list[Line] = []
        self._listener = self._listening(port)
        self._tunnels = self._listening(tunnels)

    def _listening(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        listener.setblocking(False)
        self._epoll.register(listener, select.EPOLLIN)
        return listener

    def serve(self) -> None:
        """Until the process is ended."""
        ready = self._ready
        listeners = {
            self._listener.fileno(): partial(self._accept, self._listener, self._line),
            self._tunnels.fileno(): partial(self._accept, self._tunnels, self._opener),
        }
        while True:
            wait = self._send_due()
            for number, mask in self._epoll.poll(wait):
                if number in ready:
                    ready[number](mask)
                elif number in listeners:
                    listeners[number]()

    def _send_due(self) -> float:
        """Send what is due; the seconds until the next is, -1 for never."""
        paced = self._paced
        now = time.monotonic_ns() // 1000
        while paced and paced[0][0] <= now:
            _, tie, line = paced[0]
            line.event(now)
            if self._lines.get(line.number) is line:
                heapq.heapreplace(paced, (line.due, tie, line))
            else:
                heapq.heappop(paced)
        return max(0.0, (paced[0][0] - now) / 1e6) if paced else -1.0

    def _accept(
        self, listener: socket.socket, welcome: Callable[[socket.socket], None]
    ) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                plain, _ = listener.accept()
                plain.setblocking(False)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._epoll.register(plain.fileno(), _READ)
                welcome(plain)  # the number stays, whatever wraps it

    def _line(self, plain: socket.socket) -> None:
        sock = self._context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False
        )
        line = Line(sock, self)
        self._lines[line.number] = line
        self._ready[line.number] = line.handshake
        self._masks[line.number] = _READ

    def _opener(self, plain: socket.socket) -> None:
        self._ready[plain.fileno()] = Opener(plain, self).ready

    def secure(self, plain: socket.socket) -> None:
        """A tunnel is open, and TLS begins in it."""
        self._line(plain)

    def give_up(self, plain: socket.socket) -> None:
        """Forget a tunnel that was never opened."""
        del self._ready[plain.fileno()]
        self._epoll.unregister(plain.fileno())
        plain.close()

    def established(self, line: Line) -> None:
        """Its TLS session is there."""
        self._ready[line.number] = line.ready

    def watch(self, line: Line, mask: int) -> None:
        """Look for this from now on."""
        if self._masks.get(line.number) != mask:
            self._masks[line.number] = mask
            self._epoll.modify(line.number, mask)

    def pace(self, line: Line, due: int) -> None:
        """Send its events when they are due, the next at this microsecond."""
        line.due = due
        heapq.heappush(self._paced, (due, id(line), line))

    def hold(self, line: Line) -> None:
        """Have it wait for ``go``."""
        self._held.append(line)

    def go(self) -> None:
        """Let all that wait begin, evenly spread over their pace."""
        held = [each for each in self._held if self._lines.get(each.number) is each]
        self._held.clear()
        now = time.monotonic_ns() // 1000
        for number, line in enumerate(held):
            self.pace(line, now + line.pace * number // len(held))

    def drop(self, line: Line) -> None:
        """Forget a line that is gone."""
        if self._lines.get(line.number) is line:
            del self._lines[line.number], self._ready[line.number]
            self._epoll.unregister(line.number)
            line.sock.close()


if __name__ == "__main__":
    raise_descriptor_limit()
    Provider(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]).serve()
