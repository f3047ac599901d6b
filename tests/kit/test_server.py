"""Servers of the kit start, stop and start again, and leave nothing behind."""

from twisted.internet.defer import CancelledError, Deferred

from tests.kit.agent import Agent
from tests.kit.case import LoopbackCase
from tests.kit.provider import Call, Provider, echo, endless, late
from tests.kit.server import ServedLine, Server
from tests.kit.tls import authority


class ServerTests(LoopbackCase):
    async def test_it_comes_back_on_the_same_port(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        port = provider.port
        agent = await Agent.connect(self.reactor, port)
        line = await provider.connected()
        self.assertEqual((line.number, line.open, provider.open), (1, True, 1))
        await provider.stop_listening()
        self.assertTrue(agent.open)
        await provider.stop()
        await agent.gone()
        self.assertEqual(provider.open, 0)
        await provider.start()
        self.assertEqual(provider.port, port)

    async def test_stopping_ends_whatever_goes_on(self) -> None:
        options = authority().identity().options()
        provider = await self.started(Provider(self.reactor, options))
        provider.on(b"/1", endless())
        provider.on(b"/2", late(3600, echo()))
        for path in (b"/1", b"/2"):
            agent = await Agent.connect(
                self.reactor, provider.port, tls=authority().client("localhost")
            )
            agent.ask(target=path)
        await provider.asked(2)
        mute = await Agent.connect(self.reactor, provider.port)  # never a handshake
        await provider.connected(3)
        await provider.stop()
        await mute.gone()

    async def test_a_story_that_breaks_is_an_error_of_the_test(self) -> None:
        async def broken(call: Call) -> None:
            raise ZeroDivisionError

        provider = await self.started(Provider(self.reactor, None))
        provider.default = broken
        agent = await Agent.connect(self.reactor, provider.port)
        agent.ask()
        await agent.gone()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_a_server_has_to_say_what_it_does(self) -> None:
        server = Server[ServedLine](self.reactor, None)
        with self.assertRaises(NotImplementedError):
            server.line(1)
        with self.assertRaises(NotImplementedError):
            await ServedLine(self.reactor, 1, server).serve()

    async def test_waiting_for_a_server_can_be_given_up(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        waiting = Deferred.fromCoroutine(provider.asked())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
