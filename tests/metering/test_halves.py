"""Texts that a provider chose are cut in the logs, and no cut leaves half of a key."""

import json

from tests.kit.provider import counted
from tests.metering.case import MeteringCase
from tests.squid.proxy import PROVIDERS

COPILOT = next(known for known in PROVIDERS if known.name == "copilot")
HALF = COPILOT.key[: len(COPILOT.key) // 2]


class HalvesTests(MeteringCase):
    asked = 0

    async def half_left(self, before: str) -> str:
        """What logs have of a key behind ``before`` in each name of an answer.

        Args:
            before: what stands before the key, in names.
        """
        said = before + COPILOT.key
        answer = {
            "id": said,
            "model": said,
            "service_tier": said,
            "choices": [{"finish_reason": said}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }
        fields = [(b"Content-Type", b"application/json")]
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
