"""A real Redis on a Unix socket in a temporary directory. It ends when it is told to."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.kit.line import Bell, IReactor
from tests.kit.ports import free_port

REDIS = Path("/usr/bin/redis-server")


def redis_missing() -> str | None:
    """Why tests with a real Redis cannot run here; None if they can."""
    if not os.access(REDIS, os.X_OK):
        return f"there is no Redis at {REDIS}; apt-get install redis-server"
    return None


class RedisBroken(Exception):
    """Redis did not start; what it said is why."""


class Redis:
    """A real Redis.

    Attributes:
        path: of its socket.
        running: whether the process is there.
        port: on 127.0.0.1; 0 for none.
    """

    def __init__(
        self,
        reactor: IReactor,
        *,
        password: str | None = None,
        keeps: bool = False,
        tcp: bool = False,
    ) -> None:
        """Make it; it listens after ``start``.

        Args:
            reactor: the real one.
            password: that it asks for.
            keeps: whether it has written to its disk what it has answered.
            tcp: whether it also listens on 127.0.0.1, on the same port after a restart.
        """
        self.running = False
        self._reactor = reactor
        self._password = password
        self._keeps = keeps
        self.port = free_port() if tcp else 0
        self._folder = Path()
        self._process: IProcessTransport | None = None
        self._bell = Bell()
        self._output = bytearray()

    @property
    def path(self) -> str:
        """Of its socket."""
        return str(self._folder / "redis.sock")

    async def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            RedisBroken: it ended instead.
        """
        # The path of a socket must be short, and that of trial's directory is not.
        self._folder = Path(tempfile.mkdtemp(prefix="apiproxy-redis-", dir="/tmp"))
        await self.restart()

    async def stop(self) -> None:
        """End it, and remove what it has written."""
        await self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def kill(self) -> None:
        """End it without a chance to say good-bye."""
        self.signal("KILL")
        while self.running:
            await self._bell.heard()

    def signal(self, name: str) -> None:
        """Send it a signal, such as ``STOP`` and ``CONT``."""
        if self.running:
            assert self._process is not None
            self._process.signalProcess(int(signal.Signals[f"SIG{name}"]))

    async def restart(self) -> None:
        """Start it again, with what it has kept."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": self.path,
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes" if self._keeps else "no",
            "appendfsync": "no",
        }
        if self._password is not None:
            options["requirepass"] = self._password
        words = [str(REDIS)]
        for name, value in options.items():
            words += [f"--{name}", value]
        self._output.clear()
        self.running = True
        self._process = self._reactor.spawnProcess(
            _Process(self), str(REDIS), words, env={}
        )
        while b"eady to accept connections" not in self._output:
            if not self.running:
                raise RedisBroken(self._output.decode(errors="replace"))
            await deferLater(self._reactor, 0.005)


class _Process(ProcessProtocol):
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def outReceived(self, data: bytes) -> None:
        self._redis._output += data

    def errReceived(self, data: bytes) -> None:
        self._redis._output += data

    def processEnded(self, reason: Failure) -> None:
        self._redis.running = False
        self._redis._bell.ring()
