"""An agent, apiproxy, an egress proxy and a provider with TLS: all in one thread."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.internet.task import Clock

from apiproxy.config import Settings
from apiproxy.service import Proxy
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.sink import StdoutSink
from tests.cost.loop import Counting, Loop
from tests.kit.tls import authority

NEVER = 1e6
ENDS_SECONDS = "apiproxy.telemetry.batch._SECONDS"


def uncounted(act: Callable[[], object]) -> None:
    """Just do it."""
    act()


class Provider:
    """The provider's end of one tunnel, behind an egress proxy that opens any.

    Attributes:
        heard: plain bytes that came and were not taken.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = (
            authority()
            .identity()
            .context()
            .wrap_bio(self._incoming, self._outgoing, server_side=True)
        )
        self._opened = self._shaken = False
        self.heard = b""

    def pump(self) -> None:
        """Read what has come, and answer where that is the protocol's business."""
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        if not self._opened:
            assert data.startswith(b"CONNECT "), data
            self._opened = True
            self._sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            return
        self._incoming.write(data)
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while piece := self._tls.read(65536):
                self.heard += piece
        except ssl.SSLWantReadError:
            self._flush()

    def send(self, data: bytes) -> None:
        """Say something, in one segment."""
        self._tls.write(data)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._sock.sendall(self._outgoing.read())

    def close(self) -> None:
        """Leave."""
        self._sock.close()


class Scene:
    """Everyone, with one warm upstream line.

    Attributes:
        loop: that apiproxy runs on.
        agent: the agent's socket.
        provider: the provider's end of the line.
        proxy: apiproxy.
    """

    def __init__(self, folder: Path, **more: str) -> None:
        """Start everything.

        Args:
            folder: for the log.
            more: settings beside the usual ones.
        """
        self.loop = Loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._log = (folder / "log").open("wb")
        self._sink = StdoutSink(  # whose timer never comes, as lines go out in batches
            self._log.fileno(), Clock(), now=time.time, batch=1 << 20
        )
        site = self._site(more)
        self._port = self.loop.reactor.listenTCP(0, site, interface="127.0.0.1")
        self.agent: socket.socket
        self.provider: Provider
        self.arrive()

    def _site(self, more: Mapping[str, str]) -> object:
        environ = {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._listener.getsockname()[1]}",
            "OPENAI_API_KEY": "sk-proj-T3BlbkFJ-the-real-key-of-the-sceneX9Q",
            "OPENAI_API_TARGET": "localhost",
            "APIPROXY_CA_FILE": str(authority().pem),
            "APIPROXY_VALIDATE_KEYS": "off",
            "APIPROXY_ALLOWED_HOSTS": "a",
        }
        settings = Settings.read(
            environ | dict(more),
            None,
            lambda path: Path(path).read_bytes(),
            lambda: "an-id",
        )
        log = LineLog(self._sink.write, level="info", now=time.time)
        self.proxy = Proxy(settings, self.loop.reactor, log, tick=NEVER)
        return self.proxy.sites["openai"]

    def arrive(self) -> None:
        """An agent connects."""
        self.agent = socket.create_connection(("127.0.0.1", self._port.getHost().port))
        self.agent.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.agent.setblocking(False)

    def leave(self) -> None:
        """The agent hangs up, the provider hangs up, and apiproxy has noticed."""
        site = self.proxy.sites["openai"]
        pool = site.route.pool
        self.agent.close()
        self.loop.until(lambda: site.empty, uncounted)
        self.provider.close()
        self.loop.until(lambda: pool.idle + pool.busy == 0, uncounted)

    def accept(self) -> None:
        """Take the tunnel that apiproxy opens."""
        self._listener.settimeout(0)
        taken: list[socket.socket] = []

        def dialled() -> bool:
            try:
                taken.append(self._listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        self.loop.until(dialled, uncounted)
        self.provider = Provider(taken[0])

    def hear(self, end: bytes, counting: Counting = uncounted) -> bytes:
        """Go on until the provider has heard this; all it heard since the last time."""

        def heard() -> bool:
            self.provider.pump()
            return self.provider.heard.endswith(end)

        self.loop.until(heard, counting)
        whole, self.provider.heard = self.provider.heard, b""
        return whole

    def up(self, data: bytes, counting: Counting = uncounted) -> None:
        """The agent says something, and it reaches the provider."""
        self.agent.sendall(data)
        self.hear(data[-4:], counting)

    def down(self, data: bytes, counting: Counting = uncounted) -> None:
        """The provider says something, and it reaches the agent."""
        self.provider.send(data)
        heard = bytearray()

        def read() -> bool:
            with contextlib.suppress(BlockingIOError):
                heard.extend(self.agent.recv(65536))
            return heard.endswith(data[-4:])

        self.loop.until(read, counting)

    def close(self) -> None:
        """End everything."""
        self.agent.close()
        if hasattr(self, "provider"):
            self.provider.close()
        self._listener.close()
        self.loop.close()
        self._sink.flush()
        self._log.close()
