"""Failures of all kinds, any number of them, and every byte that the agents get back.

Each strike is a connection of an agent: what it sends, what the egress proxy makes of it,
which certificate stands behind that and what the provider answers are drawn by lot, with the
same chances for the same seed.
"""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from tests.fuzz.blackbox import noise
from tests.kit.agent import Agent
from tests.kit.connect import (
    Behaviour as Egress,
    ConnectLine,
    ConnectProxy,
    drop,
    hang_up,
    refuse,
    says,
    tunnel,
)
from tests.kit.frames import TEXT, frame
from tests.kit.http import Malformed
from tests.kit.line import Gone, IReactor
from tests.kit.provider import (
    Behaviour,
    Call,
    Provider,
    answer_json,
    by_hand,
    closing,
    cut,
    events,
    raw,
    redirect,
    silent,
)
from tests.kit.tls import authority
from tests.security.stage import HANDSHAKE
from tests.squid.proxy import Known

SWIFT = {
    "APIPROXY_FIRST_BYTE_SECONDS": "0.5",
    "APIPROXY_CONNECT_SECONDS": "1",
    "APIPROXY_TLS_SECONDS": "1",
    "APIPROXY_HEAD_SECONDS": "0.3",
    "APIPROXY_BODY_SECONDS": "0.3",
    "APIPROXY_SILENCE_SECONDS": "0.3",
    "APIPROXY_KEEPALIVE_SECONDS": "0.5",
    "APIPROXY_MAX_IDLE_LINES": "1",
    "APIPROXY_MAX_BODY_BYTES": "64KiB",
    "APIPROXY_TOOLS": "mcp=deny,batch=deny",
    "APIPROXY_DISALLOWED_MODELS": "gpt-3*",
    "APIPROXY_UNMETERED": "allow",
}
"""Deadlines that come soon, and rules that are easily broken."""

JSON = (b"Content-Type", b"application/json")
_REFUSED: tuple[
    tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...], bytes | None], ...
] = (
    (b"POST", b"/v1/realtime/client_secrets", (), b"{}"),
    (b"POST", b"/api/oauth/claude_cli/create_api_key", (), b"{}"),
    (b"GET", b"/v1/models", ((b"Origin", b"https://evil.example"),), None),
    (b"GET", b"/%2e%2e/v1", (), None),
    (b"GET", b"//evil.example/v1", (), None),
    (b"GET", b"/\\", (), None),
    (b"TRACE", b"/v1/models", (), None),
    (b"CONNECT", b"evil.example:443", (), None),
    (b"GET", b"/v1/models", tuple((b"X-%d" % n, b"y") for n in range(250)), None),
    (b"GET", b"/v1/models", ((b"X-Long", b"y" * 40_000),), None),
    (b"POST", b"/v1/responses", ((b"Content-Length", b"99999999"),), None),
    (b"POST", b"/v1/responses", ((b"Transfer-Encoding", b"gzip"),), None),
    (b"POST", b"/v1/responses", ((b"Transfer-Encoding", b"chunked"),), None),
    (b"POST", b"/v1/responses", ((b"Content-Length", b"9"),), None),
    (b"POST", b"/v1/responses", (JSON,), b'{"model":"gpt-3.5"}'),
    (b"POST", b"/v1/responses", (JSON,), b'{"model":5}'),
    (b"POST", b"/v1/responses", (JSON, (b"Content-Encoding", b"gzip")), b"no gzip"),
    (b"POST", b"/v1/responses", (JSON,), b'{"model":"m","tools":[{"type":"mcp"}]}'),
    (b"POST", b"/v1/batches", (JSON,), b"{}"),
    (b"POST", b"/v1/nobody/knows", (JSON,), b"{"),
)
"""Method, target, header lines and body of what is refused here."""


async def _false_key(call: Call) -> None:
    """Agrees to a WebSocket falsely."""
    if not call.request.upgrade:
        await call.end("fin")
        return
    call.upgrade(accept=b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    await call.line.gone()


class Barrage:
    """Strikes.

    Attributes:
        failed: how many have failed, by what the agent was told.
        arrived: what has come to the provider and to the egress proxy.
    """

    def __init__(
        self,
        reactor: IReactor,
        provider: Provider,
        middle: ConnectProxy,
        targets: list[tuple[Known, int]],
        look: Callable[[bytes], None],
        seed: int = 1,
    ) -> None:
        """Make it; provider and egress proxy are as bad as can be from here on.

        Args:
            reactor: the real one.
            provider: it will answer anything.
            middle: the egress proxy; it will lead anywhere.
            targets: what listens on which port.
            look: is shown all that an agent gets.
            seed: for chance.
        """
        self.failed: Counter[str] = Counter()
        self.arrived: set[bytes] = set()
        self._reactor = reactor
        self._provider = provider
        self._middle = middle
        self._targets = targets
        self._look = look
        self._chance = random.Random(seed)  # to be the same each time
        self._impostors: list[Provider] = []
        provider.default = self._answer
        middle.default = self._lead
        self._answers = self._bad_answers()
        self._ways = self._bad_ways()

    async def start(self) -> None:
        """Put up those who show bad certificates, or none."""
        known = authority()
        for identity in (
            known.wrong_name(),
            known.expired(),
            known.not_yet_valid(),
            known.stranger(),
            known.self_signed(),
            known.intermediate(complete=False),
            None,
        ):
            context = None if identity is None else identity.options()
            impostor = Provider(self._reactor, context)
            impostor.default = silent()
            await impostor.start()
            self._impostors.append(impostor)

    async def stop(self) -> None:
        """Take them down."""
        for impostor in self._impostors:
            await impostor.stop()

    async def strike(self) -> None:
        """One connection of an agent, to its end; what it got is looked at."""
        known, port = self._chance.choice(self._targets)
        how = self._chance.choice(
            (self._noise, self._refused, self._asked, self._asked, self._socket)
        )
        agent = await Agent.connect(self._reactor, port)
        with suppress(Gone, Malformed):
            await how(agent, known)
        agent.end("reset")
        await agent.gone()
        if self._chance.random() < 0.02:
            self.forget()

    def forget(self) -> None:
        """Keep no more of what arrived than what differs."""
        for request in self._provider.requests:
            self.arrived |= {value for _, value in request.fields}
        self._provider.requests.clear()
        self.arrived |= set(self._middle.heads)
        self._middle.heads.clear()
        for server in (self._provider, *self._impostors):
            server.connections[:] = [line for line in server.connections if line.open]
        self._middle.connections[:] = [
            each for each in self._middle.connections if each.open
        ]
        self._middle.far[:] = [line for line in self._middle.far if line.open]

    # What an agent does.

    async def _noise(self, agent: Agent, known: Known) -> None:
        agent.write(noise(self._chance))
        agent.end("fin")
        self._tell(await agent.read_all())

    async def _refused(self, agent: Agent, known: Known) -> None:
        method, target, fields, body = self._chance.choice(_REFUSED)
        host = self._chance.choice((b"localhost",) * 9 + (b"evil.example",))
        agent.ask(method, target, fields, body, host=host)
        await self._hear(agent)

    async def _asked(self, agent: Agent, known: Known) -> None:
        body = b'{"model":"gpt-4o","stream":true,"messages":[]}'
        agent.ask(b"POST", known.path, [JSON], body)
        await self._hear(agent)

    async def _socket(self, agent: Agent, known: Known) -> None:
        agent.ask(b"GET", known.path, HANDSHAKE)
        if await self._hear(agent) != 101:
            return
        for _ in range(self._chance.randrange(4)):
            rsv, opcode = self._chance.randrange(8), self._chance.randrange(16)
            payload = self._chance.randbytes(self._chance.choice((0, 2, 90, 200)))
            mask = self._chance.random() < 0.8
            agent.send_frame(opcode, payload, rsv=rsv, mask=mask)
        agent.send_frame(8, b"\x03", fin=False)
        self._tell(await agent.read_all(), "socket")

    async def _hear(self, agent: Agent) -> int:
        try:
            response = await agent.response()
        except Gone:
            self._tell(bytes(agent.received), "cut off")
            raise
        interim = b"".join(each.head for each in response.interim)
        self._tell(interim + response.head + response.body)
        return response.status

    def _tell(self, got: bytes, otherwise: str = "") -> None:
        self._look(got)
        head = got.partition(b"\r\n\r\n")[0]
        ours = head.lower().partition(b"x-apiproxy-error: ")[2].split(b"\r\n")[0]
        status = head[9:12] if head.startswith(b"HTTP/1.1 ") else b""
        if ours or otherwise or not status.startswith((b"1", b"2")):
            told = ours.decode() or otherwise or status.decode()
            self.failed[told or "no answer"] += 1

    # What stands between, and behind.

    async def _lead(self, line: ConnectLine) -> None:
        if self._chance.random() < 0.5:
            await tunnel()(line)
            return
        await self._chance.choice(self._ways)(line)

    def _bad_ways(self) -> list[Egress]:
        realm = [(b"Proxy-Authenticate", b"Basic realm=x")]
        squid = [(b"X-Squid-Error", b"ERR_CONNECT_FAIL 111")]
        return [
            refuse(403),
            refuse(407, realm),
            refuse(500),
            refuse(503, squid),
            refuse(504),
            drop(),
            hang_up,
            says(how=None),
            says(b"\x16\x03\x01", how=None),
            says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000),
            tunnel(early=b"HTTP/1.1 200 OK\r\n\r\n"),
            tunnel(cut=500),
            tunnel(cut=1500, how="fin"),
            *[self._astray] * 8,
        ]

    async def _astray(self, line: ConnectLine) -> None:
        """To one of the impostors."""
        await tunnel(port=self._chance.choice(self._impostors).port)(line)

    async def _answer(self, call: Call) -> None:
        await self._chance.choice(self._answers)(call)

    def _bad_answers(self) -> list[Behaviour]:
        refused = [
            closing(answer_json({"error": "no"}, each)) for each in (401, 403, 429, 500)
        ]
        large = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"
        return [
            *refused,
            closing(redirect(b"https://localhost:1/")),
            raw(how="reset"),
            raw(b"SSH-2.0\r\n", how=None),
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip"),
            raw(large),
            cut(answer_json({"a": "b"}), 10, "close"),
            cut(events(3), 40, "reset"),
            silent(),
            _false_key,
            by_hand_or(b"\x81\xff" + b"\xff" * 8, frame(TEXT, b"x", rsv=7)),
        ]


def by_hand_or(*pieces: bytes) -> Behaviour:
    """A WebSocket that says this, or an end without an answer."""

    async def behave(call: Call) -> None:
        if not call.request.upgrade:
            await call.end("fin")
            return

        async def speak(call: Call) -> None:
            for piece in pieces:
                call.write(piece)
            await call.end("reset")

        await by_hand(speak)(call)

    return behave
