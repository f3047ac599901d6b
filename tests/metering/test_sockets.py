"""One WebSocket, many responses: every one is counted, and a cap holds in the middle."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.kit.agent import SocketAgent
from tests.kit.frames import CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.kit.http import Response
from tests.kit.provider import Call, Socket, by_hand, websocket
from tests.metering.case import MeteringCase
from tests.metering.conversation import Script, Turn, events_of
from tests.squid.proxy import about

MiB = 1024 * 1024
PATH = b"/v1/responses"

TURNS = tuple(
    Turn(
        input=100 + at,
        output=10 + at,
        asked=2 * MiB if at in (7, 30) else 40,
        said=2 * MiB if at in (9, 30) else 40,
        fragment=(None, 1000, 64 * 1024, 17)[at % 4] if at not in (9, 30) else 65536,
    )
    for at in range(50)
)
STREAMS = tuple(
    Turn(input=1000 * at, output=100 * at, stream=stream)
    for at, stream in enumerate("abc", 1)
)

MANY = {
    "type": "response.create",
    "model": "gpt-4o",
    "input": "q",
    "metadata": {"input": 10, "output": 5000, "said": 40},
}
UNFINISHED = b"\x01\xff" + MiB.to_bytes(8) + b"mask" + b"x" * (MiB - 1)
TOO_LARGE = b"\x81\xff" + (1 << 40).to_bytes(8) + b"mask"


class ConversationTests(MeteringCase):
    async def converse(self, turns: Sequence[Turn], *, deflate: bool) -> None:
        """Say these turns, one after the other, on one socket; then three at once."""
        socket = await self.socket(deflate=deflate)
        self.assertEqual(socket.deflate, deflate)
        for turn in turns:
            socket.send(turn.request, fragment=turn.fragment)
            heard = await self.hear(socket)
            self.assertEqual(heard[-1]["type"], "response.completed", heard[-1])
        socket.end()
        await socket.ended()

    async def check(self, turns: Sequence[Turn]) -> None:
        """All three books say what the script says."""
        records = await self.records(len(turns))
        self.assertEqual(
            sorted((line["input_tokens"], line["output_tokens"]) for line in records),
            sorted((turn.input, turn.output) for turn in turns),
        )
        self.assertEqual({line["gap"] for line in records if "gap" in line}, set())
        self.assertEqual({line["estimated"] for line in records}, {False})
        self.assertEqual(await self.effective(), sum(turn.effective for turn in turns))
        output = await self.metric(
            "apiproxy_tokens_total", kind="output", provider="openai"
        )
        self.assertEqual(output, sum(turn.output for turn in turns))

    async def test_fifty_turns_are_fifty_records(self) -> None:
        """Compressed or not, fragmented or not, held by a rule or not, 2 MiB or 40 bytes."""
        for rule in ({}, {"AWF_MAX_EFFECTIVE_TOKENS": "100000000"}):
            for deflate, takeover in ((False, False), (True, True), (True, False)):
                with about((rule, deflate, takeover)):
                    await self.stage_metering(**rule)
                    script = Script()
                    self.provider.on(PATH, script.behaviour(takeover=takeover))
                    await self.converse(TURNS, deflate=deflate)
                    self.assertEqual(len(script.asked), 50)
                    self.assertEqual(
                        [len(asked["input"]) for asked in script.asked],
                        [turn.asked for turn in TURNS],
                    )
                    await self.check(TURNS)
                    lines = await self.records(50)
                    self.assertEqual(
                        sorted(line["turn"] for line in lines), list(range(1, 51))
                    )
                    self.assertGreater(
                        sum(line["response_bytes"] for line in lines), 1000
                    )

    async def test_parallel_streams_are_told_apart(self) -> None:
        """Their events come in any order; each record has its own stream and model."""
        for deflate in (False, True):
            for rule in ({}, {"AWF_MAX_EFFECTIVE_TOKENS": "100000000"}):
                await self.stage_metering(**rule)
                script = Script()
                then = script.in_parallel(3)
                self.provider.on(PATH, websocket(echo=False, then=then))
                socket = await self.socket(deflate=deflate)
                for turn in STREAMS:
                    socket.send(turn.request)
                await socket.until(lambda: len(socket.messages) == 12)  # noqa: B023
                await self.check(STREAMS)
                found = {
                    line["stream_id"]: line["output_tokens"]
                    for line in await self.records(3)
                }
                self.assertEqual(found, {"a": 100, "b": 200, "c": 300})
                socket.end()
                await socket.ended()


class CapTests(MeteringCase):
    async def test_a_cap_at_turn_seven_refuses_turn_eight(self) -> None:
        """In the same socket, which lives; upstream sees nothing of it, nor of later ones."""
        for deflate in (False, True):
            for fragment in (None, 10):
                with about((deflate, fragment)):
                    await self.refuse_eight(deflate=deflate, fragment=fragment)

    async def refuse_eight(self, *, deflate: bool, fragment: int | None) -> None:
        """Ten turns, of which seven fit."""
        await self.stage_metering(AWF_MAX_RUNS="7")
        script = Script()
        self.provider.on(PATH, script.behaviour())
        socket = await self.socket(deflate=deflate)
        kinds = []
        heard: list[dict[str, Any]] = []
        for number in range(10):
            turn = Turn(input=number)
            socket.send(turn.request, fragment=fragment)
            heard = await self.hear(socket)
            kinds.append(heard[-1]["type"])
            # A message that asks for nothing passes all the while, and arrives whole.
            other = {"type": "session.note", "text": f"{number}" * 50}
            socket.send(json.dumps(other), fragment=fragment)
        self.assertEqual(kinds, ["response.completed"] * 7 + ["error"] * 3)
        error = heard[-1]
        self.assertEqual(error["status"], 400)
        self.assertEqual(error["error"]["code"], "max_runs_exceeded")
        self.assertEqual(error["error"]["invocation_count"], 7)
        self.assertEqual(error["error"]["max_runs"], 7)
        await self.until(lambda: len(script.asked) == 17)
        notes = [one["text"] for one in script.asked if one["type"] == "session.note"]
        self.assertEqual(notes, [f"{number}" * 50 for number in range(10)])
        await self.records(7)
        self.assertEqual(len(self.proxy.events("max_runs_exceeded")), 3)
        self.assertEqual(
            await self.metric(
                "apiproxy_budget_refusals_total", code="max_runs_exceeded"
            ),
            3,
        )
        socket.end()
        closed = await socket.ended()
        self.assertEqual((closed.clean, closed.code), (True, 1000))
        self.assertEqual(len(self.provider.requests), 1)
        line = self.proxy.events("max_runs_exceeded")[0]
        self.assertEqual((line["invocation_count"], line["max_runs"]), (7, 7))

    async def test_a_model_that_may_not_be_used(self) -> None:
        """Is refused by the message that names it."""
        await self.stage_metering(AWF_ALLOWED_MODELS="gpt-4o*")
        script = Script()
        self.provider.on(PATH, script.behaviour())
        socket = await self.socket()
        refused = await self.say(socket, Turn(model="o3").request)
        self.assertEqual(refused[-1]["error"]["code"], "model_policy_violation")
        socket.send("this is no JSON")
        unreadable = await self.hear(socket)
        self.assertEqual(unreadable[-1]["error"]["code"], "body_unreadable")
        passed = await self.say(socket, Turn().request)
        self.assertEqual(passed[-1]["type"], "response.completed")
        self.assertEqual(len(script.asked), 1)


class ControlTests(MeteringCase):
    async def test_pings_and_closes_pass_a_message_that_is_held(self) -> None:
        """Half of it is here; the ping gets its pong and the Close its Close."""
        await self.stage_metering(AWF_MAX_RUNS="7")
        seen: list[int] = []

        async def upstream(call: Call) -> None:
            while True:
                frame = await call.frame()
                seen.append(frame.opcode)
                if frame.opcode == PING:
                    call.write(bytes((0x8A, len(frame.payload))) + frame.payload)
                elif frame.opcode == CLOSE:
                    call.write(bytes((0x88, len(frame.payload))) + frame.payload)
                    await call.end()
                    return

        self.provider.on(PATH, by_hand(upstream))
        agent = await self.agent()
        opened: Response = await agent.upgrade(PATH)
        self.assertEqual(opened.status, 101)
        text = Turn().request.encode()
        agent.send_frame(TEXT, text[:20], fin=False)
        agent.send_frame(PING, b"are you there")
        pong = await agent.frame()
        self.assertEqual((pong.opcode, pong.payload), (PONG, b"are you there"))
        agent.send_frame(CONTINUATION, text[20:40], fin=False)
        agent.send_frame(CLOSE, b"\x03\xe8")
        closed = await agent.frame()
        self.assertEqual((closed.opcode, closed.payload[:2]), (CLOSE, b"\x03\xe8"))
        self.assertEqual(seen, [PING, CLOSE])


class LeavingTests(MeteringCase):
    async def test_however_an_agent_leaves_it_costs_what_is_usual(self) -> None:
        """What was thought is told last, and an agent has several ways not to hear it."""
        await self.stage_metering(
            APIPROXY_MAX_EFFECTIVE_TOKENS="100000000",
            APIPROXY_MAX_HELD_BYTES="500000",
        )
        begun = [json.dumps(event) for event in events_of(MANY, 1)[:-1]]

        async def half(socket: Socket) -> None:
            await socket.until(lambda: bool(socket.messages))
            for event in begun:
                socket.send(event)

        self.provider.on(PATH, websocket(echo=False, then=half))
        ways: tuple[Callable[[SocketAgent], object], ...] = (
            lambda agent: agent.abort(),
            lambda agent: agent.end(),
            lambda agent: agent.sendData(TOO_LARGE),
            lambda agent: agent.sendData(UNFINISHED),
        )
        for count, leave in enumerate(ways, 1):
            agent = await self.socket()
            agent.send(json.dumps(MANY))
            await agent.until(lambda: len(agent.messages) == len(begun))  # noqa: B023
            leave(agent)
            await agent.ended()
            records = await self.records(count)
            self.assertGreater(records[-1]["output_tokens"], 1000, records[-1])
