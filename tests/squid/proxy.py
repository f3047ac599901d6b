"""The whole proxy in this process, between raw agents, a real Squid and a TLS provider.

``SquidCase.stage`` puts the pieces up; whatever a test has done to them, it ends with
``settled``: nobody is served any more, no line is busy, no socket is open, and nothing was
logged that looks like a bug of ours.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import globalLogPublisher

from apiproxy.config import Settings
from apiproxy.service import Proxy
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.twisted_events import TwistedEvents
from apiproxy.wire.reactor import Reactor
from tests.kit.agent import Agent, SocketAgent
from tests.kit.case import LoopbackCase
from tests.kit.http import NO_FIELDS, Message, Response
from tests.kit.provider import Call, FieldsIn, Provider
from tests.kit.squid import Squid, squid_missing
from tests.kit.tls import authority

PLACEHOLDER = "sk-Placeholder-Qz81-of-the-agent"
"""What an agent holds instead of a key; it must never arrive anywhere."""

OUTCOMES = frozenset(
    {
        "request_complete",
        "websocket_upgrade_complete",
        "websocket_upgrade_failed",
        "websocket_upgrade_rejected",
    }
)
"""The events of which every exchange has exactly one."""


@frozen(kw_only=True)
class Known:
    """A built-in provider, as the contract has it.

    Attributes:
        name: of the listener.
        host: of the provider.
        variable: holds the key.
        target: says where the provider is.
        key: the real one.
        header: that carries it, lower case.
        scheme: stands before it.
        path: something that agents ask for.
        upstream_path: what becomes of it.
    """

    name: str
    host: str
    variable: str
    target: str
    key: str
    header: bytes
    scheme: bytes = b""
    path: bytes
    upstream_path: bytes

    @property
    def credential(self) -> bytes:
        """The whole value of the header."""
        return self.scheme + self.key.encode()

    def error(self, response: Message) -> tuple[str, str]:
        """Code and message of an error of ours, in the shape that its SDKs know."""
        body = response.json()
        error = body["error"]
        if self.header == b"x-goog-api-key":
            (detail,) = error["details"]
            assert error["code"] >= 400, body
            assert isinstance(error["status"], str), body
            return detail["reason"].lower(), error["message"]
        if self.name == "anthropic":
            assert body["type"] == "error", body
            assert body["request_id"], body
        assert isinstance(error["type"], str), body
        return error["code"], error["message"]


_OPENAI = Known(
    name="openai",
    host="api.openai.com",
    variable="OPENAI_API_KEY",
    target="OPENAI_API_TARGET",
    key="sk-Real0penAi-XkQ7zW2vJ9",
    header=b"authorization",
    scheme=b"Bearer ",
    path=b"/responses",
    upstream_path=b"/v1/responses",
)

PROVIDERS = (
    _OPENAI,
    Known(
        name="anthropic",
        host="api.anthropic.com",
        variable="ANTHROPIC_API_KEY",
        target="ANTHROPIC_API_TARGET",
        key="sk-ant-RealQ8wXz6Kj",
        header=b"x-api-key",
        path=b"/v1/messages",
        upstream_path=b"/v1/messages",
    ),
    Known(
        name="copilot",
        host="api.githubcopilot.com",
        variable="COPILOT_GITHUB_TOKEN",
        target="COPILOT_API_TARGET",
        key="ghu_Real5VqZkW1xYp",
        header=b"authorization",
        scheme=b"Bearer ",
        path=b"/chat/completions",
        upstream_path=b"/chat/completions",
    ),
    Known(
        name="gemini",
        host="generativelanguage.googleapis.com",
        variable="GEMINI_API_KEY",
        target="GEMINI_API_TARGET",
        key="AIzaRealGemini-Jx4QwV",
        header=b"x-goog-api-key",
        path=b"/v1beta/models/gemini:generateContent",
        upstream_path=b"/v1beta/models/gemini:generateContent",
    ),
    Known(
        name="opencode",
        host=_OPENAI.host,
        variable=_OPENAI.variable,
        target=_OPENAI.target,
        key=_OPENAI.key,
        header=_OPENAI.header,
        scheme=_OPENAI.scheme,
        path=b"/chat/completions",
        upstream_path=b"/v1/chat/completions",
    ),
    Known(
        name="vertex",
        host="aiplatform.googleapis.com",
        variable="GOOGLE_API_KEY",
        target="VERTEX_API_TARGET",
        key="AIzaRealVertex-Kq9ZxW",
        header=b"x-goog-api-key",
        path=b"/v1/projects/p/locations/l",
        upstream_path=b"/v1/projects/p/locations/l",
    ),
)

OPENAI = PROVIDERS[0]
KEYS = tuple({known.key: None for known in PROVIDERS})
HOSTS = tuple({known.host: None for known in PROVIDERS})

_DEFAULT_PORTS = {
    "APIPROXY_" + known.name.upper() + "_PORT": "0" for known in PROVIDERS
}


@contextmanager
def about(subject: object) -> Iterator[None]:
    """Say in a failure which of many cases it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with {subject}")
        raise


class OpenLog(LineLog):
    """A log without the second net, which shows what the first would have let through."""

    def redact(self, secrets: object) -> None:
        """Look for nothing."""


class LiveProxy:
    """The proxy, and every line it has logged.

    Attributes:
        settings: as read.
        proxy: the thing itself.
    """

    def __init__(
        self,
        reactor: Reactor,
        environ: Mapping[str, str],
        toml: bytes | None = None,
        *,
        tick: float = 0.1,
        redacting: bool = True,
    ) -> None:
        """Make it; it listens after ``start``.

        Args:
            reactor: the real one.
            environ: the environment.
            toml: the configuration file.
            tick: seconds within which deadlines are kept.
            redacting: whether the log has its second net.
        """
        self._lines: list[dict[str, Any]] = []
        self._raw: list[bytes] = []
        self.settings = read_settings(environ, toml)
        kind = LineLog if redacting else OpenLog
        log = kind(self._write, level=self.settings.log_level, now=time.time)
        self._events = TwistedEvents(log)
        self.proxy = Proxy(self.settings, reactor, log, tick=tick)
        self._running = False

    def _write(self, line: bytes) -> None:
        self._raw.append(line)
        self._lines.append(json.loads(line))

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log so far, parsed; nothing is left to be written."""
        self.proxy.flush()
        return self._lines

    @property
    def raw(self) -> list[bytes]:
        """The log so far, as it was written."""
        self.proxy.flush()
        return self._raw

    async def start(self) -> None:
        """Listen."""
        globalLogPublisher.addObserver(self._events)
        self._running = True
        self.proxy.privilegedStartService()
        self.proxy.startService()

    async def stop(self) -> None:
        """Stop, in order."""
        if self._running:
            self._running = False
            await self.proxy.stopService()
            globalLogPublisher.removeObserver(self._events)

    def port(self, name: str) -> int:
        """Where a provider listens on 127.0.0.1."""
        (address,) = (
            line["address"]
            for line in self.lines
            if line["event"] == "listening"
            and line["provider"] == name
            and ":" in line["address"]
        )
        return int(address.rpartition(":")[2])

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The lines of these events."""
        return [line for line in self.lines if line["event"] in names]

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        """The lines that tell how exchanges ended."""
        return self.events(*OUTCOMES)

    @property
    def leftovers(self) -> list[str]:
        """What is still going on."""
        proxy = self.proxy
        left = [repr(proxy.census)] if proxy.census.live else []
        for site in proxy.sites.values():
            if site.channels or site.route.bridges or site.route.pool.busy:
                left.append(f"{site!r} {site.channels} {site.route.bridges}")
        return left

    @property
    def bugs(self) -> list[dict[str, Any]]:
        """The lines about what nobody foresaw."""
        return [
            line
            for line in self.lines
            if line["event"] == "exception" or "traceback" in line
        ]


def read_settings(environ: Mapping[str, str], toml: bytes | None = None) -> Settings:
    """Settings as the service reads them."""
    return Settings.read(
        environ, toml, lambda path: Path(path).read_bytes(), lambda: str(uuid.uuid4())
    )


class SquidCase(LoopbackCase):
    """A test of the whole proxy.

    Attributes:
        provider: answers for every host.
        squid: the real one.
        proxy: the proxy under test.
    """

    skip = squid_missing()

    provider: Provider
    squid: Squid
    proxy: LiveProxy

    def setUp(self) -> None:
        """Take the reactor."""
        super().setUp()
        self._agents: list[Agent | SocketAgent] = []
        self._cases: list[LiveProxy] = []

    async def stage(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        toml: bytes | None = None,
        read_timeout: int | None = None,
        user: tuple[str, str] | None = None,
        extra: str = "",
        allow: Sequence[str] = HOSTS,
        tick: float = 0.1,
        redacting: bool = True,
    ) -> LiveProxy:
        """Put a provider, Squid and the proxy up.

        Args:
            environ: more of the environment, or other values.
            toml: the configuration file.
            read_timeout: Squid's.
            user: whom Squid wants to see.
            extra: more lines of Squid's configuration.
            allow: host names that Squid lets through.
            tick: seconds within which the proxy keeps deadlines.
            redacting: whether the log has its second net.
        """
        await self.stage_provider()
        self.squid = await self.started(
            Squid(
                self.reactor,
                [self.provider.port],
                allow=allow,
                user=user,
                read_timeout=read_timeout,
                extra=extra,
            )
        )
        every = {"HTTPS_PROXY": self.squid.url, **(environ or {})}
        return await self.stage_proxy(every, toml=toml, tick=tick, redacting=redacting)

    async def stage_provider(self) -> Provider:
        """Put the provider up."""
        identity = authority().identity()
        self.provider = Provider(self.reactor, identity.options())
        return await self.started(self.provider)

    async def stage_proxy(
        self,
        environ: Mapping[str, str],
        *,
        toml: bytes | None = None,
        tick: float = 0.1,
        redacting: bool = True,
    ) -> LiveProxy:
        """Put the proxy up, in front of the provider.

        Args:
            environ: more of the environment, the egress proxy above all.
            toml: the configuration file.
            tick: seconds within which the proxy keeps deadlines.
            redacting: whether the log has its second net.
        """
        every = {**self.environ(), **environ}
        self.proxy = LiveProxy(
            cast(Reactor, self.reactor),
            {name: value for name, value in every.items() if value},
            toml,
            tick=tick,
            redacting=redacting,
        )
        await self.started(self.proxy)
        self.addCleanup(self.ended, self.settled)
        return self.proxy

    def environ(self) -> dict[str, str]:
        """All providers configured, each on some free port."""
        environ = {
            "APIPROXY_CA_FILE": str(authority().pem),
            "APIPROXY_GRACE_SECONDS": "0",
            "APIPROXY_LOG_LEVEL": "debug",
            "APIPROXY_VALIDATE_KEYS": "off",
            **_DEFAULT_PORTS,
        }
        for known in PROVIDERS:
            environ[known.variable] = known.key
            environ[known.target] = f"{known.host}:{self.provider.port}"
        return environ

    async def agent(self, name: str = "openai") -> Agent:
        """A connection to the port of a provider; it is ended after the test."""
        agent = await Agent.connect(self.reactor, self.proxy.port(name))
        self._agents.append(agent)
        return agent

    async def socket(
        self, known: Known = OPENAI, path: str | None = None, **arguments: Any
    ) -> SocketAgent:
        """An open WebSocket through the port of a provider; it is ended after the test."""
        path = known.path.decode() if path is None else path
        port = self.proxy.port(known.name)
        socket = await SocketAgent.connect(self.reactor, port, path, **arguments)
        self._agents.append(socket)
        return socket

    async def ask(
        self,
        known: Known = OPENAI,
        method: bytes = b"GET",
        path: bytes | None = None,
        fields: FieldsIn = NO_FIELDS,
        body: bytes | None = None,
    ) -> Response:
        """One request on a connection of its own; the answer."""
        agent = await self.agent(known.name)
        agent.ask(method, known.path if path is None else path, fields, body)
        response = await agent.response(method)
        agent.end()
        return response

    async def settled(self) -> None:
        """When all agents have gone, nothing must be left of what they did."""
        for agent in self._agents:
            if isinstance(agent, SocketAgent):
                await agent.stop()
            else:
                agent.end("reset")
                await agent.gone()
        self._agents.clear()
        end = self.reactor.seconds() + 20
        while self.proxy.leftovers and self.reactor.seconds() < end:
            await self.turn()
        self.assertEqual(self.proxy.leftovers, [])
        self.assertEqual(self.proxy.bugs, [])
        ids = [line["request_id"] for line in self.proxy.outcomes]
        self.assertEqual(len(ids), len(set(ids)), "an exchange ended twice")
        begun = [
            line["request_id"] for line in self.proxy.events("websocket_upgrade_start")
        ]
        self.assertLessEqual(set(begun), set(ids), "a WebSocket never ended")

    async def at_once(self, stories: Iterable[Awaitable[None]], many: int = 24) -> None:
        """Tell stories side by side, because each of them waits for most of its time.

        Args:
            stories: that do not disturb one another.
            many: how many at a time.
        """
        waiting = iter(stories)

        async def tell() -> None:
            for story in waiting:
                await story

        await gatherResults(
            [Deferred.fromCoroutine(tell()) for _ in range(many)], consumeErrors=True
        )

    async def turn(self, seconds: float = 0.005) -> None:
        """Let the reactor run."""
        done = [False]
        self.reactor.callLater(seconds, done.__setitem__, 0, True)
        await self.until(lambda: done[0])

    async def outcome(self, count: int = 1) -> dict[str, Any]:
        """Wait until so many exchanges have ended; what was logged of the last of them."""
        await self.until(lambda: len(self.proxy.outcomes) >= count)
        return self.proxy.outcomes[count - 1]


async def hold(call: Call) -> None:
    """For a WebSocket by hand: say no more, and stay."""


def hashed(data: bytes | bytearray) -> str:
    """A digest, which is quicker to compare and to print than megabytes."""
    return hashlib.sha256(data).hexdigest()
