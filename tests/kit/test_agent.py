"""The raw agent reads what a server says, and ends as it is told."""

from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost

from tests.kit.agent import Agent, Refused, SocketAgent
from tests.kit.case import LoopbackCase
from tests.kit.http import Malformed
from tests.kit.line import Gone
from tests.kit.provider import (
    Behaviour,
    Provider,
    SocketClosed,
    raw,
    until_close,
    websocket,
)


class AgentTests(LoopbackCase):
    async def asking(self, behaviour: Behaviour) -> Agent:
        self.provider = await self.started(Provider(self.reactor, None))
        self.provider.default = behaviour
        agent = await Agent.connect(self.reactor, self.provider.port)
        agent.ask()
        return agent

    async def test_an_answer_that_is_cut_is_no_answer(self) -> None:
        agent = await self.asking(
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        )
        response, length = await agent.response_head()
        with self.assertRaises(Gone):
            await response.read_body(agent, length)
        self.assertEqual(
            repr(response), "<Response 200 2 bytes, incomplete>", response.head
        )

    async def test_an_answer_may_end_with_the_connection(self) -> None:
        agent = await self.asking(until_close(b"abc", how="fin"))
        response = await agent.response()
        self.assertEqual(repr(response), "<Response 200 3 bytes, complete>")

    async def test_a_malformed_answer_is_said(self) -> None:
        for bad in (b"HTTP/1.0 200 OK", b"HTTP/1.1 20 OK", b"SMTP"):
            agent = await self.asking(raw(bad + b"\r\n\r\n"))
            with self.assertRaises(Malformed):
                await agent.response()

    async def test_it_can_leave_in_three_ways_and_halfway(self) -> None:
        for how, kind in (("close", ConnectionDone), ("reset", ConnectionLost)):
            agent = await self.asking(websocket())
            await agent.response()
            agent.end(how)  # type: ignore[arg-type]  # the table is too simple for Literal
            await self.provider.left()
            reason = self.provider.connections[-1].reason
            assert reason is not None
            self.assertIsInstance(reason.value, kind)
        agent = await self.asking(until_close(b"bye"))
        agent.half_close()
        await self.provider.left()
        await agent.gone()
        with self.assertRaises(Gone):
            agent.write(b"?")
        agent.end()

    async def test_nobody_there(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        await provider.stop()
        with self.assertRaises(ConnectError):
            await Agent.connect(self.reactor, provider.port)

    async def test_a_tunnel_that_is_refused_fails_the_test(self) -> None:
        agent = await self.asking(raw())
        await agent.gone()
        with self.assertRaises(AssertionError):
            self.provider.default = raw(b"HTTP/1.1 403 No\r\n\r\n")
            # It is no proxy, but its answer is good enough.
            await Agent.through(self.reactor, self.provider.port, "a:1")


class SocketAgentTests(LoopbackCase):
    async def test_a_server_that_hangs_up_has_refused(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        provider.default = raw()
        with self.assertRaises(Refused) as caught:
            await SocketAgent.connect(self.reactor, provider.port)
        self.assertIsNone(caught.exception.status)

    async def test_an_empty_close_is_clean(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        provider.default = websocket()
        agent = await SocketAgent.connect(
            self.reactor, provider.port, "/x?y=1", headers={"X-A": "b"}
        )
        agent.end(None)
        self.assertEqual((await agent.ended()).clean, True)
        await provider.left()
        self.assertEqual(provider.sockets[0].closed, SocketClosed(True, None, None))
        self.assertEqual(provider.requests[0].target, b"/x?y=1")
        self.assertEqual(provider.requests[0].get(b"x-a"), b"b")
        await agent.stop()
        self.assertEqual([event[0] for event in agent.events], ["open", "close"])
