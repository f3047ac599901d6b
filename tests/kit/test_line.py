"""What a connection of the kit keeps, and what it waits for."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from zope.interface.verify import verifyObject

from tests.kit.agent import Agent
from tests.kit.case import LoopbackCase
from tests.kit.line import Bell, Gate, Gone, Line, _Regulator
from tests.kit.provider import Call, Provider


class LineTests(LoopbackCase):
    async def pair(self) -> tuple[Agent, Line]:
        async def nothing(call: Call) -> None:
            await call.line.gone()

        self.provider = await self.started(Provider(self.reactor, None))
        self.provider.default = nothing
        agent = await Agent.connect(self.reactor, self.provider.port)
        agent.ask()
        request = await self.provider.asked()
        return agent, request.line

    async def test_it_is_what_twisted_wants(self) -> None:
        line = Line(self.reactor)
        verifyObject(IHandshakeListener, line)
        verifyObject(IPushProducer, _Regulator(line))

    async def test_bytes_are_taken_as_they_are_wanted(self) -> None:
        agent, line = await self.pair()
        line.write(b"one\r\ntwo-three")
        self.assertEqual(await agent.read_until(b"\r\n"), b"one\r\n")
        self.assertEqual(await agent.read(3), b"two")
        self.assertEqual(await agent.read_some(2), b"-t")
        await agent.until(lambda: len(agent.received) == 4)
        self.assertEqual(await agent.read_some(), b"hree")
        line.write(b"rest")
        line.end("fin")
        self.assertEqual(await agent.read_all(), b"rest")
        with self.assertRaises(Gone):
            await agent.read(1)
        with self.assertRaises(Gone):
            await agent.sleep(0)
        self.assertIn("18 received", repr(agent))

    async def test_it_can_be_paused(self) -> None:
        agent, line = await self.pair()
        agent.pause()
        await line.flushed()
        line.write(b"x")
        await line.flushed()
        self.assertEqual(agent.received, b"")
        agent.resume()
        self.assertEqual(await agent.read(1), b"x")
        agent.pause()
        sending = Deferred.fromCoroutine(line.send(b"y" * 2**22))
        self.assertTrue(line.full)
        agent.resume()
        await sending
        await agent.read(2**22)
        agent.pause()
        agent.end()
        await line.gone()

    async def test_waiting_can_be_given_up(self) -> None:
        agent, _ = await self.pair()
        waiting = Deferred.fromCoroutine(agent.read(1))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)


class BellTests(LoopbackCase):
    async def test_everybody_hears_it_once(self) -> None:
        bell = Bell()
        waiting = [Deferred.fromCoroutine(bell.heard()) for _ in range(3)]
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        bell.ring()
        self.successResultOf(waiting[0])
        self.successResultOf(waiting[2])
        bell.ring()

    async def test_one_waiter_may_give_up_another_while_it_rings(self) -> None:
        bell = Bell()

        async def first() -> None:
            await bell.heard()
            second.cancel()

        one = Deferred.fromCoroutine(first())
        second = Deferred.fromCoroutine(bell.heard())
        bell.ring()
        self.successResultOf(one)
        self.failureResultOf(second, CancelledError)

    async def test_a_gate_stays_open(self) -> None:
        gate = Gate()
        waiting = Deferred.fromCoroutine(gate.opened())
        self.assertNoResult(waiting)
        gate.open()
        self.successResultOf(waiting)
        await gate.opened()
        self.assertTrue(gate.is_open)
