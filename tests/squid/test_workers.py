"""Several workers behind the same ports, with Squid and a provider: as one process would."""

from tests.kit.agent import Agent
from tests.kit.frames import CLOSE, TEXT, close_payload
from tests.kit.provider import answer_json, websocket
from tests.kit.running import Service
from tests.kit.squid import Squid
from tests.squid import test_control, test_process
from tests.squid.proxy import HOSTS, OPENAI, PROVIDERS


class WorkersSignalTests(test_process.SignalTests):
    """All that holds for signals and one process holds for two workers."""

    async def service(self, **environ: str) -> Service:
        return await super().service(APIPROXY_WORKERS="2", **environ)

    async def test_sockets_in_both_workers(self) -> None:
        """Messages pass in each; when it stops, each is closed between two answers."""
        service = await self.service(APIPROXY_GRACE_SECONDS="60")
        self.provider.default = websocket()
        sockets = []
        for _ in range(4):
            agent = await Agent.connect(self.reactor, service.port(OPENAI.name))
            self._agents.append(agent)
            self.assertEqual((await agent.upgrade(OPENAI.path)).status, 101)
            agent.send_frame(TEXT, b"hello")
            self.assertEqual((await agent.frame()).payload, b"hello")
            sockets.append(agent)
        service.signal("TERM")
        for agent in sockets:
            end = await agent.frame()
            self.assertEqual(
                (end.opcode, end.payload[:2]), (CLOSE, close_payload(1001))
            )
            agent.end()
        self.assertEqual(await service.ended(), 0)
        ends = [
            line
            for line in service.lines
            if line["event"] == "websocket_upgrade_complete"
        ]
        self.assertEqual(len(ends), 4)

    async def test_a_key_that_is_refused(self) -> None:
        """``strict`` ends all of it with exit code 1; the keys were tried once."""
        await self.stage_provider()
        self.provider.default = answer_json({"error": {}}, 401)
        self.squid = await self.started(
            Squid(self.reactor, [self.provider.port], allow=HOSTS)
        )
        service = Service(
            self.reactor,
            self.environ()
            | {
                "HTTPS_PROXY": self.squid.url,
                "APIPROXY_VALIDATE_KEYS": "strict",
                "APIPROXY_WORKERS": "2",
            },
        )
        self.addCleanup(self.ended, super(Service, service).stop)
        await service.start()
        self.assertEqual(await service.ended(), 1)
        events = [line["event"] for line in service.lines]
        self.assertEqual(events.count("key_validation_strict_exit"), 1)
        tried = [
            line["provider"]
            for line in service.lines
            if line["event"] == "key_validation"
        ]
        self.assertEqual(sorted(tried), sorted(known.name for known in PROVIDERS))


class WorkersControlTests(test_control.ControlTests):
    """All that an operator sees and does with one process holds for two workers."""

    async def service(self, **environ: str) -> Service:
        return await super().service(APIPROXY_WORKERS="2", **environ)
