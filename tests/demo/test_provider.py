"""The demonstration's provider, asked through apiproxy."""

from typing import Any

from apiproxy.demo.agent import Agent
from apiproxy.demo.screen import DemoFailed
from tests.demo.parts import StageCase
from tests.kit.agent import Agent as RawAgent


class ProviderTests(StageCase):
    async def asked(
        self, method: bytes, target: bytes, body: bytes | None = None
    ) -> tuple[int, Any]:
        """What is answered to a request of any shape."""
        agent = await RawAgent.connect(self.reactor, self.stage.ports["openai"])
        agent.ask(method, target, body=body)
        response = await agent.response(method)
        agent.end()
        return response.status, response.json()

    async def test_answers(self) -> None:
        """It speaks a little of OpenAI's API."""
        await self.built()
        status, answer = await self.asked(b"GET", b"/v1/models")
        self.assertEqual((status, answer["data"][0]["id"]), (200, "demo-1"))
        for body in (b"{}", b"no JSON"):
            status, answer = await self.asked(b"POST", b"/v1/responses", body)
            self.assertEqual((status, answer["object"]), (200, "response"))
        status, answer = await self.asked(b"GET", b"/v1/else")
        self.assertEqual((status, answer["error"]["code"]), (404, "404"))

    async def test_the_wrong_key(self) -> None:
        """Without the real key it answers 401, and shows what it was given."""
        stage = await self.built()
        stage.provider._expected = b"Bearer another"
        agent = Agent(self.loop, f"127.0.0.1:{stage.ports['openai']}")
        with self.assertRaisesRegex(DemoFailed, r"401.*Incorrect API key"):
            await agent.post("/v1/responses", {})
        seen = await stage.provider.seen.get()
        self.assertFalse(seen.right)
        self.assertFalse(stage.provider.look("GET /", None))
        seen = await stage.provider.seen.get()
        self.assertEqual(seen.shown, "Authorization: nothing")

    async def test_an_agent_that_leaves(self) -> None:
        """Nobody goes on talking to it, on either kind of stream."""
        stage = await self.built()
        agent = Agent(self.loop, f"127.0.0.1:{stage.ports['openai']}")
        socket = await agent.open("/v1/responses")
        async for _ in socket.ask({"type": "response.create"}):
            break
        await socket.close()
        raw = await RawAgent.connect(self.reactor, stage.ports["openai"])
        raw.ask(b"POST", b"/v1/responses", body=b'{"stream": true}')
        await raw.read_until(b"response.created")
        raw.end("reset")
        await self.until(lambda: not stage.service.census.live)
