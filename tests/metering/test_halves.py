"""Texts that a provider chose are cut in the logs, and no cut leaves half of a key."""

import json

from tests.kit.provider import counted
from tests.metering.case import MeteringCase
from tests.squid.proxy import PROVIDERS

COPILOT = next(known for known in PROVIDERS if known.name == "copilot")
HALF = COPILOT.key[: len(COPILOT.key) // 2]


class HalvesTests(MeteringCase):
    asked = 0

    async def half_left(self, before: str, quota: str = "") -> str:
        """What logs have of a key behind ``before`` in each name of an answer.

        Args:
            before: what stands before the key, in names.
            quota: what stands before it in names and figures of a quota.
        """
        said = before + COPILOT.key
        answer = {
            "id": said,
            "model": said,
            "service_tier": said,
            "choices": [{"finish_reason": said}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }
        told = quota + COPILOT.key
        fields = [
            (b"Content-Type", b"application/json"),
            (b"x-quota-snapshot-chat", f"ent={told}&{told}=1".encode()),
            (b"x-ratelimit-limit", told.encode()),
        ]
        body = json.dumps(answer).encode()
        self.provider.on(COPILOT.path, counted(body, 200, fields))
        await self.post({"model": "m", "messages": []}, COPILOT.path, COPILOT)
        self.asked += 1
        lines = await self.records(self.asked)
        log = [line for line in self.proxy.lines if line["event"] == "request_complete"]
        return json.dumps([lines[-1], log[-1]], ensure_ascii=False)

    async def test_names(self) -> None:
        """Of a model, an id, a tier, a stop reason."""
        await self.stage_metering()
        for size in range(120, 280, 8):
            text = await self.half_left("m" * size)
            self.assertNotIn(HALF, text, size)

    async def test_quotas(self) -> None:
        """Of Copilot, and its rate limit."""
        await self.stage_metering()
        for size in range(80, 140, 8):
            text = await self.half_left("", "q" * size)
            self.assertNotIn(HALF, text, size)
