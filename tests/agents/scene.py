"""Everything around a client: a provider with TLS, Squid, apiproxy as a process, a tap."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from attrs import frozen
from twisted.internet.task import deferLater

from tests.agents.mock.provider import Mock
from tests.agents.programs import Cli
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

    async def start(self) -> None:
        """Put everything up."""
        self.folder = Path(tempfile.mkdtemp(prefix="apiproxy-agent-"))
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

    async def restart(self) -> None:
        """End apiproxy, and start it anew; the client notices if it has connections."""
        await self.service.stop()
        self.service = await self._serve()
        self.tap.target = self.service.port(self.provider)

    async def stop(self) -> None:
        """End everything."""
        await self.tap.stop()
        await self.service.stop()
        await self.squid.stop()
        await self.mock.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

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

    async def play(
        self,
        cli: Cli,
        prompt: str,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Run a client to its end.

        Args:
            cli: the client.
            prompt: for it.
            meanwhile: what is done while it runs.
        """
        launch = cli.prepare(self.folder, self.url, prompt)
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        environ = {"HOME": str(self.folder), "TMPDIR": str(scratch), "SHELL": "/bin/sh"}
        program = Program(
            self.reactor, launch.arguments, environ | dict(launch.environ), self.work
        )
        return await self.run(program, meanwhile)

    async def run(
        self,
        program: Program,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Run a program to its end, or for as long as patience lasts."""
        begun = self.reactor.seconds()
        late = self.reactor.callLater(PATIENCE, program.signal, "KILL")
        if meanwhile is not None:
            self.reactor.callWhenRunning(lambda: None)
        end = await ran(program)
        hung = not late.active()
        if late.active():
            late.cancel()
        return Outcome(end, self.reactor.seconds() - begun, hung)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not condition():
            await deferLater(self.reactor, 0.05)
