"""The stand-in for Squid."""

from apiproxy.demo.standin import StandIn
from tests.demo.parts import StageCase
from tests.kit.agent import Agent


class StandInTests(StageCase):
    async def connected(self) -> Agent:
        port = int(self.stage.proxy.url.rpartition(":")[2])
        return await Agent.connect(self.reactor, port)

    async def test_one_authority(self) -> None:
        """It goes to the demonstration's provider, and nowhere else."""
        stage = await self.built()
        for line, status in (
            (f"CONNECT {stage.authority}", 200),
            ("CONNECT api.openai.com:443", 403),
            ("GET http://api.openai.com/", 403),
            ("CONNECT " + "a" * 9000, 403),
        ):
            agent = await self.connected()
            # In two pieces, as it may come.
            await agent.send(line.encode())
            await agent.send(b" HTTP/1.1\r\n\r\n")
            response, _ = await agent.response_head(b"CONNECT")
            self.assertEqual(response.status, status, line[:40])
            agent.end("reset")
            await agent.gone()
        await self.until(lambda: len(stage.proxy.logged()) == 1)
        self.assertEqual(len(stage.proxy.heard()), 4)

    async def test_a_provider_that_is_away(self) -> None:
        """Then it says 503."""
        stage = await self.built()
        await stage.provider.stop()
        agent = await self.connected()
        await agent.send(f"CONNECT {stage.authority} HTTP/1.1\r\n\r\n".encode())
        response, _ = await agent.response_head(b"CONNECT")
        self.assertEqual(response.status, 503)
        agent.end()

    async def test_an_agent_that_leaves(self) -> None:
        """A tunnel whose agent has left is not opened; one that is open is closed."""
        stage = await self.built()
        assert isinstance(stage.proxy, StandIn)
        agent = await self.connected()
        await agent.send(f"CONNECT {stage.authority} HTTP/1.1\r\n\r\n".encode())
        agent.end("reset")
        await self.until(
            lambda: not isinstance(stage.proxy, StandIn) or not stage.proxy.lines
        )
        agent = await self.connected()
        await agent.send(f"CONNECT {stage.authority} HTTP/1.1\r\n\r\n".encode())
        await agent.response_head(b"CONNECT")
        await stage.proxy.stop()
        await agent.gone()
