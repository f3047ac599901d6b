"""HTTP on the control socket, over a real one."""

import os
import socket
from pathlib import Path
from typing import Any, cast

import msgspec
from twisted.internet.threads import deferToThread

from apiproxy.admin.control.desk import Desk, Who
from apiproxy.admin.control.door import Door
from apiproxy.admin.control.site import MAX_BODY, ControlSite, peer
from apiproxy.wire.reactor import Reactor
from tests.admin.control.parts import Service
from tests.kit.case import LoopbackCase

ME = {"uid": os.geteuid(), "pid": os.getpid()}


def received(path: str, request: bytes, *, until: bytes = b"") -> bytes:
    """What answers a request, until the connection is closed."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(path)
        line.sendall(request)
        answer = b""
        while data := line.recv(65536):
            answer += data
        return answer


def request(method: str, target: str, body: bytes = b"", *fields: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *fields]
    if not fields:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class SiteTests(LoopbackCase):
    def setUp(self) -> None:
        """A service with an open control socket."""
        super().setUp()
        folder = Path(os.path.relpath(self.mktemp()))
        folder.mkdir(parents=True)
        self.path = str(folder / "c")
        self.service = Service()
        self.desk = Desk(self.service.sources, self.service.log, now=lambda: 1000.0)
        self.site = ControlSite(self.desk, self.reactor)
        door = Door(self.path)
        door.open(cast(Reactor, self.reactor), self.site)
        self.addCleanup(self.ended, door.close)

    async def raw(self, data: bytes) -> tuple[int, bytes]:
        answer: bytes = await deferToThread(received, self.path, data)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    async def ask(self, *args: Any) -> tuple[int, Any]:
        status, body = await self.raw(request(*args))
        return status, msgspec.json.decode(body)

    async def code(self, *args: Any) -> tuple[int, str]:
        status, told = await self.ask(*args)
        self.assertEqual(set(told["error"]), {"code", "message"})
        return status, told["error"]["code"]

    async def test_state(self) -> None:
        """GET shows, and HEAD says how long that is."""
        status, state = await self.ask("GET", "/state")
        self.assertEqual((status, state["exchanges"][0]["id"]), (200, "id-1"))
        status, budget = await self.ask("GET", "/budget")
        self.assertEqual((status, budget["budget"][0]["cap"]), (200, 5))
        self.assertEqual(await self.raw(request("HEAD", "/state")), (200, b""))

    async def test_changes(self) -> None:
        """POST changes, and the log has who asked, as the system knows it."""
        answers = [
            await self.ask("POST", "/budget", b'{"measure":"runs","add":1}'),
            await self.ask("POST", "/stop", b'{"all":true}'),
            await self.ask("POST", "/reload"),
            await self.ask("POST", "/drain"),
        ]
        self.assertEqual([status for status, _ in answers], [200] * 4)
        actions = [line["action"] for line in self.service.logged]
        self.assertEqual(actions, ["budget", "stop", "reload", "drain"])
        for line in self.service.logged:
            self.assertEqual({name: line[name] for name in ME}, ME)

    async def test_nonsense(self) -> None:
        """Every error is JSON with a code, and nothing is changed."""
        self.service.away = True
        for args, wanted in (
            (("GET", "/nowhere"), (404, "not_found")),
            (("POST", "/state"), (405, "method_refused")),
            (("DELETE", "/budget"), (405, "method_refused")),
            (("GET", "/stop"), (405, "method_refused")),
            (("POST", "/budget", b"{"), (400, "bad_order")),
            (
                ("POST", "/budget", b'{"measure":"runs","set":1}'),
                (503, "ledger_unavailable"),
            ),
        ):
            self.assertEqual(await self.code(*args), wanted)
        self.assertEqual(self.service.story, [])

    async def test_a_long_body(self) -> None:
        """It is not kept, whether its length is said or not."""
        body = b"x" * (MAX_BODY + 1)
        self.assertEqual(
            await self.code("POST", "/stop", body), (413, "body_too_large")
        )
        chunk = b"%x\r\n%s\r\n" % (1000, b"y" * 1000)
        answer = await self.code(
            "POST", "/stop", chunk * 100 + b"0\r\n\r\n", "Transfer-Encoding: chunked"
        )
        self.assertEqual(answer, (413, "body_too_large"))
        self.assertEqual(self.service.story, [])

    async def test_a_bug(self) -> None:
        """It is an answer, too, and the log has the traceback."""
        self.patch(self.desk, "_sources", None)
        self.assertEqual((await self.code("POST", "/drain"))[0], 500)
        [failure] = self.flushLoggedErrors(AttributeError)
        self.assertIn("drain", str(failure.value))

    async def test_a_stranger(self) -> None:
        """Who is neither the owner nor root is refused, which is noted."""
        import apiproxy.admin.control.site as module

        self.patch(module, "peer", lambda transport: Who(7, 12345))
        status, code = await self.code("POST", "/drain")
        self.assertEqual((status, code), (403, "forbidden"))
        self.assertEqual(self.service.story, [])
        [line] = self.service.logged
        self.assertEqual((line["action"], line["uid"]), ("refused", 12345))

    async def test_who_leaves(self) -> None:
        """What was asked is done all the same."""
        self.service.later = []
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.path)
            line.sendall(request("POST", "/budget", b'{"measure":"runs","set":9}'))
            await self.until(lambda: self.service.later)
        await self.until_still(lambda: len(self.service.story), 5)
        self.service.tell()
        await self.until(lambda: self.service.logged)
        self.assertEqual(self.service.logged[0]["cap"], 9)

    async def test_where_the_system_does_not_say(self) -> None:
        """Nobody is known, and so nobody is let in."""
        self.assertEqual(peer(object()), Who(0, -1))
