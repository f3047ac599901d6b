"""Forty agents at once, on every ledger: a cap is overrun by one response at most."""

import json
from pathlib import Path
from typing import Any

from tests.kit.line import Gate
from tests.kit.provider import answer_json, held
from tests.kit.redis import Redis, redis_missing
from tests.metering.case import CHAT, MeteringCase
from tests.squid.proxy import about

REQUEST = {"model": "gpt-4o", "max_tokens": 100, "messages": []}
EACH = 10 + 4 * 100
"""Effective tokens of a response."""

CREDITS = (10 * 2.5 + 100 * 10) / 1e6 * 100
"""AI credits of a response, at the price of gpt-4o."""


def chat() -> dict[str, object]:
    """A chat completion."""
    usage = {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110}
    message = {"role": "assistant", "content": "hello"}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "c", "model": "gpt-4o", "choices": [choice], "usage": usage}


CAPS = (
    ({"AWF_MAX_RUNS": "5"}, "runs", "invocation_count", 5, 1),
    (
        {"AWF_MAX_EFFECTIVE_TOKENS": "2000"},
        "effective_tokens",
        "total_effective_tokens",
        2000,
        EACH,
    ),
    ({"AWF_MAX_AI_CREDITS": "0.5"}, "ai_credits", "total", 0.5, CREDITS),
)


class LedgerCase(MeteringCase):
    async def redis(self) -> Redis:
        """A running Redis."""
        return await self.started(Redis(self.reactor, tcp=True))

    async def forty(self) -> list[int]:
        """The statuses of forty requests at once, and of ten more after that."""
        gate = Gate()
        self.provider.on(CHAT, held(gate, answer_json(chat())))
        statuses: list[int] = []
        refused: list[int] = []

        async def one() -> None:
            status = (await self.post(REQUEST)).status
            statuses.append(status)
            if status != 200:
                refused.append(status)
            if len(refused) + len(self.provider.requests) >= 40:
                gate.open()

        async def watch() -> None:
            await self.until(
                lambda: len(refused) + len(self.provider.requests) - passed >= 40
            )
            gate.open()

        passed = len(self.provider.requests)
        await self.at_once([watch(), *(one() for _ in range(40))], many=41)
        for _ in range(10):
            statuses.append((await self.post(REQUEST)).status)
        return statuses


class OvershootTests(LedgerCase):
    async def hold(self, **ledger: str) -> None:
        """Every cap, on one kind of ledger."""
        for cap, section, figure, most, each in CAPS:
            with about(cap):
                environ = dict(ledger)
                if "APIPROXY_STATE_DIR" in environ:
                    environ["APIPROXY_STATE_DIR"] = str(Path(self.mktemp()).absolute())
                environ["APIPROXY_RUN_ID"] = section
                await self.stage_metering(**cap, **environ)
                statuses = await self.forty()
                self.assertLessEqual(set(statuses), {200, 429, 400})
                told = (await self.reflected())[section]
                self.assertLessEqual(told[figure], most + each)
                self.assertGreaterEqual(told[figure], most)
                self.assertAlmostEqual(told[figure], statuses.count(200) * each)
                self.assertEqual(statuses.count(200), len(self.provider.requests))
                self.assertEqual(told.get("reserved", 0), 0)
                self.assertEqual(statuses[-1], 400)

    async def test_in_memory(self) -> None:
        """Of one process."""
        await self.hold()

    async def test_on_disk(self) -> None:
        """In SQLite."""
        await self.hold(APIPROXY_STATE_DIR="yes")

    async def test_in_redis(self) -> None:
        """That all processes share."""
        redis = await self.redis()
        await self.hold(APIPROXY_LEDGER=f"redis://127.0.0.1:{redis.port}")

    if missing := redis_missing():
        test_in_redis.skip = missing  # type: ignore[attr-defined]


class RestartTests(LedgerCase):
    async def test_what_was_spent_stays_spent(self) -> None:
        """With a state directory, and without one it does not."""
        for keeps in (True, False):
            with about(keeps):
                state = {"AWF_MAX_RUNS": "2"}
                if keeps:
                    state["APIPROXY_STATE_DIR"] = str(Path(self.mktemp()).absolute())
                await self.stage(state)
                self.provider.on(CHAT, answer_json(chat()))
                for _ in range(2):
                    self.assertEqual((await self.post(REQUEST)).status, 200)
                await self.proxy.stop()
                await self.stage_proxy({"HTTPS_PROXY": self.squid.url, **state})
                again = (await self.post(REQUEST)).status
                self.assertEqual(again, 400 if keeps else 200)
                spent = (await self.reflected())["runs"]["invocation_count"]
                self.assertEqual(spent, 2 if keeps else 1)


class AwayTests(LedgerCase):
    skip = redis_missing() or MeteringCase.skip

    async def test_closed(self) -> None:
        """Nothing passes, with an answer that says why; when it is back, it goes on."""
        redis = await self.redis()
        url = f"redis://127.0.0.1:{redis.port}"
        await self.stage_metering(AWF_MAX_RUNS="9", APIPROXY_LEDGER=url)
        self.provider.on(CHAT, answer_json(chat()))
        await self.passes()
        passed = len(self.proxy.events("ledger_unavailable"))
        await redis.kill()
        refused = await self.post(REQUEST)
        self.assertEqual(refused.status, 503)
        body = json.loads(bytes(refused.body))
        self.assertEqual(body["error"]["code"], "ledger_unavailable")
        self.assertEqual(len(self.provider.requests), 1)
        self.assertEqual(len(self.proxy.events("ledger_unavailable")), passed + 1)
        refused_count = await self.metric(
            "apiproxy_budget_refusals_total", code="ledger_unavailable"
        )
        self.assertEqual(refused_count, passed + 1)
        await redis.restart()
        await self.passes()

    async def passes(self) -> None:
        """Ask until an answer comes: the ledger is being connected to."""
        for _ in range(200):
            if (await self.post(REQUEST)).status == 200:
                return
            await self.turn(0.05)
        self.fail("nothing passes")

    async def test_stalled(self) -> None:
        """A ledger that does not answer is one that is away."""
        redis = await self.redis()
        url = f"redis://127.0.0.1:{redis.port}"
        await self.stage_metering(AWF_MAX_RUNS="9", APIPROXY_LEDGER=url)
        self.provider.on(CHAT, answer_json(chat()))
        await self.passes()
        redis.signal("STOP")
        self.assertEqual((await self.post(REQUEST)).status, 503)
        redis.signal("CONT")

    async def test_open(self) -> None:
        """Everything passes, and what it cost is written down later."""
        redis = await self.redis()
        await self.stage_metering(
            AWF_MAX_RUNS="9",
            APIPROXY_LEDGER=f"redis://127.0.0.1:{redis.port}",
            APIPROXY_LEDGER_AWAY="open",
        )
        self.provider.on(CHAT, answer_json(chat()))
        await redis.kill()
        for _ in range(3):
            self.assertEqual((await self.post(REQUEST)).status, 200)
        self.proxy.proxy.flush()
        self.assertEqual((await self.reflected())["ledger"], {"available": False})
        await redis.restart()

        answer: dict[str, Any] = {}
        for _ in range(200):
            answer = await self.reflected()
            if answer.get("runs", {}).get("invocation_count") == 3:
                break
            await self.turn(0.05)
        else:
            self.fail(f"not written down: {answer}")
