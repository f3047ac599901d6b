"""A control socket for the subcommands that ask it."""

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import msgspec
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.main import main

STANDING = {
    "account": "run:r1",
    "measure": "runs",
    "spent": 3,
    "reserved": 1,
    "cap": 5.5,
    "set_by": "operator",
    "until": 1600.0,
}
LIVE = {
    "id": "id-1",
    "provider": "openai",
    "caller": "",
    "model": "evil\x1b[2J",
    "transport": "http",
    "age_seconds": 1.5,
    "bytes_up": 10,
    "bytes_down": 20,
}
ANSWERS: dict[str, Any] = {
    "GET /state": {"exchanges": [LIVE], "budget": [STANDING]},
    "GET /budget": {"run": "r1", "budget": [STANDING]},
    "POST /budget": {},
    "POST /stop": {"stopped": 2},
}


class _Request(BaseHTTPRequestHandler):
    server: "ControlSocket"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        asked = f"{self.command} {self.path}"
        body = self.rfile.read(length)
        self.server.asked.append((asked, msgspec.json.decode(body) if body else None))
        refusal = self.server.refusal
        told = {"error": {"message": refusal}} if refusal else ANSWERS[asked]
        self.send_response(400 if refusal else 200)
        self.end_headers()
        self.wfile.write(self.server.raw or msgspec.json.encode(told))

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class ControlSocket(UnixStreamServer):
    """Answers as a service would.

    Attributes:
        asked: what it was asked.
        refusal: what it says to everything instead; empty for nothing.
        raw: bytes that it answers instead; empty for nothing.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, _Request)
        self.asked: list[tuple[str, Any]] = []
        self.refusal = ""
        self.raw = b""

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection, whose other end has an address as the server wants it."""
        return super().get_request()[0], ("operator", 0)


class OperatorCase(SynchronousTestCase):
    """A subcommand and a control socket."""

    def setUp(self) -> None:
        """A control socket that answers in a thread."""
        folder = Path(os.path.relpath(self.mktemp()))
        folder.mkdir(parents=True)
        self.path = str(folder / "c")
        self.service = ControlSocket(self.path)
        thread = threading.Thread(target=self.service.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(self.service.server_close)
        self.addCleanup(thread.join, 10)
        self.addCleanup(self.service.shutdown)
        self.patch(os, "environ", {"APIPROXY_CONTROL_SOCKET": self.path})

    def run_command(self, *args: str) -> Result:
        return CliRunner().invoke(main, args)

    def output(self, *args: str) -> list[str]:
        result = self.run_command(*args)
        self.assertEqual((result.exit_code, result.stderr), (0, ""))
        return result.output.splitlines()

    def failure(self, *args: str) -> str:
        result = self.run_command(*args)
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        return result.stderr
