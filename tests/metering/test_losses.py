"""The ways in which usage gets lost: it is metered right, or it is said what is missing.

"Right" is the same in all of them: the record has what the provider told. Where it could not
tell, the record is an estimate with a reason, and the reason is a metric.
"""

import gzip
import json
import sys
import zlib
from typing import Any

import brotli  # type: ignore[import-untyped]

from tests.kit.frames import CLOSE, CONTINUATION, TEXT, frame
from tests.kit.line import Gate
from tests.kit.provider import Call, by_hand, chunked, counted, cut, held
from tests.metering.case import CHAT, RESPONSES, MeteringCase
from tests.metering.conversation import Turn, events_of
from tests.metering.streams import (
    SSE,
    STREAM_CHAT,
    chat_stream,
    gemini_parts,
    streamed,
)
from tests.squid.proxy import PROVIDERS, about

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GEMINI = next(known for known in PROVIDERS if known.name == "gemini")
WORDS = tuple(f"word {at} " for at in range(20))
KINDS = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"zstd": zstd.compress,
    b"br": brotli.compress,
}
JSON = (b"Content-Type", b"application/json")


class LossCase(MeteringCase):
    async def metered(self) -> None:
        """One response, with just what the provider told."""
        (line,) = await self.records(1)
        self.assertEqual((line["input_tokens"], line["output_tokens"]), (10, 5))
        self.assertFalse(line["estimated"])
        self.assertNotIn("gap", line)
        self.assertEqual(await self.effective(), 30)
        metered = await self.metric("apiproxy_responses_total", metering="metered")
        self.assertEqual(metered, 1)
        self.assertEqual(await self.metric("apiproxy_gaps_total"), 0)

    async def estimated(self, *gaps: str) -> dict[str, Any]:
        """One response that was not metered whole, for this reason."""
        (line,) = await self.records(1)
        self.assertIn(line.get("gap"), gaps)
        self.assertTrue(line["estimated"], line)
        self.assertGreater(await self.effective(), 0)
        estimated = await self.metric("apiproxy_responses_total", metering="estimated")
        self.assertEqual(estimated, 1)
        gap = await self.metric("apiproxy_gaps_total", gap=line["gap"])
        self.assertEqual(gap, 1)
        return line


class LossTests(LossCase):
    async def begun(self) -> Gate:
        """A stream of which the agent has got the first event; the gate lets more go."""
        gate = Gate()
        self.provider.on(CHAT, streamed(chat_stream(WORDS), gate=gate))
        agent = await self.agent()
        agent.ask(
            b"POST",
            CHAT,
            [JSON],
            json.dumps({**STREAM_CHAT, "max_tokens": 50}).encode(),
        )
        await agent.read_until(b"word 0 ")
        self.first = agent
        return gate

    async def test_the_agent_leaves(self) -> None:
        """What it has got by then is estimated."""
        await self.stage_metering()
        await self.begun()
        self.first.end("reset")
        line = await self.estimated("agent_gone")
        self.assertEqual(line["state"], "cut")

    async def test_the_agent_leaves_before_the_answer(self) -> None:
        """The provider works on; the prompt has been read at least."""
        await self.stage_metering()
        self.provider.on(CHAT, held(Gate(), counted(b"")))
        agent = await self.agent()
        agent.ask(b"POST", CHAT, [JSON], json.dumps(STREAM_CHAT).encode())
        await self.provider.asked()
        agent.end("reset")
        await self.estimated("agent_gone")

    async def test_the_agent_leaves_a_socket(self) -> None:
        """With a response under way."""
        for orderly in (True, False):
            with about(orderly):
                await self.stage_metering()

                async def upstream(call: Call) -> None:
                    asked = json.loads((await call.frame()).payload)
                    for event in events_of(asked, 1)[:2]:
                        call.write(frame(TEXT, json.dumps(event).encode()))
                    closed = await call.frame()
                    call.write(frame(CLOSE, closed.payload))
                    await call.end()

                self.provider.on(RESPONSES, by_hand(upstream))
                socket = await self.socket()
                socket.send(Turn().request)
                await socket.until(lambda: len(socket.messages) == 2)  # noqa: B023
                if orderly:
                    socket.end()
                else:
                    socket.abort()
                await self.estimated("agent_gone")

    async def test_compressed_answers(self) -> None:
        """All four encodings, as documents and as streams."""
        document = json.dumps(
            {
                "id": "c",
                "model": "gpt-4o",
                "choices": [],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5},
            }
        ).encode()
        stream = b"".join(chat_stream(WORDS))
        for name, compress in KINDS.items():
            fields = [(b"Content-Encoding", name)]
            packed = compress(stream)
            pieces = [packed[at : at + 7] for at in range(0, len(packed), 7)]
            for answer in (
                counted(compress(document), 200, [JSON, *fields]),
                chunked(pieces, 200, [SSE, *fields]),
            ):
                with about(name):
                    await self.stage_metering()
                    self.provider.on(CHAT, answer)
                    answered = await self.post(STREAM_CHAT)
                    self.assertEqual(answered.status, 200)
                    await self.metered()

    async def test_an_encoding_nobody_knows(self) -> None:
        """Is an estimate."""
        await self.stage_metering()
        answer = counted(b"?" * 1000, 200, [JSON, (b"Content-Encoding", b"lzw")])
        self.provider.on(CHAT, answer)
        await self.post(STREAM_CHAT)
        await self.estimated("content_encoding", "unknown_encoding")

    async def test_the_provider_breaks_off(self) -> None:
        """In the middle of a stream."""
        for how in ("reset", "fin"):
            with about(how):
                await self.stage_metering()
                gate = Gate()
                broken = cut(
                    streamed(chat_stream(WORDS)),
                    900,
                    how,
                    gate=gate,
                )
                self.provider.on(CHAT, broken)
                agent = await self.agent()
                body = json.dumps(STREAM_CHAT).encode()
                agent.ask(b"POST", CHAT, [JSON], body)
                await agent.read_until(b"word 1 ")
                gate.open()
                line = await self.estimated("upstream_reset", "upstream_malformed")
                self.assertEqual(line["state"], "cut")

    async def test_we_shut_down(self) -> None:
        """In the middle of a stream; it is in the log when the process has ended."""
        await self.stage_metering()
        await self.begun()
        await self.proxy.stop()
        text = (self.folder / "token-usage.jsonl").read_text()
        (line,) = [json.loads(each) for each in text.splitlines()]
        self.assertEqual((line["gap"], line["estimated"]), ("shutdown", True))
        tally = self.proxy.proxy.counters.tally("openai").usage
        self.assertEqual(tally.gaps, {"shutdown": 1})

    async def test_an_answer_over_five_megabytes(self) -> None:
        """As a document and as a stream."""
        large = "w" * (6 * 1024 * 1024)
        document = json.dumps(
            {
                "id": "c",
                "model": "gpt-4o",
                "choices": [{"message": {"content": large}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5},
            }
        ).encode()
        for answer in (
            counted(document, 200, [JSON]),
            streamed(chat_stream([large[: 1 << 20]] * 6)),
            streamed(chat_stream([large])),
        ):
            await self.stage_metering()
            self.provider.on(CHAT, answer)
            await self.post(STREAM_CHAT)
            await self.metered()

    async def test_a_stream_without_include_usage(self) -> None:
        """Where nothing may be changed it is an estimate, and says why."""
        await self.stage_metering(APIPROXY_INCLUDE_USAGE="off")
        self.provider.on(CHAT, streamed(chat_stream(WORDS, usage=False)))
        asked = {**STREAM_CHAT}
        del asked["stream_options"]
        await self.post(asked)
        await self.estimated("no_usage")

    async def test_fragmented_frames(self) -> None:
        """Messages of a WebSocket in many frames, with a ping between."""
        await self.stage_metering()

        async def upstream(call: Call) -> None:
            asked = json.loads((await call.frame()).payload)
            for event in events_of(asked, 1):
                text = json.dumps(event).encode()
                pieces = [text[at : at + 11] for at in range(0, len(text), 11)]
                for at, piece in enumerate(pieces):
                    opcode = CONTINUATION if at else TEXT
                    last = at == len(pieces) - 1
                    call.write(frame(opcode, piece, fin=last))
                    call.write(frame(9, b"still there"))

        self.provider.on(RESPONSES, by_hand(upstream))
        socket = await self.socket()
        await self.say(socket, Turn().request)
        await self.metered()
        socket.end()

    async def test_events_of_many_data_lines(self) -> None:
        """And with every kind of line end."""
        for end in (b"\n", b"\r\n", b"\r"):
            with about(end):
                await self.stage_metering()
                told = []
                for event in chat_stream(WORDS):
                    lines = event.strip().replace(b", ", b",\ndata: ")
                    told.append(lines.replace(b"\n", end) + end * 2)
                self.provider.on(CHAT, streamed(told))
                await self.post(STREAM_CHAT)
                await self.metered()

    async def test_a_stream_that_is_an_array(self) -> None:
        """Gemini without ``alt=sse``."""
        await self.stage_metering()
        text = json.dumps(gemini_parts(WORDS), indent=1).encode()
        pieces = [text[at : at + 100] for at in range(0, len(text), 100)]
        path = b"/v1beta/models/gemini-2.5-pro:streamGenerateContent"
        self.provider.on(path, chunked(pieces, 200, [JSON]))
        await self.post({"contents": []}, path, GEMINI)
        await self.metered()
