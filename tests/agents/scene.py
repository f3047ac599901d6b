"""Everything around a client: a provider with TLS, Squid, apiproxy as a process, a tap."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from tests.agents.mock.model import Model
from tests.agents.mock.provider import Mock
from tests.agents.programs import Launch
from tests.agents.tap import Tap
from tests.kit.line import IReactor
from tests.kit.running import Program, Ran, Service, ran
from tests.kit.squid import Squid
from tests.kit.tls import authority

KEYS: Mapping[str, tuple[str, str, str, str]] = {
    "openai": (
        "OPENAI_API_KEY",
        "OPENAI_API_TARGET",
        "api.openai.com",
        "authorization",
    ),
    "anthropic": (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_API_TARGET",
        "api.anthropic.com",
        "x-api-key",
    ),
    "gemini": (
        "GEMINI_API_KEY",
        "GEMINI_API_TARGET",
        "generativelanguage.googleapis.com",
        "x-goog-api-key",
    ),
    "copilot": (
        "COPILOT_GITHUB_TOKEN",
        "COPILOT_API_TARGET",
        "api.githubcopilot.com",
        "authorization",
    ),
}
"""By listener: the variables of key and target, the host, and the header of the key."""

Meanwhile = Callable[["Scene"], Coroutine[Any, Any, None]]
"""What is done while a client runs."""

PATIENCE = 240.0
"""Seconds after which a client that still runs has failed."""


def real_key(provider: str) -> str:
    """The key that only apiproxy has."""
    return f"sk-the-real-key-of-{provider}-Vx83Qz"


@frozen
class Outcome:
    """What became of a client.

    Attributes:
        end: code and output.
        seconds: how long it took.
        hung: whether it had to be ended.
    """

    end: Ran
    seconds: float
    hung: bool


class Scene:
    """The scene, for one client.

    Attributes:
        mock: the providers.
        squid: the real one.
        service: apiproxy.
        tap: where the client finds it.
        folder: the client's home.
    """

    def __init__(
        self,
        reactor: IReactor,
        provider: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Make it; it plays after ``start``.

        Args:
            reactor: the real one.
            provider: the listener that is tapped.
            settings: more of apiproxy's, such as those that refuse.
        """
        self.reactor = reactor
        self.provider = provider
        self.mock = Mock(reactor, authority().identity().options())
        self.folder = Path()
        self._settings = dict(settings or {})
        self._before: list[Service] = []

    async def start(self) -> None:
        """Put everything up."""
        self.folder = Path(tempfile.mkdtemp(prefix="apiproxy-agent-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)  # interrupted
        await self.mock.start()
        host = KEYS[self.provider][2]
        self.squid = Squid(self.reactor, [self.mock.port], allow=[host])
        await self.squid.start()
        self.service = await self._serve()
        self.tap = Tap(self.reactor, self.service.port(self.provider))
        await self.tap.start()

    async def _serve(self) -> Service:
        service = Service(self.reactor, self.environ())
        await service.start()
        return service

    def environ(self) -> dict[str, str]:
        """Of apiproxy."""
        environ = {
            "HTTPS_PROXY": self.squid.url,
            "APIPROXY_REQUIRE_PROXY": "1",
            "APIPROXY_CA_FILE": str(authority().pem),
            "APIPROXY_VALIDATE_KEYS": "off",
            "APIPROXY_LOG_LEVEL": "debug",
            "APIPROXY_GRACE_SECONDS": "2",
        }
        variable, target, host, _ = KEYS[self.provider]
        environ[variable] = real_key(self.provider)
        environ[target] = f"{host}:{self.mock.port}"
        return environ | self._settings

    def again(self) -> None:
        """Forget what the model was asked, what goes wrong, and what lies about."""
        mock = self.mock
        mock.faults, mock.forever, mock.served, mock.model = [], None, [], Model()
        shutil.rmtree(self.work)

    async def restart(self, settings: Mapping[str, str] | None = None) -> None:
        """End apiproxy, and start it anew; the client notices if it has connections.

        Args:
            settings: more of apiproxy's, in the place of those so far; None for the same.
        """
        if settings is not None:
            self._settings = dict(settings)
        await self.service.stop()
        self._before.append(self.service)
        self.service = await self._serve()
        self.tap.target = self.service.port(self.provider)

    async def settle(self) -> None:
        """End apiproxy, and wait until the provider has seen that."""
        await self.service.stop()
        await self.tap.stop()
        await self.mock.left()

    async def stop(self) -> None:
        """End everything."""
        await self.service.stop()
        await self.tap.stop()
        await self.squid.stop()
        await self.mock.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def service_output(self) -> bytes:
        """All that apiproxy has written, also before it was started anew."""
        return b"".join(bytes(each.out) for each in (*self._before, self.service))

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The same, parsed."""
        return [line for each in (*self._before, self.service) for line in each.lines]

    @property
    def url(self) -> str:
        """Where the client finds its provider."""
        return f"http://127.0.0.1:{self.tap.port}"

    @property
    def work(self) -> Path:
        """The client's working directory."""
        path = self.folder / "work"
        path.mkdir(exist_ok=True)
        return path

    async def run(self, launch: Launch, meanwhile: Meanwhile | None = None) -> Outcome:
        """Run a client to its end, or for as long as patience lasts.

        Some start themselves anew as a child; ``timeout`` ends both.

        Args:
            launch: the client.
            meanwhile: done while it runs, and given up when it ends before.
        """
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        own = {"HOME": str(self.folder), "TMPDIR": str(scratch), "SHELL": "/bin/sh"}
        command = [
            "/usr/bin/timeout",
            "--kill-after=5",
            str(PATIENCE),
            *launch.arguments,
        ]
        begun = self.reactor.seconds()
        program = Program(self.reactor, command, own | dict(launch.environ), self.work)
        beside = None
        if meanwhile is not None:
            beside = Deferred.fromCoroutine(meanwhile(self))
            beside = beside.addErrback(lambda failure: failure.trap(CancelledError))
        end = await ran(program)
        taken = self.reactor.seconds() - begun
        if beside is not None:
            beside.cancel()
            await beside
        return Outcome(end, taken, end.code in (124, 137, -9))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not condition():
            await deferLater(self.reactor, 0.05)
