"""The control socket of a real service: an operator looks, and what is stopped hears why."""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from apiproxy.cli import operator
from tests.kit.agent import Agent
from tests.kit.frames import CLOSE, TEXT, close_payload
from tests.kit.http import Response
from tests.kit.line import Gate
from tests.kit.provider import answer_json, by_hand, events
from tests.kit.running import Program, Ran, Service, ran
from tests.metering.test_budget import BODY, CHAT, chat
from tests.squid.proxy import OPENAI, hold
from tests.squid.test_process import ProcessCase

APIPROXY = str(Path(sys.executable).with_name("apiproxy"))
JSON = [(b"Content-Type", b"application/json")]


class ControlTests(ProcessCase):
    """Subcommands and requests, as an operator would use them."""

    path: str

    async def service(self, **environ: str) -> Service:
        """One with a control socket."""
        folder = tempfile.mkdtemp(prefix="apiproxy-")
        self.addCleanup(shutil.rmtree, folder)
        self.path = f"{folder}/control"
        more = {"APIPROXY_CONTROL_SOCKET": self.path, "APIPROXY_RUN_ID": "r1"}
        return await super().service(**more, **environ)

    async def command(self, *arguments: str) -> list[str]:
        """What a subcommand prints."""
        environ = {"APIPROXY_CONTROL_SOCKET": self.path}
        end: Ran = await ran(Program(self.reactor, [APIPROXY, *arguments], environ))
        self.assertEqual((end.code, end.err), (0, ""))
        return end.out.splitlines()

    async def told(self, method: str, target: str, said: object = None) -> Any:
        """What the socket answers."""
        return await deferToThread(operator.ask, self.path, method, target, said)

    async def connected(self, service: Service) -> Agent:
        """An agent that lives as long as the test."""
        agent = await Agent.connect(self.reactor, service.port(OPENAI.name))
        self._agents.append(agent)
        return agent

    async def answered(self, service: Service) -> Response:
        """A request for a response, on a connection of its own."""
        agent = await self.connected(service)
        agent.ask(b"POST", CHAT, JSON, BODY)
        response = await agent.response(b"POST")
        agent.end()
        return response

    async def streaming(self, service: Service) -> tuple[Agent, Response, int]:
        """A stream of which something has come."""
        agent = await self.connected(service)
        agent.ask(b"POST", CHAT, JSON, BODY)
        response, length = await agent.response_head(b"POST")
        return agent, response, length

    async def test_what_is_stopped_hears_why(self) -> None:
        """Streams and sockets, wherever they are, end with the event of their dialect."""
        service = await self.service()
        self.provider.on(CHAT, events(5, gate=Gate()))
        self.provider.on(b"/v1/responses", by_hand(hold))
        streams = [await self.streaming(service) for _ in range(4)]
        sockets = []
        for _ in range(4):
            agent = await self.connected(service)
            self.assertEqual((await agent.upgrade(b"/v1/responses")).status, 101)
            sockets.append(agent)
        table = await self.command("state")
        kinds = [line.split()[4] for line in table[1:] if " openai " in line]
        self.assertEqual(sorted(kinds), ["http"] * 4 + ["websocket"] * 4)
        self.assertEqual(await self.command("stop", "run", "r2"), ["0 stopped"])
        self.assertEqual(await self.command("stop", "run", "r1"), ["8 stopped"])
        for agent, response, length in streams:
            await response.read_body(agent, length)
            told = json.loads(bytes(response.body).split(b"data: ")[2])
            self.assertEqual(told["error"]["code"], "stopped_by_operator")
        for agent in sockets:
            event, end = await agent.frame(), await agent.frame()
            self.assertEqual((event.opcode, end.opcode), (TEXT, CLOSE))
            self.assertEqual(json.loads(event.payload)["type"], "error")
            self.assertEqual(end.payload[:2], close_payload(1008))
            agent.end()
        state = await self.told("GET", "/state")
        self.assertEqual((state["exchanges"], state["run"]), ([], "r1"))
        self.assertEqual(state["settings"]["run_id"], "r1")
        while service.out.count(b'"event":"control"') < 2:
            await service.changed()
        lines = [line for line in service.lines if line["event"] == "control"]
        self.assertEqual([line["stopped"] for line in lines], [0, 8])

    async def test_a_cap_that_an_operator_sets(self) -> None:
        """It holds at once, for every process, where nothing was limited before."""
        service = await self.service()
        self.provider.on(CHAT, answer_json(chat(100)))
        for _ in range(4):
            self.assertEqual((await self.answered(service)).status, 200)
        await self.command("budget", "--measure", "runs", "--set", "4")
        for _ in range(4):
            self.assertEqual((await self.answered(service)).status, 400)
        (row,) = [
            line.split()
            for line in await self.command("budget")
            if " runs " in line and line.startswith("run:r1")
        ]
        self.assertEqual(row[1:6], ["runs", "4", "0", "4", "operator"])
        await self.command("budget", "--measure", "runs", "--unset")
        for _ in range(4):
            self.assertEqual((await self.answered(service)).status, 200)
        self.assertEqual(len(self.provider.requests), 8)
        state = await self.told("GET", "/state")
        self.assertEqual(state["coverage"]["openai"]["responses"], {"metered": 8})

    async def test_it_reloads_and_drains(self) -> None:
        """As the signals do; who asked for it gets an answer before the end."""
        service = await self.service(APIPROXY_GRACE_SECONDS="60")
        self.assertEqual(await self.told("POST", "/reload"), {"reloaded": True})
        self.assertEqual(await self.told("POST", "/drain"), {"draining": True})
        self.assertEqual(await service.ended(), 0)
        self.assertFalse(Path(self.path).exists())
        self.assertEqual(service.lines[-1]["message"], "all exchanges ended")
        self.assertEqual(bytes(service.err), b"")
