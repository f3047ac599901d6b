"""``apiproxy health``."""

import os
import socket
import threading
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.health import Unwell, ask, command, default_url

WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Once:
    """A server that answers one connection with fixed bytes, in pieces."""

    def __init__(self, listening: socket.socket, *pieces: bytes) -> None:
        self.received = b""
        self._listening = listening
        self._pieces = pieces
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with self._listening, connection:
            self.received = connection.recv(65536)
            for piece in self._pieces:
                connection.sendall(piece)

    def join(self) -> None:
        self._thread.join(10)


class HealthTests(SynchronousTestCase):
    def setUp(self) -> None:
        """No settings."""
        self.patch(os, "environ", {})

    def answering(self, *pieces: bytes) -> tuple[str, Once]:
        listening = socket.create_server(("127.0.0.1", 0))
        server = Once(listening, *pieces)
        self.addCleanup(server.join)
        return f"http://127.0.0.1:{listening.getsockname()[1]}", server

    def test_well(self) -> None:
        """A 200 is health; its body is printed, and the exit code is 0."""
        url, server = self.answering(WELL[:30], WELL[30:])
        result = CliRunner().invoke(command, ["--url", url])
        self.assertEqual((result.exit_code, result.output), (0, "{}\n"))
        self.assertTrue(server.received.startswith(b"GET /health HTTP/1.1\r\n"))

    def test_another_path(self) -> None:
        """The path is that of the URL."""
        url, server = self.answering(WELL)
        ask(f"{url}/elsewhere", 3)
        self.assertTrue(server.received.startswith(b"GET /elsewhere HTTP/1.1\r\n"))

    def test_unwell(self) -> None:
        """Anything else is not, and what there is instead is printed."""
        url, _ = self.answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\nno key")
        result = CliRunner().invoke(command, ["--url", url])
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(
            result.stderr,
            f"apiproxy: {url} answers HTTP/1.1 503 Service Unavailable: no key\n",
        )

    def test_nothing(self) -> None:
        """A connection closed without a word, and no connection at all."""
        url, server = self.answering()
        self.assertIn("nothing", str(self.assertRaises(Unwell, ask, url, 3)))
        server.join()
        self.assertIn("refused", str(self.assertRaises(Unwell, ask, url, 3)))

    def test_endless(self) -> None:
        """An answer that does not end is not read for ever."""
        url, _ = self.answering(b"x" * 70_000)
        self.assertRaises(Unwell, ask, url, 3)

    def test_a_unix_socket(self) -> None:
        """A socket is asked like a port."""
        path = Path(self.mktemp()).absolute()
        self.assertRaises(Unwell, ask, f"unix:{path}", 3)
        path = Path("health.sock")  # short enough for the kernel
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        self.addCleanup(path.unlink)
        listening.listen()
        server = Once(listening, WELL)
        self.assertEqual(ask(f"unix:{path}", 3), "{}")
        server.join()

    def test_a_strange_url(self) -> None:
        """Only these two kinds are understood."""
        for url in ("https://127.0.0.1/", "unix:", "127.0.0.1:10000"):
            self.assertIn("neither", str(self.assertRaises(Unwell, ask, url, 3)))

    def test_default(self) -> None:
        """Without settings, and in a container, it is the port 10000 of loopback."""
        expected = "http://127.0.0.1:10000/health"
        for environ in ({}, {"APIPROXY_BIND": "0.0.0.0"}, {"APIPROXY_CONFIG": ""}):
            self.assertEqual(default_url(environ), expected)

    def test_configured(self) -> None:
        """Settings that move it are heard."""
        for environ, expected in (
            ({"APIPROXY_OPENAI_PORT": "8080"}, "http://127.0.0.1:8080/health"),
            ({"APIPROXY_OPENAI_PORT": "off"}, "http://127.0.0.1:10001/health"),
            ({"APIPROXY_BIND": "192.0.2.1"}, "http://192.0.2.1:10000/health"),
            ({"APIPROXY_BIND": "::"}, "http://[::1]:10000/health"),
            ({"APIPROXY_BIND": "2001:db8::1"}, "http://[2001:db8::1]:10000/health"),
            (
                {"APIPROXY_OPENAI_PORT": "off", "APIPROXY_OPENAI_SOCKET": "/a"},
                "unix:/a",
            ),
        ):
            self.patch(os, "environ", environ)
            self.assertEqual(default_url(environ), expected)

    def test_configured_badly(self) -> None:
        """Settings that make no sense, or do not say, are a reason to be unwell."""
        for environ, reason in (
            ({"APIPROXY_OPENAI_PORT": "x"}, "APIPROXY_OPENAI_PORT must be"),
            ({"APIPROXY_OPENAI_PORT": "0"}, "use --url"),
        ):
            self.patch(os, "environ", environ)
            error = self.assertRaises(Unwell, default_url, environ)
            self.assertIn(reason, str(error))
