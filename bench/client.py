"""The agents of streams and WebSockets: one process, told what to do line by line.

``python -m bench.client`` reads a JSON object a line and answers each with one. It holds
plain sockets (TLS only when it measures the provider directly) in one epoll, sends frames made
beforehand and looks for stamps in what arrives, which costs less than what any proxy does.
"""

import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import speech
from bench.glance import Glance
from bench.machine import raise_descriptor_limit
from bench.talk import (
    Refused,
    Talk,
    answer_ping,
    overdue,
    read_answer,
    shares,
    take_events,
)

_TIMEOUT = 15.0
_OPENING = 45.0  # seconds that all connections together may take to open
_SETTLE = 0.5
_LOOK_SECONDS = 0.05
_OVERDUE_US = 20_000


class Client:
    """All connections, and what can be asked for."""

    def __init__(self, port: int, authority: str | None) -> None:
        self._port = port
        self._context = None
        if authority is not None:
            self._context = ssl.create_default_context(cafile=authority)
        self._epoll = select.epoll()
        self._talks: dict[int, Talk] = {}
        self._untimed = Glance()
        self._lost = 0
        self._pace = 0

    # What can be asked for.

    def open_streams(
        self,
        count: int,
        pace_us: int,
        fields: dict[str, str],
        going: bool = True,
        timed: int = 0,
    ) -> dict[str, Any]:
        """Open streams; each has brought its first event when this returns.

        Only when all are open do further events begin, evenly spread over one pace.

        Args:
            count: how many.
            pace_us: from event to event; 0: there is only the first.
            fields: header lines beside the usual ones.
            going: whether further events begin now, or wait for ``go``.
            timed: of how many the events are timed, at most; 0: of all.
        """
        ask = speech.stream_request(pace_us, fields, held=pace_us > 0)
        began = time.monotonic()
        for number in range(count):
            self._hurry(began, number, count)
            talk = self._opened(ask, speech.STAMP.search)
            talk.rest = b""  # the first event is not one of those that are watched
            self._add(talk, timed=is_timed(number, count, timed))
        self._pace = pace_us
        if pace_us and going:
            self.go(fields)
        return {"open": len(self._streams()), "seconds": time.monotonic() - began}

    def go(self, fields: dict[str, str]) -> dict[str, Any]:
        """Have the streams begin; within a pace from now each must bring something."""
        with self._connected() as sock:
            sock.sendall(speech.go_request(fields))
            for talk in self._streams():
                talk.due = time.monotonic_ns() // 1000
            read_answer(sock, sock.recv(65536))
        return {"going": len(self._streams())}

    def open_sockets(
        self, count: int, deflate: bool, fields: dict[str, str]
    ) -> dict[str, Any]:
        """Open WebSockets."""
        ask = speech.upgrade_request(deflate, fields)
        began = time.monotonic()
        for number in range(count):
            self._hurry(began, number, count)
            talk = self._opened(ask, lambda data: b"\r\n\r\n" in data, b" 101 ")
            head, _, talk.rest = talk.rest.partition(b"\r\n\r\n")
            if deflate and b"permessage-deflate" not in head.lower():
                raise Refused("permessage-deflate was not negotiated")
            self._add(talk)
        return {"open": len(self._talks), "seconds": time.monotonic() - began}

    def events(self, seconds: float) -> dict[str, Any]:
        """Take events for a while; lateness and gaps between them are in milliseconds.

        Those that should have come and have not at the end are late too. ``whole`` is the
        number of events since the beginning, that is, of the time that this call takes.
        """
        late: list[int] = []
        gaps: list[int] = []
        for talk in self._talks.values():
            talk.last = 0

        def took(talk: Talk, data: bytes, now: int) -> None:
            take_events(talk, data, now, late, gaps)

        self._turn(_SETTLE, took)  # what came while nobody looked is not late
        whole = len(late)
        late.clear()
        gaps.clear()
        self._turn(seconds, took)
        count, now = len(late), time.monotonic_ns() // 1000
        if self._pace:
            self._untimed.all()
            dues = [talk.due for talk in self._streams()]
            late += overdue(dues, self._pace, now, _OVERDUE_US)
        return {
            "count": count,
            "whole": whole + count,
            "lost": self._lost + self._untimed.lost,
            "spent": _SETTLE + seconds,
            **shares("late", late),
            **shares("gap", gaps),
        }

    def echoes(self, seconds: float, size: int, deflate: bool) -> dict[str, Any]:
        """Send a message on every WebSocket, the next when its echo has come."""
        payload = speech.message(size, deflate)
        first = 0xC1 if deflate else 0x81
        ask = speech.frame(first, payload, masked=True)
        length = len(speech.frame(first, payload, masked=False))
        trips: list[int] = []
        stopped = False

        def echoed(talk: Talk, data: bytes, now: int) -> None:
            talk.awaited -= len(data)
            if talk.awaited <= 0:
                trips.append(now - talk.asked)
                if not stopped:
                    talk.awaited, talk.asked = length, now
                    talk.sock.sendall(ask)

        for talk in self._talks.values():
            talk.awaited, talk.asked = length, time.monotonic_ns() // 1000
            talk.sock.sendall(ask)
        self._turn(seconds, echoed)
        stopped = True
        self._turn(0.2, echoed)  # what is still on its way
        done = len(trips)
        return {"count": done, "lost": self._lost, **shares("trip", trips)}

    def idle(self, seconds: float) -> dict[str, Any]:
        """Only answer pings."""
        self._turn(seconds, answer_ping)
        return {"open": len(self._talks), "lost": self._lost}

    def requests(
        self, count: int, pause: float, fresh: bool, fields: dict[str, str]
    ) -> dict[str, Any]:
        """Requests one after the other; milliseconds to the first byte of each answer.

        Args:
            count: how many.
            pause: seconds after each.
            fresh: each on a connection of its own; the time includes making it.
            fields: header lines beside the usual ones.
        """
        body = b'{"model":"paced-0","messages":[{"role":"user","content":"hello"}]}'
        ask = speech.request("POST", body, fields)
        times: list[int] = []
        sock: socket.socket | None = None
        for _ in range(count):
            began = time.monotonic_ns()
            if sock is None:
                sock = self._connected()
            sock.sendall(ask)
            first = sock.recv(65536)
            times.append((time.monotonic_ns() - began) // 1000)
            read_answer(sock, first)
            if fresh:
                sock.close()
                sock = None
            if pause:
                time.sleep(pause)
        if sock is not None:
            sock.close()
        return {"count": count, **shares("first", times), "times": times[:100]}

    def uploads(
        self, seconds: float, size: int, fields: dict[str, str]
    ) -> dict[str, Any]:
        """Post bodies of so many bytes, one after the other."""
        start, end = (
            b'{"model":"paced-0","messages":[{"role":"user","content":"',
            b'"}]}',
        )
        body = start + b"x" * (size - len(start) - len(end)) + end
        ask = speech.request("POST", body, fields)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            with self._connected() as sock:
                sock.sendall(ask)
                read_answer(sock, sock.recv(65536))
            count += 1
        rate = count * size / (time.monotonic() - began) / 1e6  # MB/s
        return {"count": count, "rate": rate}

    def close(self) -> dict[str, Any]:
        """Close all connections."""
        for number in list(self._talks):
            self._drop(number)
        lost, self._lost = self._lost, 0
        return {"lost": lost + self._untimed.close()}

    # How it is done.

    def _hurry(self, began: float, number: int, count: int) -> None:
        if time.monotonic() - began > _OPENING:
            raise Refused(f"only {number} of {count} opened in {_OPENING:.0f} s")

    def _connected(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            return self._context.wrap_socket(sock, server_hostname="localhost")
        return sock

    def _opened(
        self, ask: bytes, enough: Callable[[bytes], object], status: bytes = b" 200 "
    ) -> Talk:
        sock = self._connected()
        sock.sendall(ask)
        data = b""
        while not enough(data):
            more = sock.recv(65536)
            data += more
            refused = b"\r\n" in data and status not in data.split(b"\r\n", 1)[0]
            if refused or not more:
                line = data.split(b"\r\n", 1)[0].decode("latin-1")
                raise Refused(
                    f"connection {len(self._streams()) + 1} got: {line or 'nothing'}"
                )
        talk = Talk(sock)
        talk.rest = data
        return talk

    def _streams(self) -> list[Talk]:
        return [*self._talks.values(), *self._untimed.talks]

    def _add(self, talk: Talk, *, timed: bool = True) -> None:
        talk.sock.setblocking(False)
        if not timed:
            self._untimed.talks.append(talk)
            return
        number = talk.sock.fileno()
        self._talks[number] = talk
        self._epoll.register(number, select.EPOLLIN)

    def _turn(self, seconds: float, took: Callable[[Talk, bytes, int], None]) -> None:
        talks, poll = self._talks, self._epoll.poll
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for number, _ in poll(min(left, _LOOK_SECONDS)):
                talk = talks[number]
                try:
                    data = talk.sock.recv(65536)
                except (BlockingIOError, ssl.SSLWantReadError):
                    continue
                except OSError:
                    data = b""
                if data:
                    took(talk, data, time.monotonic_ns() // 1000)
                else:
                    self._lost += 1
                    self._drop(number)
            self._untimed.turn(time.monotonic_ns() // 1000)

    def _drop(self, number: int) -> None:
        self._epoll.unregister(number)
        self._talks.pop(number).sock.close()


def is_timed(number: int, count: int, timed: int) -> bool:
    """Whether this one of so many streams is timed; those that are lie evenly spread."""
    return not timed or number * timed // count != (number - 1) * timed // count


def main(port: int, authority: str | None) -> None:
    """Do what standard input says until it ends."""
    raise_descriptor_limit()
    client = Client(port, authority)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(client, order.pop("do"))(**order)
        except TimeoutError:
            answer = {"failed": f"no answer within {_TIMEOUT:.0f} s"}
        except (OSError, Refused) as error:
            answer = {"failed": str(error) or type(error).__name__}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
