"""The whole proxy between a raw agent and a provider, for one pitfall after another."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from attrs import frozen

from tests.kit.agent import Agent
from tests.kit.connect import ConnectProxy
from tests.kit.http import NO_FIELDS, Response
from tests.kit.line import Gone
from tests.kit.provider import Call, FieldsIn, by_hand, echo
from tests.squid.proxy import PROVIDERS, Known, LiveProxy, SquidCase, about, hold

HANDSHAKE = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)


@frozen
class Way:
    """A port, and how an agent speaks to it.

    Attributes:
        known: the provider behind it.
        upgrade: whether it asks for a WebSocket.
    """

    known: Known
    upgrade: bool

    def __str__(self) -> str:
        return f"{self.known.name} by {'WebSocket' if self.upgrade else 'HTTP'}"

    def head(
        self,
        lines: Iterable[bytes] = (),
        *,
        method: bytes = b"POST",
        target: bytes | None = None,
        host: bytes | None = b"localhost",
        version: bytes = b"HTTP/1.1",
    ) -> bytes:
        """A request's head as bytes, with these lines as they are; a handshake is a GET."""
        first = b"GET" if self.upgrade else method
        every = [b"%b %b %b" % (first, target or self.known.path, version)]
        every += [] if host is None else [b"Host: " + host]
        every += [b": ".join(field) for field in (HANDSHAKE if self.upgrade else ())]
        return b"\r\n".join([*every, *lines, b"", b""])


WAYS = tuple(Way(known, upgrade) for known in PROVIDERS for upgrade in (False, True))
"""Every port, over HTTP and over WebSocket."""


class PitfallCase(SquidCase):
    """A test of one pitfall.

    Attributes:
        middle: the egress proxy; its ``heads`` are all that asked for a way out.
    """

    skip = None  # no Squid is needed
    timeout = 60
    middle: ConnectProxy

    async def put_up(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        toml: bytes | None = None,
        tick: float = 0.05,
    ) -> LiveProxy:
        """Put provider, egress proxy and proxy up; an upgrade is agreed to."""
        await self.stage_provider()
        self.provider.default = _either
        self.middle = await self.started(ConnectProxy(self.reactor))
        every = {"HTTPS_PROXY": self.middle.url, **(environ or {})}
        return await self.stage_proxy(every, toml=toml, tick=tick)

    async def every_way(
        self, story: Callable[[Way], Awaitable[None]], ways: Iterable[Way] = WAYS
    ) -> None:
        """Tell a story (a coroutine function) on every port by both transports at once."""

        async def one(way: Way) -> None:
            with about(way):
                await story(way)

        await self.at_once(one(way) for way in ways)

    async def say(self, way: Way, data: bytes) -> tuple[Agent, Response | None]:
        """Send bytes on a connection of its own; the answer, None if there was none."""
        agent = await self.agent(way.known.name)
        agent.write(data)
        try:
            return agent, await agent.response()
        except Gone:
            return agent, None

    async def answered(
        self,
        way: Way,
        fields: FieldsIn = NO_FIELDS,
        *,
        target: bytes | None = None,
        method: bytes = b"GET",
        host: bytes | None = b"localhost",
        body: bytes = b"",
    ) -> Response:
        """One well-formed request; its answer."""
        lines = [b": ".join(field) for field in fields]
        if body and not way.upgrade:
            lines.append(b"Content-Length: %d" % len(body))
        data = way.head(lines, method=method, target=target, host=host)
        agent, response = await self.say(way, data + (b"" if way.upgrade else body))
        assert response is not None, "no answer"
        agent.end("reset")
        return response

    def assert_refused(
        self, way: Way, response: Response | None, status: int, code: str
    ) -> None:
        """See that this is an error of ours, in the shape that the provider's SDKs know."""
        assert response is not None, f"{way} got nothing"
        self.assertEqual(response.status, status, response.head)
        self.assertEqual(way.known.error(response)[0], code)
        self.assertEqual(response.all(b"x-apiproxy-error"), [code.encode()])

    def assert_untouched(self) -> None:
        """See that nothing whatever has left for a provider."""
        self.assertEqual(self.middle.heads, [])
        self.assertEqual(self.provider.requests, [])


async def _either(call: Call) -> None:
    """Agrees to every WebSocket, and echoes every request."""
    await (_OPEN if call.request.upgrade else _ECHO)(call)


_OPEN, _ECHO = by_hand(hold), echo()
