"""Budgets hold, whatever agents do at once."""

import json

from tests.kit.http import Response
from tests.kit.line import Gate
from tests.kit.provider import answer_json, held
from tests.squid.proxy import OPENAI, SquidCase

CHAT = b"/v1/chat/completions"


def chat(output: int, *, input: int = 10) -> dict[str, object]:
    """A chat completion that has used so many tokens."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "hello"},
            }
        ],
        "usage": {
            "prompt_tokens": input,
            "completion_tokens": output,
            "total_tokens": input + output,
        },
    }


BODY = json.dumps({"model": "gpt-4o", "max_tokens": 100, "messages": []}).encode()


class BudgetTests(SquidCase):
    async def post(self, body: bytes = BODY, path: bytes = CHAT) -> Response:
        """One request for a response."""
        fields = [(b"Content-Type", b"application/json")]
        return await self.ask(OPENAI, b"POST", path, fields, body)

    async def spent(self) -> dict[str, dict[str, float]]:
        """What ``/reflect`` says of the run."""
        answer = await self.ask(OPENAI, b"GET", b"/reflect")
        told: dict[str, dict[str, float]] = json.loads(bytes(answer.body))
        return told

    async def test_a_spent_budget_refuses_for_good(self) -> None:
        """The request that crosses it is the last; then nothing goes upstream any more."""
        await self.stage({"AWF_MAX_EFFECTIVE_TOKENS": "1000"})
        self.provider.on(CHAT, answer_json(chat(200)))
        statuses = [(await self.post()).status for _ in range(4)]
        self.assertEqual(statuses, [200, 200, 400, 400])
        self.assertEqual(len(self.provider.requests), 2)
        told = await self.spent()
        self.assertEqual(told["effective_tokens"]["total_effective_tokens"], 1620)

    async def test_forty_at_once_overrun_it_by_one_response_at_most(self) -> None:
        """What is under way counts as spent until it is known."""
        await self.stage({"AWF_MAX_EFFECTIVE_TOKENS": "2000"})
        gate = Gate()
        self.provider.on(CHAT, held(gate, answer_json(chat(100))))
        statuses: list[int] = []

        async def one() -> None:
            statuses.append((await self.post()).status)
            if len(statuses) == 35:
                gate.open()

        await self.at_once([one() for _ in range(40)], many=40)
        told = await self.spent()
        total = told["effective_tokens"]["total_effective_tokens"]
        self.assertLessEqual(total, 2000 + 410)
        self.assertEqual(statuses.count(200), len(self.provider.requests))
        self.assertEqual(set(statuses), {200, 429})
