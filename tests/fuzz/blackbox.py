"""Run as a program: bytes of all kinds at every port of a running apiproxy.

``python -m tests.fuzz.blackbox COUNT`` starts one on loopback, whose way out leads to a
provider here, throws so many malformed requests, heads, frames and half-closed connections at
its six ports, some at the same time, and then asserts that the process is up and serves, that
its memory has not grown, and that it counts nothing as under way. Prints what it did as one
line of JSON.
"""

import json
import random
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from tests.fuzz.targets import SEEDS
from tests.kit.connect import ConnectProxy
from tests.kit.frames import TEXT, frame
from tests.kit.provider import Call, Provider, by_hand, echo
from tests.kit.running import Service
from tests.kit.tls import authority
from tests.squid.proxy import PROVIDERS, hold

NAMES = tuple(known.name for known in PROVIDERS)
MOST_GROWTH = 48 * 1024 * 1024
"""Bytes by which the process may grow after it has warmed up."""

AT_ONCE = 6
"""Connections at the same time."""

_UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_REQUESTS = (
    b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\n\r\n",
    b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\n" + _UPGRADE + b"\r\n"
    b"\x81\x85maskhello\x89\x80mask\x88\x82mask\x03\xe8",
    b"GET /\\ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3,
    *SEEDS["head"],
    *SEEDS["frames"],
)


def noise(chance: random.Random) -> bytes:
    """The bytes of one connection."""
    data = bytearray(chance.choice(_REQUESTS))
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes((chance.randrange(256),))
            case 1:
                del data[at : at + chance.randrange(1, 9)]
            case 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            case _:
                data[at:at] = data[: chance.randrange(40)]
    return bytes(data[: chance.choice((len(data), len(data), chance.randrange(300)))])


def throw(port: int, data: bytes, chance: random.Random) -> None:
    """One connection, ended in some way."""
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.settimeout(0.02)
        try:
            line.sendall(data)
            match chance.randrange(4):
                case 0:
                    linger = struct.pack("ii", 1, 0)
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                case 1:
                    line.shutdown(socket.SHUT_WR)
                    line.recv(4096)
                case 2:
                    line.recv(4096)
                case _:
                    pass
        except OSError:
            return


def throw_all(
    ports: list[int], count: int, chance: random.Random, done: Callable[[int], None]
) -> None:
    """So many connections, one after the other."""
    for number in range(count):
        throw(chance.choice(ports), noise(chance), chance)
        if number % 1000 == 0:
            done(number)


def storm(
    ports: list[int], count: int, seed: int, done: Callable[[int], None]
) -> Deferred[Any]:
    """So many connections, ``AT_ONCE`` at a time; the same for the same seed."""
    shares = [count // AT_ONCE + (n < count % AT_ONCE) for n in range(AT_ONCE)]
    return gatherResults(
        [
            deferToThread(throw_all, ports, share, random.Random(f"{seed} {n}"), done)
            for n, share in enumerate(shares)
        ]
    )


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def either(call: Call) -> None:
    """Agree to every WebSocket, and say a word; echo every request."""
    if call.request.upgrade:
        await by_hand(hold, first=frame(TEXT, b"hello"))(call)
    else:
        await echo()(call)


async def story(reactor: Any, count: int, seed: int) -> None:
    """Start it, throw, look."""
    provider = Provider(reactor, authority().identity().options())
    middle = ConnectProxy(reactor)
    await provider.start()
    await middle.start()
    provider.default = either
    environ = {"HTTPS_PROXY": middle.url, "APIPROXY_CA_FILE": str(authority().pem)}
    environ |= {"APIPROXY_VALIDATE_KEYS": "off", "APIPROXY_LOG_LEVEL": "error"}
    environ |= {"APIPROXY_HEAD_SECONDS": "2", "APIPROXY_BODY_SECONDS": "2"}
    environ |= {"APIPROXY_KEEPALIVE_SECONDS": "2"}
    for known in PROVIDERS:
        environ[known.variable] = known.key
        environ[known.target] = f"{known.host}:{provider.port}"
    service = LoudService(reactor, environ)
    await service.start()
    try:
        assert service._process is not None
        pid = service._process.pid
        ports = [service.port(name) for name in NAMES]
        forget = lambda number: _forget(reactor, provider, middle)  # noqa: E731
        await storm(ports, min(count, 3000), seed, forget)
        warm, began = resident(pid), time.monotonic()
        await storm(ports, count, seed + 1, forget)
        seconds = time.monotonic() - began
        live = await deferToThread(quiet, ports[0])
        grown = resident(pid) - warm
        result = {
            "connections": count,
            "seconds": round(seconds, 1),
            "grown_bytes": grown,
            "live": live,
            "up": service.code is None,
            "errors": [x for x in service.lines if x["level"] == "error"][:3],
        }
        sys.stdout.write(json.dumps(result) + "\n")
        assert result["up"] and not live and grown < MOST_GROWTH, result
        assert not result["errors"], result
    finally:
        await service.stop()
        await middle.stop()
        await provider.stop()


class LoudService(Service):
    """One that says when it is up, though it logs errors only."""

    def __init__(self, reactor: Any, environ: dict[str, str]) -> None:
        super().__init__(reactor, environ | {"APIPROXY_LOG_LEVEL": "info"})


def _forget(reactor: Any, provider: Provider, middle: ConnectProxy) -> None:
    """Keep the memory of this end flat, too."""

    def act() -> None:
        provider.requests.clear()
        provider.connections[:] = [one for one in provider.connections if one.open]
        middle.heads.clear()

    reactor.callFromThread(act)


def quiet(port: int) -> float:
    """How much is under way, when it has had time to end."""
    live = -1.0
    for _ in range(100):
        live = metric(port, "apiproxy_active_requests")
        if not live:
            break
        time.sleep(0.2)
    return live


def metric(port: int, name: str) -> float:
    """The sum of a figure; the request itself is local, and none."""
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n"
            b"Connection: close\r\n\r\n"
        )
        text = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    rows = [
        row for row in text.splitlines() if row.startswith((name + "{", name + " "))
    ]
    return sum(float(row.rpartition(" ")[2]) for row in rows)


def main() -> None:
    """Throw as many as the command line says."""
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1

    def told(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(story(reactor, count, seed))

    react(told, [])


if __name__ == "__main__":
    main()
