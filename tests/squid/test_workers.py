"""Several workers behind the same ports, with Squid and a provider: as one process would."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.kit.agent import Agent
from tests.kit.frames import CLOSE, TEXT, close_payload
from tests.kit.line import Gate
from tests.kit.provider import answer_json, held, websocket
from tests.kit.running import Service
from tests.kit.squid import Squid
from tests.metering.test_budget import BODY, CHAT, chat
from tests.squid import test_control, test_process
from tests.squid.proxy import HOSTS, OPENAI, PROVIDERS
from tests.workers.test_processes import workers


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


class TogetherTests(test_process.ProcessCase):
    """What is limited is limited for all workers together."""

    async def service(self, **environ: str) -> Service:
        return await super().service(APIPROXY_WORKERS="2", **environ)

    async def told(self, service: Service, path: bytes, accept: bytes) -> bytes:
        """What a worker answers itself."""
        agent = await self.connected(service)
        agent.ask(b"GET", path, [(b"Accept", accept)])
        response = await agent.response()
        agent.end()
        return bytes(response.body)

    async def connected(self, service: Service) -> Agent:
        agent = await Agent.connect(self.reactor, service.port(OPENAI.name))
        self._agents.append(agent)
        return agent

    async def posted(self, service: Service) -> int:
        """The status of a request for a response, on a connection of its own."""
        agent = await self.connected(service)
        agent.ask(b"POST", CHAT, [(b"Content-Type", b"application/json")], BODY)
        response = await agent.response(b"POST")
        agent.end()
        return response.status

    async def test_a_budget(self) -> None:
        """Forty at once overrun it by one response at most; each worker shows all of it."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        service = await self.service(
            AWF_MAX_EFFECTIVE_TOKENS="2000", APIPROXY_USAGE_LOG_DIR=str(folder)
        )
        gate = Gate()
        self.provider.on(CHAT, held(gate, answer_json(chat(100))))
        statuses: list[int] = []

        async def one() -> None:
            statuses.append(await self.posted(service))

        async def open_gate() -> None:
            while len(statuses) + len(self.provider.requests) < 40:
                await self.turn()
            gate.open()

        await self.at_once([open_gate(), *(one() for _ in range(40))], many=41)
        self.assertEqual(statuses.count(200), len(self.provider.requests))
        self.assertEqual(set(statuses), {200, 429})
        spent = 410 * statuses.count(200)
        self.assertLessEqual(spent, 2000 + 410)
        while await self.total(service) != spent:
            pass  # an answer is with the agent a moment before it is written down
        for _ in range(4):
            self.assertEqual(await self.total(service), spent)
        metrics = json.loads(await self.told(service, b"/metrics", b"*/*"))
        counted = metrics["counters"]["responses_total:openai:metered"]
        self.assertEqual(counted, statuses.count(200))
        service.signal("TERM")
        self.assertEqual(await service.ended(), 0)
        lines = (folder / "token-usage.jsonl").read_text().splitlines()
        self.assertEqual(len(lines), statuses.count(200))

    async def total(self, service: Service) -> float:
        """Effective tokens of the run, as any of the workers shows them."""
        told = json.loads(await self.told(service, b"/reflect", b"*/*"))
        total: float = told["effective_tokens"]["total_effective_tokens"]
        return total

    async def test_rates(self) -> None:
        """They hold over both, also when one is killed and replaced."""
        service = await self.service(
            AWF_RATE_LIMIT_ENABLED="true", AWF_RATE_LIMIT_RPM="6"
        )
        self.provider.on(CHAT, answer_json(chat(1)))
        statuses = [await self.posted(service) for _ in range(10)]
        self.assertEqual(statuses, [200] * 6 + [429] * 4)
        for _ in range(2):
            health = json.loads(await self.told(service, b"/health", b"*/*"))
            self.assertEqual(health["rate_limits"]["openai"]["rpm"]["remaining"], 0)
        for number in range(2):
            before = pids(service)
            os.kill(before[number], signal.SIGKILL)
            while pids(service).get(number, before[number]) == before[number]:
                await self.turn()
            restarts = b"apiproxy_worker_restarts_total %d" % (number + 1)
            while restarts not in await self.told(service, b"/metrics", b"text/plain"):
                await self.turn()
        self.assertEqual([await self.posted(service) for _ in range(6)], [429] * 6)


def pids(service: Service) -> dict[int, int]:
    """The process ids of the workers, by their numbers."""
    return workers(cast(Any, SimpleNamespace(process=service._process)))
