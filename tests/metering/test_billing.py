"""What GitHub tells of the account that pays for Copilot stands where its figures do."""

import json

from tests.kit.provider import counted
from tests.metering.case import MeteringCase
from tests.metering.streams import STREAM_CHAT, chat_stream, streamed
from tests.squid.proxy import OPENAI, PROVIDERS

COPILOT = next(known for known in PROVIDERS if known.name == "copilot")
ANSWER = json.dumps(
    {"model": "m", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
).encode()
QUOTA = (b"x-quota-snapshot-chat", b"ent=300&rem=95.5")
TOLD = {"quota_chat": {"ent": "300", "rem": "95.5"}}


class BillingTests(MeteringCase):
    async def test_copilot(self) -> None:
        """Who asked, as it was said to Copilot, and what it answered of quotas."""
        await self.stage_metering()
        fields = [(b"Content-Type", b"application/json"), QUOTA]
        self.provider.on(COPILOT.path, counted(ANSWER, 200, fields))
        asked = {"model": "m", "messages": []}
        await self.post(asked, COPILOT.path, COPILOT)
        await self.post(asked, COPILOT.path, COPILOT, ((b"X-Initiator", b"user"),))
        lines = await self.records(2)
        self.assertEqual([line["x_initiator"] for line in lines], ["agent", "user"])
        self.assertEqual([line["billing"] for line in lines], [TOLD, TOLD])
        log = [line for line in self.proxy.lines if line["event"] == "request_complete"]
        self.assertEqual([line["x_initiator"] for line in log], ["agent", "user"])
        self.assertEqual([line["billing"] for line in log], [TOLD, TOLD])

    async def test_a_stream_with_a_budget(self) -> None:
        """Likewise where a rule has seen the request."""
        await self.stage_metering(APIPROXY_MAX_EFFECTIVE_TOKENS="100000")
        self.provider.on(COPILOT.path, streamed(chat_stream(["a"]), fields=[QUOTA]))
        await self.post(STREAM_CHAT, COPILOT.path, COPILOT)
        (line,) = await self.records(1)
        self.assertEqual((line["x_initiator"], line["billing"]), ("agent", TOLD))

    async def test_others(self) -> None:
        """No other provider's lines are taken for that."""
        await self.stage_metering()
        fields = [(b"Content-Type", b"application/json"), QUOTA]
        self.provider.on(OPENAI.path, counted(ANSWER, 200, fields))
        await self.post({"model": "m"}, OPENAI.path, fields=((b"X-Initiator", b"u"),))
        (line,) = await self.records(1)
        self.assertEqual({"x_initiator", "billing"} & line.keys(), set())
