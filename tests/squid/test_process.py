"""The process as it is run: what SIGTERM does to streams, and how it exits."""

from collections.abc import Sequence

from twisted.internet.error import ConnectError

from tests.kit.agent import Agent
from tests.kit.frames import CLOSE, TEXT, close_payload
from tests.kit.line import Gate, Gone
from tests.kit.provider import by_hand, echo, events, websocket
from tests.kit.running import Program, Service
from tests.kit.squid import Squid
from tests.squid.proxy import HOSTS, OUTCOMES, PROVIDERS, SquidCase, about, hold


class ProcessCase(SquidCase):
    """A test of the service as a process."""

    async def service(self, **environ: str) -> Service:
        """The service as a process, between Squid and the agents."""
        await self.stage_provider()
        self.squid = await self.started(
            Squid(self.reactor, [self.provider.port], allow=HOSTS)
        )
        every = self.environ() | {"HTTPS_PROXY": self.squid.url} | environ
        service = Service(self.reactor, every)
        self.addCleanup(self.ended, super(Service, service).stop)
        await service.start()
        return service

    async def streams(self, service: Service, gate: Gate) -> Sequence[Agent]:
        """A stream under way on each port, which goes on when the gate is opened."""
        self.provider.default = events(5, gate=gate)
        agents = []
        for known in PROVIDERS:
            agent = await Agent.connect(self.reactor, service.port(known.name))
            self._agents.append(agent)
            agent.ask(b"POST", known.path, body=b"{}")
            agents.append(agent)
        return agents

    async def settled(self) -> None:
        """Only the agents are ours here."""
        for agent in self._agents:
            assert isinstance(agent, Agent)
            agent.end("reset")
            await agent.gone()

    def setUp(self) -> None:
        """Agents are ended after the test."""
        super().setUp()
        self.addCleanup(self.ended, self.settled)

    async def draining(self, service: Program, count: int = 1) -> None:
        """Wait until the service has begun to stop."""
        while service.out.count(b'"shutdown"') < count:
            await service.changed()


class SignalTests(ProcessCase):
    async def test_sigterm_lets_streams_end(self) -> None:
        """What is under way ends whole; nothing new is taken; the exit code is 0."""
        service = await self.service(APIPROXY_GRACE_SECONDS="60")
        self.provider.on(b"/socket", by_hand(hold))
        self.provider.on(b"/v1/socket", by_hand(hold))
        ports = {known.name: service.port(known.name) for known in PROVIDERS}
        gate = Gate()
        streams = []
        for agent in await self.streams(service, gate):
            response, length = await agent.response_head()
            streams.append((agent, response, length))
        sockets = []
        for known in PROVIDERS:
            agent = await Agent.connect(self.reactor, ports[known.name])
            self._agents.append(agent)
            self.assertEqual((await agent.upgrade(b"/socket")).status, 101)
            sockets.append(agent)
        service.signal("TERM")
        await self.draining(service)
        for known in PROVIDERS:
            with about(known.name), self.assertRaises(ConnectError):
                await Agent.connect(self.reactor, ports[known.name])
        self.assertIsNone(service.code)
        gate.open()
        for agent, response, length in streams:
            await response.read_body(agent, length)
            self.assertTrue(bytes(response.body).endswith(b"data: [DONE]\n\n"))
        for agent in sockets:  # they are closed between two answers
            end = await agent.frame()
            self.assertEqual(
                (end.opcode, end.payload[:2]), (CLOSE, close_payload(1001))
            )
            agent.end()
        self.assertEqual(await service.ended(), 0)
        last = service.lines[-1]
        self.assertEqual(
            (last["event"], last["message"]), ("shutdown", "all exchanges ended")
        )
        outcomes = [line for line in service.lines if line["event"] in OUTCOMES]
        self.assertEqual(len(outcomes), 2 * len(PROVIDERS))
        self.assertEqual({line.get("error") for line in outcomes}, {None})
        self.assertEqual(bytes(service.err), b"")

    async def test_a_second_sigterm_stops_at_once(self) -> None:
        """Whoever is in a hurry sends it twice; streams are cut, the exit code is 0."""
        for name in ("TERM", "INT"):
            service = await self.service(APIPROXY_GRACE_SECONDS="600")
            agents = await self.streams(service, Gate())
            for agent in agents:
                await agent.response_head()
            service.signal(name)
            await self.draining(service)
            self.assertIsNone(service.code)
            service.signal(name)
            self.assertEqual(await service.ended(), 0)
            for agent in agents:
                await agent.gone()
            self.assertEqual(
                service.lines[-1]["message"], "live exchanges were aborted"
            )
            self.assertNotIn(b"raceback", service.out + service.err)

    async def test_the_grace_has_an_end(self) -> None:
        """A stream that goes on for ever does not hold the process."""
        service = await self.service(APIPROXY_GRACE_SECONDS="0.2")
        agents = await self.streams(service, Gate())
        for agent in agents:
            await agent.response_head()
        service.signal("TERM")
        self.assertEqual(await service.ended(), 0)
        for agent in agents:
            with self.assertRaises(Gone):
                await agent.read_until(b"[DONE]")

    async def test_a_process_serves_as_the_tests_do(self) -> None:
        """HTTP and WebSocket through the real process, with keys nobody can see."""
        service = await self.service(APIPROXY_LOG_LEVEL="debug")
        self.provider.default = echo()
        for known in PROVIDERS:
            with about(known.name):
                agent = await Agent.connect(self.reactor, service.port(known.name))
                self._agents.append(agent)
                agent.ask(b"POST", known.path, body=b"{}")
                self.assertEqual((await agent.response()).status, 200)
                (value,) = self.provider.requests[-1].all(known.header)
                self.assertEqual(value, known.credential)
        self.provider.default = websocket()
        for known in PROVIDERS:
            with about(known.name):
                agent = await Agent.connect(self.reactor, service.port(known.name))
                self._agents.append(agent)
                self.assertEqual((await agent.upgrade(known.path)).status, 101)
                agent.send_frame(TEXT, b"hello")
                self.assertEqual((await agent.frame()).payload, b"hello")
        await self.settled()
        self._agents.clear()
        service.signal("TERM")
        self.assertEqual(await service.ended(), 0)
        for known in PROVIDERS:
            self.assertNotIn(known.key.encode(), service.out + service.err)
