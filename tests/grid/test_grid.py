"""Requests of all kinds, through apiproxy, to real servers.

Servers that are not installed are left out, and that is said: ``scripts/grid`` installs those
that come from PyPI into ``.grid``.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory

from tests.grid.cases import CASES, Case
from tests.kit.agent import Agent
from tests.kit.http import Malformed
from tests.kit.line import Gone, Line
from tests.kit.ports import free_port
from tests.kit.provider import Call, Request
from tests.kit.running import ROOT, Program
from tests.security.stage import PitfallCase

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  log_format told escape=json '{{"method":"$request_method","target":"$request_uri",'
    '"length":null,"digest":null,"id":"$http_x_request_id"}}';
  access_log /dev/stdout told;
  server {{ listen 127.0.0.1:{port}; client_max_body_size 64m;
    location / {{ return 200 ok; }} }}
}}
"""


class GridCase(PitfallCase):
    """Between apiproxy and a real server stands TLS, which is taken off here.

    Attributes:
        forwarded: what apiproxy has sent, as a strict reader reads it, by request id.
    """

    timeout = 170

    async def set_up(self, command: list[str], port: int) -> Program:
        """Start a server, and have everything go there."""
        await self.put_up(
            {"APIPROXY_HEAD_SECONDS": "1", "APIPROXY_BODY_SECONDS": "1"}, tick=0.05
        )
        self.forwarded: dict[str, Request] = {}
        self._port = port
        self.provider.default = self._pass_on
        server = Program(self.reactor, command)
        await self.started(server)
        for _ in range(400):
            try:
                line = await self._connect()
            except ConnectError:
                await self.turn(0.05)
            else:
                line.end("reset")
                return server
        raise AssertionError(server.words())

    async def _connect(self) -> Line:
        line = Line(self.reactor)
        factory = Factory.forProtocol(lambda: line)
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self._port)
        await endpoint.connect(cast(IProtocolFactory, factory))
        return line

    async def _pass_on(self, call: Call) -> None:
        """Give one request to the server byte for byte, and its answer back."""
        request = call.request
        id = (request.get(b"x-request-id") or b"").decode()
        self.forwarded[id] = request
        server = await self._connect()
        try:
            body = await call.body()
            if request.framing == "chunked":
                body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
                body += b"0\r\n\r\n"
            server.write(request.head + body)
            head = await server.read_until(b"\r\n\r\n")
            while head.split(b" ")[1] == b"100":
                head = await server.read_until(b"\r\n\r\n")
            await self.turn(0)
        finally:
            server.end("reset")
        status = head.split(b" ")[1]
        call.write(b"HTTP/1.1 %b X\r\nContent-Length: 0\r\n\r\n" % status)

    async def try_all(self, server: Program) -> None:
        """All cases, and then what the server has read."""
        await self.at_once((self.try_one(case) for case in CASES), many=40)
        await self.settled()
        await self.until_still(lambda: len(server.out))
        rows = [json.loads(row) for row in bytes(server.out).splitlines()]
        # nginx has a line for a connection without a request, too.
        rows = [row for row in rows if row["method"] or row["id"]]
        self.assertGreater(len(rows), 100)
        ids = [row["id"] for row in rows]
        self.assertEqual(len(ids), len(set(ids)), "a request was read twice")
        for row in rows:
            self.compare(row)

    def compare(self, row: dict[str, Any]) -> None:
        """See that the server has read what we have sent."""
        self.assertIn(row["id"], self.forwarded, row)
        request = self.forwarded[row["id"]]
        sent = (request.method.decode("latin-1"), request.target.decode("latin-1"))
        self.assertEqual((row["method"], row["target"]), sent)
        self.assertNotIn("smuggled", row["target"].replace("/v1/smuggled", ""))
        if row["length"] is not None:
            body = bytes(request.body)
            digest = hashlib.sha256(body).hexdigest()
            self.assertEqual((row["length"], row["digest"]), (len(body), digest), row)

    async def try_one(self, case: Case) -> None:
        """Send it, and see that it was refused or was no more requests than it is."""
        agent = await self.agent("openai")
        before = len(self.forwarded)
        answers = await self._answers(agent, case)
        served = [one for one in answers if not one.all(b"x-apiproxy-error")]
        self.assertLessEqual(len(served), case.most, case.name)
        self.assertGreaterEqual(len(self.forwarded), before)
        agent.end("reset")

    async def _answers(self, agent: Agent, case: Case) -> list[Any]:
        answers = []
        try:
            if case.data:
                agent.write(case.data)
            method = b"HEAD" if case.data.startswith(b"HEAD") else b"GET"
            for number in range(case.most + 1):
                story = Deferred.fromCoroutine(agent.response(method))
                _ = story.addTimeout(0.2 if number else 3.0, self.reactor)
                answers.append(await story)
        except (Gone, Malformed, DeferredTimeout):
            return answers  # that was all
        return answers


def python_of(name: str) -> str | None:
    """A Python that has this server."""
    grid = ROOT / ".grid" / "bin" / "python"
    if name == "twisted":
        return sys.executable
    return str(grid) if grid.exists() else None


class GridTests(GridCase):
    """One test for each server."""

    def test_there_are_enough_cases(self) -> None:
        """More than 200, no two alike."""
        self.assertGreater(len({case.data for case in CASES}), 200)

    async def _python(self, name: str) -> None:
        python = python_of(name)
        if python is None:
            self.skipTest(f"{name} is not installed: scripts/grid")
        port = free_port()
        command = [python, "-m", "tests.grid.servers", name, str(port)]
        await self.try_all(await self.set_up(command, port))

    async def test_twisted_web(self) -> None:
        """The server we are made of."""
        await self._python("twisted")

    async def test_aiohttp(self) -> None:
        """With its parser in C."""
        await self._python("aiohttp")

    async def test_tornado(self) -> None:
        """Its own parser."""
        await self._python("tornado")

    async def test_uvicorn(self) -> None:
        """With h11."""
        await self._python("uvicorn")

    async def test_gunicorn(self) -> None:
        """Its own parser."""
        await self._python("gunicorn")

    async def test_node(self) -> None:
        """Llhttp."""
        node = shutil.which("node")
        if node is None:
            self.skipTest("node is not installed")
        port = free_port()
        script = str(Path(__file__).with_name("server.js"))
        await self.try_all(await self.set_up([node, script, str(port)], port))

    async def test_nginx(self) -> None:
        """Which does not tell bodies."""
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if nginx is None:
            self.skipTest("nginx is not installed")
        port = free_port()
        folder = tempfile.TemporaryDirectory(prefix="apiproxy-grid-", dir="/tmp")
        self.addCleanup(folder.cleanup)
        config = Path(folder.name) / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder.name, port=port))
        command = [nginx, "-p", folder.name, "-c", str(config)]
        await self.try_all(await self.set_up(command, port))
