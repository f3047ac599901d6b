"""Callers with tokens of their own: each has its models and its budget."""

from pathlib import Path

from apiproxy.policy.tokens import Verifier, make
from tests.kit.frames import TEXT
from tests.kit.http import Response
from tests.kit.provider import answer_json, websocket
from tests.metering.case import CHAT, RESPONSES, MeteringCase
from tests.metering.test_budget import chat

ONE = make("openai", lambda count: bytes(range(1, count + 1)))
TWO = make("openai", lambda count: bytes(range(2, count + 2)))

LIST = """
[callers.one]
tokens = ["{one}"]
models = ["gpt-4o*"]
budgets = {{ runs = 2 }}

[callers.two]
tokens = ["{two}"]
"""


class CallerTests(MeteringCase):
    async def stage_callers(self) -> None:
        """Two callers, and a provider that answers both."""
        path = Path(self.mktemp()).absolute()
        path.write_text(
            LIST.format(one=Verifier.of(ONE).text(), two=Verifier.of(TWO).text())
        )
        await self.stage_metering(APIPROXY_CALLERS_FILE=str(path))
        self.provider.on(CHAT, answer_json(chat(10)))

    async def says(self, token: bytes, model: str = "gpt-4o") -> Response:
        """A caller asks."""
        keys = ((b"Authorization", b"Bearer " + token),)
        return await self.post({"model": model, "messages": []}, fields=keys)

    async def test_each_has_its_budget(self) -> None:
        """One is refused when its own is spent; the other goes on."""
        await self.stage_callers()
        self.assertEqual(
            [(await self.says(ONE)).status for _ in range(3)], [200, 200, 400]
        )
        self.assertEqual((await self.says(TWO)).status, 200)
        self.assertEqual(len(self.provider.requests), 3)
        callers = [line["caller"] for line in await self.records(3)]
        self.assertEqual(callers, ["one", "one", "two"])

    async def test_each_has_its_models(self) -> None:
        """What is not on its list goes nowhere, whatever the other may use."""
        await self.stage_callers()
        refused = await self.says(ONE, "o3")
        self.assertEqual(refused.status, 403)
        self.assertEqual(refused.get(b"x-apiproxy-error"), b"caller_refused")
        self.assertEqual(self.provider.requests, [])
        self.assertEqual((await self.says(TWO, "o3")).status, 200)

    async def test_on_a_socket_too(self) -> None:
        """A message that asks for another model is refused in the socket."""
        await self.stage_callers()
        self.provider.on(RESPONSES, websocket())
        agent = await self.agent()
        answer = await agent.upgrade(RESPONSES, [(b"Authorization", b"Bearer " + ONE)])
        self.assertEqual(answer.status, 101)
        agent.send_frame(TEXT, b'{"type":"response.create","model":"o3"}')
        told = await agent.frame()
        self.assertIn(b"caller_refused", told.payload)
