"""The demonstration's agent."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.demo.agent import Agent, read_event
from apiproxy.demo.screen import DemoFailed
from tests.demo.parts import StageCase


class AgentTests(StageCase):
    async def test_a_refused_socket(self) -> None:
        """A WebSocket that is refused is no conversation."""
        stage = await self.built()
        agent = Agent(self.loop, f"127.0.0.1:{stage.ports['anthropic']}")
        with self.assertRaisesRegex(DemoFailed, "the WebSocket was refused"):
            await agent.open("/v1/responses")

    async def test_a_socket_that_is_closed(self) -> None:
        """Nor is one that is closed in the middle of an answer."""
        stage = await self.built()
        agent = Agent(self.loop, f"127.0.0.1:{stage.ports['openai']}")
        socket = await agent.open("/v1/responses")
        with self.assertRaisesRegex(DemoFailed, "in the middle of an answer"):
            async for _ in socket.ask({"type": "response.create"}):
                await stage.provider.stop()
        # apiproxy says 1011, because the provider said nothing.
        self.assertEqual(await socket._closed, 1011)

    async def test_a_stream_that_is_cut(self) -> None:
        """And a token stream has an end."""
        stage = await self.built()
        agent = Agent(self.loop, f"127.0.0.1:{stage.ports['openai']}")
        answer = await agent.post("/v1/responses", {"stream": True})
        with self.assertRaisesRegex(DemoFailed, "cut off"):
            async for _ in answer.events():
                await stage.provider.stop()


class ReadEventTests(SynchronousTestCase):
    def test_not_json(self) -> None:
        """What is no JSON object is shown in its beginning."""
        for text in (b"<html>", b"[]"):
            error = self.assertRaises(DemoFailed, read_event, text)
            self.assertIn(text.decode(), str(error))
