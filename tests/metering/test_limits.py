"""Limits and guards: how often, how many at once, which models; refused, logged, counted."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

from tests.kit.agent import Refused
from tests.kit.http import Response, chunk
from tests.kit.line import Gate
from tests.kit.provider import answer_json, counted, held
from tests.metering.case import CHAT, RESPONSES, MeteringCase
from tests.metering.conversation import Script, Turn
from tests.metering.test_concurrency import chat
from tests.squid.proxy import OPENAI, PROVIDERS, Known, about

RATES = {"AWF_RATE_LIMIT_ENABLED": "true"}
GEMINI = next(known for known in PROVIDERS if known.name == "gemini")
REQUEST = {"model": "gpt-4o", "max_tokens": 100, "messages": []}
JSON = (b"Content-Type", b"application/json")


class LimitCase(MeteringCase):
    def error(self, response: Response, known: Known = OPENAI) -> str:
        """The code of an error."""
        return known.error(response)[0]

    def refusal(self, event: str) -> dict[str, Any]:
        """The only line of this event, without its time."""
        (line,) = self.proxy.events(event)
        self.assertEqual(line["level"], "warning")
        self.assertTrue(line["request_id"])
        return line

    async def refusals(self, code: str) -> float:
        """How often this was counted."""
        return await self.metric("apiproxy_budget_refusals_total", code=code)


class RateTests(LimitCase):
    def limited(self, response: Response, kind: str, limit: int) -> None:
        """It was refused by this limit; the figures are in the answer and in the log."""
        self.assertEqual(response.status, 429)
        error = json.loads(bytes(response.body))["error"]
        self.assertEqual(error["type"], "rate_limit_error")
        self.assertEqual((error["limit"], error["provider"]), (limit, "openai"))
        self.assertEqual(response.get(b"retry-after"), b"%d" % error["retry_after"])
        self.assertEqual(response.get(b"x-ratelimit-limit"), b"%d" % limit)
        line = self.proxy.events("rate_limited")[-1]
        self.assertEqual((line["limit_type"], line["limit"]), (kind, limit))
        self.assertEqual(line["retry_after"], error["retry_after"])

    async def rejected(self, kind: str) -> float:
        """How often this limit has refused."""
        return await self.metric("apiproxy_rate_limit_rejected_total", limit_type=kind)

    async def test_requests_in_a_minute_and_an_hour(self) -> None:
        """Any request counts; one provider does not use up what another may have."""
        for kind, name in (
            ("rpm", "AWF_RATE_LIMIT_RPM"),
            ("rph", "AWF_RATE_LIMIT_RPH"),
        ):
            with about(kind):
                await self.stage_metering(**RATES, **{name: "2"})
                for path in (b"/v1/models", CHAT):
                    answer = await self.ask(OPENAI, b"GET", path)
                    self.assertEqual(answer.status, 200)
                self.limited(await self.post(REQUEST), kind, 2)
                self.assertEqual(len(self.provider.requests), 2)
                self.assertEqual(await self.rejected(kind), 1)
                other = await self.ask(GEMINI, b"GET", b"/v1beta/models")
                self.assertEqual(other.status, 200)
                health = await self.get_json(b"/health")
                self.assertEqual(health["rate_limits"]["openai"][kind]["remaining"], 0)

    async def test_upgrades_and_messages_count(self) -> None:
        """The socket lives on; a message that asks for nothing is none."""
        await self.stage_metering(**RATES, AWF_RATE_LIMIT_RPM="3")
        script = Script()
        self.provider.on(RESPONSES, script.behaviour())
        socket = await self.socket()
        socket.send(json.dumps({"type": "session.note"}))
        for _ in range(2):
            heard = await self.say(socket, Turn().request)
            self.assertEqual(heard[-1]["type"], "response.completed")
        heard = await self.say(socket, Turn().request)
        self.assertEqual(heard[-1]["error"]["code"], "rate_limited")
        self.assertEqual(heard[-1]["status"], 429)
        with self.assertRaises(Refused) as raised:
            await self.socket()
        self.assertEqual(raised.exception.status, 429)
        self.assertEqual(await self.rejected("rpm"), 2)
        self.assertEqual(len(self.provider.requests), 1)
        socket.send(json.dumps({"type": "session.note"}))
        await self.until(lambda: len(script.asked) == 4)

    async def test_bytes_with_a_length(self) -> None:
        """Are refused before any of them leaves."""
        await self.stage_metering(**RATES, AWF_RATE_LIMIT_BYTES_PM="10000")
        self.provider.on(CHAT, counted(b"{}"))
        self.assertEqual((await self.post(b"x" * 9000)).status, 200)
        self.limited(await self.post(b"x" * 2000), "bytes_pm", 10_000)
        never = await self.post(b"x" * 20_000)
        self.assertEqual((never.status, self.error(never)), (413, "body_too_large"))

    async def test_bytes_in_chunks(self) -> None:
        """Count as they come, whether a rule holds the body or not."""
        for rule in ({}, {"AWF_MAX_RUNS": "100"}):
            with about(rule):
                await self.stage_metering(
                    **RATES, AWF_RATE_LIMIT_BYTES_PM="10000", **rule
                )
                self.provider.on(CHAT, answer_json(chat()))
                agent = await self.agent()
                chunks = (b"Transfer-Encoding", b"chunked")
                agent.ask(b"POST", CHAT, [JSON, chunks])
                body = json.dumps({**REQUEST, "user": "u" * 11_000}).encode()
                agent.write(chunk(body) + b"0\r\n\r\n")
                self.assertEqual((await agent.response()).status, 200)
                self.limited(await self.post(REQUEST), "bytes_pm", 10_000)

    async def test_bytes_of_a_socket(self) -> None:
        """Count as they come."""
        await self.stage_metering(**RATES, AWF_RATE_LIMIT_BYTES_PM="10000")
        script = Script()
        self.provider.on(RESPONSES, script.behaviour())
        socket = await self.socket()
        await self.say(socket, Turn(asked=11_000).request)
        await self.turn(0.3)
        heard = await self.say(socket, Turn().request)
        self.assertEqual(heard[-1]["error"]["code"], "rate_limited")
        self.limited(await self.post(REQUEST), "bytes_pm", 10_000)

    async def test_switched_off(self) -> None:
        """Nothing is limited, whatever the figures are."""
        await self.stage_metering(AWF_RATE_LIMIT_RPM="1")
        for _ in range(3):
            self.assertEqual((await self.post(REQUEST)).status, 200)


class QueueTests(LimitCase):
    async def test_who_waits_too_long_is_told(self) -> None:
        """One is carried, one waits and gives up; a place that comes free is taken."""
        await self.stage_metering(
            APIPROXY_MAX_CONCURRENT="1", APIPROXY_QUEUE_SECONDS="0.2"
        )
        gate = Gate()
        self.provider.on(CHAT, held(gate, answer_json(chat())), answer_json(chat()))
        first = await self.agent()
        first.ask(b"POST", CHAT, [JSON], json.dumps(REQUEST).encode())
        await self.provider.asked()
        late = await self.post(REQUEST)
        self.assertEqual((late.status, self.error(late)), (503, "queue_timeout"))
        self.refusal("queue_timeout")
        self.assertEqual(await self.refusals("queue_timeout"), 1)
        gate.open()
        self.assertEqual((await first.response()).status, 200)
        self.assertEqual((await self.post(REQUEST)).status, 200)

    async def test_who_waits_is_served_in_turn(self) -> None:
        """And an agent that leaves takes nobody's place."""
        await self.stage_metering(APIPROXY_MAX_CONCURRENT="1")
        gate = Gate()
        self.provider.on(CHAT, held(gate, answer_json(chat())), answer_json(chat()))
        agents = [await self.agent() for _ in range(4)]
        for count, agent in enumerate(agents):
            agent.ask(b"POST", CHAT, [JSON], json.dumps(REQUEST).encode())
            await self.until(lambda: self.proxy.proxy.census.live > count)  # noqa: B023
        agents[1].end("reset")
        await agents[1].gone()
        await self.until(lambda: self.proxy.proxy.census.live == 3)
        gate.open()
        for agent in (agents[0], agents[2], agents[3]):
            self.assertEqual((await agent.response()).status, 200)
        self.assertEqual(len(self.provider.requests), 3)

    async def test_no_room_to_wait(self) -> None:
        """Is said at once."""
        await self.stage_metering(APIPROXY_MAX_CONCURRENT="1", APIPROXY_MAX_WAITING="0")
        gate = Gate()
        self.provider.on(CHAT, held(gate, answer_json(chat())))
        first = await self.agent()
        first.ask(b"POST", CHAT, [JSON], json.dumps(REQUEST).encode())
        await self.provider.asked()
        refused = await self.post(REQUEST)
        self.assertEqual(
            (refused.status, self.error(refused)), (503, "too_many_exchanges")
        )
        gate.open()
        self.assertEqual((await first.response()).status, 200)


class ModelTests(LimitCase):
    async def test_where_a_model_may_be_named(self) -> None:
        """In a body, plain or compressed, or in a path; nothing of it goes upstream."""
        plain = json.dumps({**REQUEST, "model": "o3"}).encode()
        packed = (gzip.compress(plain), ((b"Content-Encoding", b"gzip"),))
        gemini = b"/v1beta/models/gemini-1.0-pro:generateContent"
        for rule in ({"AWF_DISALLOWED_MODELS": "o3,gemini-1*"}, _ALLOWED):
            await self.stage_metering(**rule)
            for body, path, known, fields in (
                (plain, CHAT, OPENAI, ()),
                (packed[0], CHAT, OPENAI, packed[1]),
                (b'{"contents":[]}', gemini, GEMINI, ()),
            ):
                with about((rule, path, fields)):
                    refused = await self.post(body, path, known, fields)
                    self.assertEqual(refused.status, 400)
                    code = self.error(refused, known)
                    self.assertEqual(code, "model_policy_violation")
            self.assertEqual(self.provider.requests, [])
            line = self.proxy.events("model_policy_violation")[0]
            self.assertEqual(line["model"], "o3")
            self.assertIn(line["reason"], ("disallowed", "not_allowed"))
            self.assertEqual(await self.refusals("model_policy_violation"), 3)
            self.provider.on(CHAT, answer_json(chat()))
            self.assertEqual((await self.post(REQUEST)).status, 200)

    async def test_what_cannot_be_read_does_not_pass(self) -> None:
        """Where there is a rule about models."""
        await self.stage_metering(**_ALLOWED)
        bodies: Mapping[str, bytes] = {
            "no JSON": b"model=o3",
            "no model": b"{}",
        }
        for name, body in bodies.items():
            with about(name):
                refused = await self.post(body)
                self.assertEqual(refused.status, 400)
                self.assertEqual(self.error(refused), "body_unreadable")
        self.assertEqual(self.provider.requests, [])
        self.assertEqual(len(self.proxy.events("body_unreadable")), len(bodies))

    async def test_a_model_in_the_query_of_a_socket(self) -> None:
        """Holds for the messages on it that name none."""
        await self.stage_metering(**_ALLOWED)
        script = Script()
        self.provider.on(b"/v1/realtime", script.behaviour())
        socket = await self.socket(path="/v1/realtime?model=gpt-realtime")
        heard = await self.say(socket, '{"type":"response.create"}')
        self.assertEqual(heard[-1]["error"]["code"], "model_policy_violation")
        self.assertEqual(script.asked, [])

    async def test_a_retired_model(self) -> None:
        """Is refused, with the one to use instead."""
        await self.stage_metering(AWF_MAX_RUNS="9")
        refused = await self.post({**REQUEST, "model": "gpt-5-codex"})
        self.assertEqual((refused.status, self.error(refused)), (400, "retired_model"))
        error = json.loads(bytes(refused.body))["error"]
        self.assertEqual(error["suggestion"], "gpt-5.3-codex")
        self.assertEqual(self.refusal("retired_model")["suggestion"], "gpt-5.3-codex")

    async def test_a_model_that_counts_too_much(self) -> None:
        """Is refused with both figures."""
        await self.stage_metering(
            AWF_MAX_MODEL_MULTIPLIER="2",
            AWF_EFFECTIVE_TOKEN_MODEL_MULTIPLIERS="gpt-4o=5",
        )
        refused = await self.post(REQUEST)
        error = json.loads(bytes(refused.body))["error"]
        self.assertEqual(error["code"], "model_multiplier_cap_exceeded")
        line = self.refusal("model_multiplier_cap_exceeded")
        for told in (error, line):
            self.assertEqual(told["model_multiplier"], 5)
            self.assertEqual(told["max_model_multiplier"], 2)

    async def test_a_price_nobody_knows(self) -> None:
        """Is refused where there is a budget of money; unless something else is set."""
        request = {**REQUEST, "model": "nobody-knows-1"}
        for more, status in (
            ({}, 400),
            ({"APIPROXY_UNKNOWN_MODELS": "free"}, 200),
            ({"AWF_DEFAULT_AI_CREDITS_PRICING": '{"input":1,"output":2}'}, 200),
        ):
            with about(more):
                await self.stage_metering(AWF_MAX_AI_CREDITS="100", **more)
                self.provider.on(
                    CHAT, answer_json({**chat(), "model": "nobody-knows-1"})
                )
                answer = await self.post(request)
                self.assertEqual(answer.status, status)
                if status == 400:
                    self.assertEqual(self.error(answer), "unknown_model_ai_credits")
                    self.refusal("unknown_model_ai_credits")


_ALLOWED = {"AWF_ALLOWED_MODELS": '["gpt-4o*","gemini-2*"]'}


class BudgetTests(LimitCase):
    async def test_denials_are_counted(self) -> None:
        """After so many 401 and 403 of a provider nothing more is sent."""
        await self.stage_metering(AWF_MAX_PERMISSION_DENIED="2")
        self.provider.on(CHAT, answer_json({"error": {"message": "no"}}, 401))
        statuses = [(await self.post(REQUEST)).status for _ in range(4)]
        self.assertEqual(statuses, [401, 401, 400, 400])
        lines = self.proxy.events("permission_denied_limit_exceeded")
        self.assertEqual(
            [(line["denied_count"], line["max_permission_denied"]) for line in lines],
            [(2, 2)] * 2,
        )

    async def test_what_a_refusal_tells(self) -> None:
        """The figures are in the body, in the log and in the metrics."""
        for rule, code, figures in (
            (
                "AWF_MAX_RUNS",
                "max_runs_exceeded",
                {"invocation_count": 1, "max_runs": 1},
            ),
            (
                "AWF_MAX_EFFECTIVE_TOKENS",
                "effective_tokens_limit_exceeded",
                {"total_effective_tokens": 410, "max_effective_tokens": 1},
            ),
            (
                "AWF_MAX_AI_CREDITS",
                "ai_credits_limit_exceeded",
                {"total_ai_credits": 0.1025, "max_ai_credits": 0.1, "hard_cap": False},
            ),
        ):
            with about(rule):
                most = "0.1" if "CREDITS" in rule else "1"
                await self.stage_metering(**{rule: most})
                self.provider.on(CHAT, answer_json(chat()))
                self.assertEqual((await self.post(REQUEST)).status, 200)
                refused = await self.post(REQUEST)
                self.assertEqual(refused.status, 400)
                self.assertEqual(refused.get(b"x-should-retry"), b"false")
                error = json.loads(bytes(refused.body))["error"]
                line = self.refusal(code)
                for told in (error, line):
                    self.assertEqual({key: told[key] for key in figures}, figures)
                self.assertEqual(error["type"], code)
                self.assertEqual(await self.refusals(code), 1)
