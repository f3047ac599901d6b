"""A stream that crosses the cap ends there, in words that its client understands."""

import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.clients.case import ClientCase
from tests.kit.frames import CLOSE, TEXT, frame
from tests.kit.http import Response, chunk
from tests.kit.provider import Behaviour, Call, by_hand, counted
from tests.metering.case import CHAT, RESPONSES, MeteringCase
from tests.metering.conversation import Turn, events_of
from tests.metering.streams import (
    SSE,
    STREAM_CHAT,
    chat_stream,
    gemini_stream,
    messages_stream,
    responses_stream,
)
from tests.squid.proxy import OPENAI, PLACEHOLDER, PROVIDERS, Known, about

WORD = "w" * 100
CAP = {"AWF_MAX_EFFECTIVE_TOKENS": "4000"}
ANTHROPIC = next(known for known in PROVIDERS if known.name == "anthropic")
GEMINI = next(known for known in PROVIDERS if known.name == "gemini")
MESSAGES = b"/v1/messages"
STREAM = b"/v1beta/models/gemini-2.5-pro:streamGenerateContent"


def endless(
    told: Sequence[bytes], fields: Sequence[tuple[bytes, bytes]] = ()
) -> Behaviour:
    """A stream that says its third event for ever, in chunks that end in mid-event."""

    async def behave(call: Call) -> None:
        await call.body()
        call.start(200, [SSE, *fields, (b"Transfer-Encoding", b"chunked")])
        word = told[2]
        await call.send(chunk(b"".join(told[:2]) + word[:30]))
        while True:
            await call.send(chunk(word[30:] + word + word[:30]))
            await call.line.sleep(0)

    return behave


def asked(model: str, **more: object) -> dict[str, Any]:
    """A request for a stream of any length."""
    return {"model": model, "stream": True, "max_tokens": 100_000, **more}


Case = tuple[Known, bytes, dict[str, Any], list[bytes], Callable[[bytes], object]]

CASES: Sequence[Case] = (
    (
        OPENAI,
        CHAT,
        STREAM_CHAT,
        chat_stream([WORD] * 3),
        lambda last: json.loads(last.partition(b"data: ")[2])["error"]["code"],
    ),
    (
        OPENAI,
        RESPONSES,
        asked("gpt-4o", input="hello", max_output_tokens=100_000),
        responses_stream([WORD] * 3),
        lambda last: json.loads(last.partition(b"data: ")[2])["error"]["code"],
    ),
    (
        ANTHROPIC,
        MESSAGES,
        asked("claude-sonnet-4-5", messages=[]),
        messages_stream([WORD] * 3),
        lambda last: json.loads(last.partition(b"data: ")[2])["error"]["code"],
    ),
    (
        GEMINI,
        STREAM + b"?alt=sse",
        {"contents": []},
        gemini_stream([WORD] * 3),
        lambda last: json.loads(last.partition(b"data: ")[2])["error"]["details"][0][
            "reason"
        ].lower(),
    ),
)
LIMIT = "effective_tokens_limit_exceeded"


class CutTests(MeteringCase):
    async def cut(self, case: Case) -> Response:
        """The answer to a request whose stream would have no end."""
        known, path, request, told, _ = case
        self.provider.on(path.partition(b"?")[0], endless(told))
        return await self.post(request, path, known)

    async def test_every_dialect_ends_with_its_own_error(self) -> None:
        """Between two events; the provider's connection is closed, the cost is written."""
        for case in CASES:
            with about(case[1]):
                await self.stage_metering(**CAP)
                answer = await self.cut(case)
                self.assertEqual(answer.status, 200)
                body = bytes(answer.body).replace(b"\r\n", b"\n")
                events = body.removesuffix(b"\n\n").split(b"\n\n")
                if events[-1] == b"data: [DONE]":
                    del events[-1]
                self.assertEqual(case[4](events[-1]), LIMIT, events[-1])
                for event in events:
                    for line in event.split(b"\n"):
                        if line.startswith(b"data: "):
                            json.loads(line[6:])
                outcome = await self.provider_hung_up()
                self.assertEqual(outcome["error"], LIMIT)
                (record,) = await self.records(1)
                self.assertEqual(record["gap"], LIMIT)
                self.assertTrue(record["estimated"])
                self.assertGreaterEqual(await self.effective(), 4000)
                again = await self.post(case[2], case[1], case[0])
                self.assertEqual(again.status, 400)
                self.assertEqual(case[0].error(again)[0], LIMIT)

    async def provider_hung_up(self) -> dict[str, Any]:
        """The outcome; the connection to the provider is gone by then."""
        line = await self.outcome()
        await self.provider.connections[-1].gone()
        return line

    async def test_switched_off_nothing_is_cut(self) -> None:
        """The response that crosses the cap is whole; the next one is refused."""
        await self.stage_metering(**CAP, APIPROXY_CUT_OFF="off")
        told = chat_stream([WORD] * 300, output=6000)
        body = b"".join(told)

        async def behave(call: Call) -> None:
            call.start(200, [SSE, (b"Transfer-Encoding", b"chunked")])
            await call.send(chunk(body) + b"0\r\n\r\n")

        self.provider.on(CHAT, behave)
        answer = await self.post(STREAM_CHAT)
        self.assertEqual(bytes(answer.body), body)
        self.assertEqual((await self.post(STREAM_CHAT)).status, 400)

    async def test_a_document_is_not_cut(self) -> None:
        """It has cost all that it will before it is here; so it comes whole."""
        await self.stage_metering(**CAP)
        document = {
            "model": "gpt-4o",
            "choices": [{"message": {"content": WORD * 1000}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 25_000},
        }
        body = json.dumps(document, indent=1).replace("\n", "\n\n").encode()
        fields = [(b"Content-Type", b"application/json")]
        self.provider.on(CHAT, counted(body, 200, fields, pieces=20_000))
        request = {**STREAM_CHAT, "stream": False}
        answer = await self.post(request)
        self.assertEqual(bytes(answer.body), body)
        self.assertEqual((await self.post(request)).status, 400)

    async def test_what_cannot_be_ended_is_aborted(self) -> None:
        """A stream with an encoding, or with a length: there is no place for our words."""
        told = chat_stream([WORD] * 2000)

        async def packed(call: Call) -> None:
            await call.body()
            call.start(
                200,
                [
                    SSE,
                    (b"Content-Encoding", b"gzip"),
                    (b"Transfer-Encoding", b"chunked"),
                ],
            )
            while True:
                await call.send(chunk(gzip.compress(b"".join(told[:40]))))
                await call.line.sleep(0)

        async def with_length(call: Call) -> None:
            await call.body()
            call.start(200, [SSE, (b"Content-Length", b"100000000")])
            while True:
                await call.send(b"".join(told[:10]))
                await call.line.sleep(0)

        for behave in (packed, with_length):
            with about(behave.__name__):
                await self.stage_metering(**CAP)
                self.provider.on(CHAT, behave)
                agent = await self.agent()
                body = json.dumps(STREAM_CHAT).encode()
                kind = (b"Content-Type", b"application/json")
                agent.ask(b"POST", CHAT, [kind], body)
                await agent.gone()
                self.assertEqual((await self.provider_hung_up())["error"], LIMIT)
                self.assertNotIn(b"\r\n0\r\n\r\n", bytes(agent.received))

    async def test_a_websocket(self) -> None:
        """Gets the error event, between two messages, and a Close."""
        await self.stage_metering(**CAP)

        async def upstream(call: Call) -> None:
            request = json.loads((await call.frame()).payload)
            created, delta, *_ = events_of(request, 1)
            delta["delta"] = WORD
            text = json.dumps(delta).encode()
            call.write(frame(TEXT, json.dumps(created).encode()))
            call.write(frame(TEXT, text)[:50])
            while True:
                await call.send(frame(TEXT, text)[50:] + frame(TEXT, text)[:50])
                await call.line.sleep(0)

        self.provider.on(RESPONSES, by_hand(upstream))
        agent = await self.agent()
        opened = await agent.upgrade(RESPONSES)
        self.assertEqual(opened.status, 101)
        agent.send_frame(TEXT, Turn(output=100_000).request.encode())
        frames = [await agent.frame()]
        while frames[-1].opcode != CLOSE:
            frames.append(await agent.frame())
        self.assertEqual(int.from_bytes(frames[-1].payload[:2]), 1008)
        told = [json.loads(each.payload) for each in frames[:-1]]
        self.assertEqual(told[-1]["type"], "error")
        self.assertEqual(told[-1]["error"]["code"], LIMIT)
        self.assertEqual((await self.provider_hung_up())["error"], LIMIT)
        (record,) = await self.records(1)
        self.assertEqual((record["gap"], record["estimated"]), (LIMIT, True))


class SdkTests(ClientCase):
    async def test_the_sdks_raise(self) -> None:
        """They never take a part of an answer for all of it, and do not try again."""
        for known, path, module, turn in (
            (OPENAI, CHAT, "openai_turns", "cut_chat"),
            (OPENAI, RESPONSES, "openai_turns", "cut_responses"),
            (ANTHROPIC, MESSAGES, "anthropic_turns", "cut"),
        ):
            with about(turn):
                await self.stage(CAP)
                told = next(case[3] for case in CASES if case[1] == path)
                self.provider.on(path, endless(told))
                url = self.url(known, "/v1" if known is OPENAI else "")
                raised = await self.tell(module, turn, url, PLACEHOLDER)
                if turn != "cut":
                    seen, raised = raised
                    self.assertTrue(seen)
                self.assertIsNotNone(raised)
                self.assertIn("Maximum effective tokens", raised["message"])
                self.isolated(known, 1)
