"""Bombs: a thousand times as much as it looks, at a real process whose memory is measured."""

import gzip
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import brotli  # type: ignore[import-untyped]
from backports import zstd

from tests.kit.agent import Agent
from tests.kit.connect import ConnectProxy
from tests.kit.deflate import deflated
from tests.kit.frames import CLOSE, TEXT, frame
from tests.kit.line import Gone
from tests.kit.provider import Behaviour, Call, answer_json, counted
from tests.kit.running import Service
from tests.security.stage import PitfallCase
from tests.squid.proxy import about

MIB = 1024 * 1024
MOST_GROWTH = 32 * MIB
CHAT, RESPONSES = b"/v1/chat/completions", b"/v1/responses"

CODINGS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"gzip": lambda text: gzip.compress(text, 9),
    b"deflate": lambda text: zlib.compress(text, 9),
    b"zstd": lambda text: zstd.compress(text, 3),
    b"br": lambda text: bytes(brotli.compress(text, quality=5)),
    b"gzip, gzip": lambda text: gzip.compress(gzip.compress(text, 9), 9),
    b"zstd, br": lambda text: bytes(brotli.compress(zstd.compress(text), quality=5)),
}

SIZES = (7 * MIB // 2, 40 * MIB)
"""What nobody calls a bomb by its size alone; and what anybody does."""

RULES = {
    "AWF_MAX_EFFECTIVE_TOKENS": "1000000000000",
    "APIPROXY_HARD_CAP_AI_CREDITS": "off",
    "APIPROXY_TOOLS": "mcp=deny",
    "AWF_ALLOWED_MODELS": "gpt-4o",
    "AWF_ENABLE_TOKEN_STEERING": "true",
}
"""So that every reader of bodies and messages is at work."""

FIRST = b'{"type":"response.create","model":"gpt-4o","messages":[],"input":"x","url":1,'


def some(texts: Iterator[bytes], size: int) -> Iterator[bytes]:
    """All of these texts, or if they are large, the first of them."""
    return islice(texts, None if size < 8 * MIB else 3)


def filled(size: int, begin: bytes, piece: bytes, end: bytes) -> bytes:
    """A text of about this size."""
    return begin + piece * ((size - len(begin) - len(end)) // len(piece)) + end


def asked(size: int) -> Iterator[bytes]:
    """What is within a bomb in a request: long texts, and a million values of JSON."""
    yield bytes(size)
    yield filled(size, FIRST + b'"user":"', b"a", b'"}')
    yield filled(size, FIRST + b'"x":[', b"[],", b"0]}")
    yield filled(size, FIRST + b'"x":[', b'{"a":0},', b"0]}")
    yield filled(size, FIRST + b'"models":[', b"[],", b"0]}")
    yield filled(size, FIRST + b'"max_tokens":[', b"[],", b"0]}")
    yield FIRST + filled(size, b'"x":', b"[", b"")


USAGE = b'"usage":{"prompt_tokens":1,"completion_tokens":1},'


def answered(size: int) -> Iterator[bytes]:
    """The same for an answer, and for a message of one."""
    begin = b'{"id":"x","type":"response.created","response":{},' + USAGE
    yield bytes(size)
    yield filled(size, begin + b'"x":"', b"a", b'"}')
    yield filled(size, begin + b'"content":[', b"[],", b"0]}")
    yield filled(size, begin + b'"output":[', b'{"text":"x"},', b"{}]}")
    yield filled(size, begin + b'"content":"', b"\xff", b'"}')
    yield filled(size, b"data: ", b"a", b"\n\n")
    yield filled(size, b"", b'data: {"choices":[]}\n\n', b"")


def memory(pid: int) -> tuple[int, int]:
    """Bytes that a process has in memory, and the most it ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    rows = dict(row.split(":", 1) for row in status.splitlines())
    now, most = (int(rows[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


class BombTests(PitfallCase):
    """Memory grows by at most 32 MiB, whoever sends which of them, and whatever is read."""

    timeout = 300

    async def put_process_up(self, **environ: str) -> Service:
        """Provider, egress proxy, and apiproxy as a process that has done some work."""
        await self.stage_provider()
        self.middle = await self.started(ConnectProxy(self.reactor))
        every = self.environ() | {"HTTPS_PROXY": self.middle.url} | environ
        every["APIPROXY_LOG_LEVEL"] = "info"
        service = await self.started(Service(self.reactor, every))
        self.port = service.port("openai")
        for coding, pack in CODINGS.items():
            self.provider.default = packed(coding, pack(b'{"usage":{}}'))
            answer = await self.post(coding, pack(FIRST + b'"a":0}'))
            self.assertEqual(answer, 200)
        await self.message(deflated(FIRST + b'"a":0}'), deflated(b'{"type":"x"}'))
        return service

    async def post(self, coding: bytes, body: bytes) -> int:
        """One request, to its end; the status of its answer."""
        agent = await Agent.connect(self.reactor, self.port)
        agent.ask(b"POST", CHAT, [(b"Content-Encoding", coding)], body)
        status = (await agent.response()).status
        agent.end("reset")
        self.provider.requests.clear()
        return status

    async def answer(self, coding: bytes, body: bytes) -> None:
        """One request, and an answer to it with this body."""
        self.provider.default = packed(coding, body)
        self.assertEqual(await self.post(b"identity", FIRST + b'"a":0}'), 200)

    async def message(self, up: bytes, down: bytes) -> None:
        """One message each way on a socket of its own, until both were looked at."""
        extension = (b"Sec-WebSocket-Extensions", b"permessage-deflate")

        async def answer(call: Call) -> None:
            call.upgrade([extension], first=frame(TEXT, down, rsv=4))
            await call.line.gone()

        self.provider.on(RESPONSES, answer)
        agent = await Agent.connect(self.reactor, self.port)
        upgraded = await agent.upgrade(RESPONSES, [extension])
        self.assertEqual(upgraded.status, 101)
        agent.send_frame(TEXT, up, rsv=4)
        try:
            while (got := await agent.frame()).rsv != 4 and got.opcode != CLOSE:
                pass
        except Gone:
            pass
        agent.end("reset")
        await self.quiet()

    async def quiet(self) -> None:
        """Ask something small, so that all that came before it was worked off."""
        agent = await Agent.connect(self.reactor, self.port)
        agent.ask(b"GET", b"/health")
        await agent.response()
        agent.end("reset")
        self.provider.requests.clear()

    async def look(self, service: Service, bombs: Iterable[Awaitable[object]]) -> None:
        """See how far the process grows at most while bombs go off in it."""
        assert service._process is not None
        pid = service._process.pid
        before, _ = memory(pid)
        for bomb in bombs:
            await bomb
        await self.quiet()
        _, most = memory(pid)
        self.assertLess(most - before, MOST_GROWTH)
        self.assertIsNone(service.code)

    async def test_in_requests(self) -> None:
        """With every rule there is, and without any."""
        for rules in (RULES, {}):
            service = await self.put_process_up(**rules)
            self.provider.default = answer_json({"usage": {}})
            for coding, pack in CODINGS.items():
                for size in SIZES:
                    bodies = (pack(text) for text in some(asked(size), size))
                    with about((rules, coding, size)):
                        await self.look(
                            service, (self.post(coding, body) for body in bodies)
                        )

    async def test_in_answers(self) -> None:
        """They reach the agent as they are, and the copy that is metered stays small."""
        service = await self.put_process_up(**RULES)
        for coding, pack in CODINGS.items():
            for size in SIZES:
                bodies = (pack(text) for text in some(answered(size), size))
                with about((coding, size)):
                    await self.look(
                        service, (self.answer(coding, body) for body in bodies)
                    )

    async def test_in_messages(self) -> None:
        """Of a WebSocket, from either side."""
        for rules in (RULES, {}):
            service = await self.put_process_up(**rules)
            for size in SIZES:
                ups = map(deflated, some(asked(size), size))
                downs = map(deflated, some(answered(size), size))
                with about((rules, size)):
                    await self.look(service, map(self.message, ups, downs))


def packed(coding: bytes, body: bytes) -> Behaviour:
    """An answer with a body that has this coding."""
    kind = (b"Content-Type", b"application/json")
    return counted(body, 200, [(b"Content-Encoding", coding), kind])
