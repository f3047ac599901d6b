"""The demonstration's provider, asked through apiproxy."""

import msgspec

from apiproxy.demo.agent import Agent, Event
from apiproxy.demo.screen import DemoFailed
from tests.demo.parts import StageCase
from tests.kit.agent import Agent as RawAgent


class ProviderTests(StageCase):
    async def asked(self, line: str, body: bytes = b"") -> tuple[int, Event]:
        """What is answered to a request of any shape."""
        agent = await RawAgent.connect(self.reactor, self.stage.ports["openai"])
        head = f"{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        agent.send(head.encode() + body)
        answer = await agent.answer()
        agent.end()
        return answer.status, msgspec.json.decode(answer.body)

    async def test_answers(self) -> None:
        """It speaks a little of OpenAI's API."""
        await self.built()
        status, answer = await self.asked("GET /v1/models")
        self.assertEqual((status, answer["data"][0]["id"]), (200, "demo-1"))
        for body in (b"{}", b"no JSON"):
            status, answer = await self.asked("POST /v1/responses", body)
            self.assertEqual((status, answer["object"]), (200, "response"))
        status, answer = await self.asked("GET /v1/else")
        self.assertEqual((status, answer["error"]["code"]), (404, "404"))

    async def test_the_wrong_key(self) -> None:
        """Without the real key it answers 401, and shows what it was given."""
        stage = await self.built()
        stage.provider._expected = b"Bearer another"
        agent = Agent(self.reactor, f"127.0.0.1:{stage.ports['openai']}")
        with self.assertRaisesRegex(DemoFailed, "401.*Incorrect API key"):
            await agent.post("/v1/responses", {})
        seen = await stage.provider.seen.get()
        self.assertFalse(seen.right)
        self.assertFalse(stage.provider.look("GET /", None))
        seen = await stage.provider.seen.get()
        self.assertEqual(seen.shown, "Authorization: nothing")

    async def test_an_agent_that_leaves(self) -> None:
        """Nobody goes on talking to it, on either kind of stream."""
        stage = await self.built()
        agent = Agent(self.reactor, f"127.0.0.1:{stage.ports['openai']}")
        socket = await agent.open("/v1/responses")
        async for _ in socket.ask({"type": "response.create"}):
            break
        await socket.close()
        raw = await RawAgent.connect(self.reactor, stage.ports["openai"])
        body = b'{"stream": true}'
        head = b"POST /v1/responses HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        raw.send(head % len(body) + body)
        await raw.until(lambda: b"response.created" in raw.received)
        raw.end("reset")
        await self.until(lambda: not stage.service.census.live)
