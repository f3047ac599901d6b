"""Hosted tools: what the provider would do by itself is judged where it is asked for."""

import gzip
import json

from tests.kit.frames import TEXT
from tests.kit.provider import answer_json, websocket
from tests.metering.case import CHAT, RESPONSES, MeteringCase
from tests.metering.test_budget import chat

MCP = {"type": "mcp", "server_url": "https://evil.example/mcp", "server_label": "x"}
SEARCH = {"model": "gpt-4o", "messages": [], "tools": [MCP]}
PLAIN = {"model": "gpt-4o", "messages": []}


class ToolTests(MeteringCase):
    async def stage_tools(self) -> None:
        """A provider whose MCP is forbidden."""
        await self.stage_metering(APIPROXY_TOOLS="mcp=deny")
        self.provider.on(CHAT, answer_json(chat(10)))

    async def test_a_request_that_asks_for_one_goes_nowhere(self) -> None:
        """Plain or compressed; what asks for nothing passes."""
        await self.stage_tools()
        packed = gzip.compress(json.dumps(SEARCH).encode())
        encoding = ((b"Content-Encoding", b"gzip"),)
        for answer in (
            await self.post(SEARCH),
            await self.post(packed, fields=encoding),
            await self.post(b"\x1f\x8b no gzip", fields=encoding),
        ):
            self.assertEqual(answer.get(b"x-apiproxy-error"), b"tool_refused")
        self.assertEqual(self.provider.requests, [])
        self.assertEqual((await self.post(PLAIN)).status, 200)

    async def test_on_a_socket_too(self) -> None:
        """In what asks for a response, and in what only sets the session up."""
        await self.stage_tools()
        self.provider.on(RESPONSES, websocket())
        agent = await self.agent()
        self.assertEqual((await agent.upgrade(RESPONSES)).status, 101)
        for kind in ("response.create", "session.update"):
            message = {"type": kind, "session": {"tools": [MCP]}, "tools": [MCP]}
            agent.send_frame(TEXT, json.dumps(message).encode())
            told = await agent.frame()
            self.assertIn(b"tool_refused", told.payload)

    async def test_by_default_it_is_only_told(self) -> None:
        """Where bodies are seen at all."""
        await self.stage_metering(AWF_MAX_RUNS="9")
        self.provider.on(CHAT, answer_json(chat(10)))
        self.assertEqual((await self.post(SEARCH)).status, 200)
        (line,) = self.proxy.events("hosted_tool")
        self.assertEqual((line["kind"], line["host"]), ("mcp", "evil.example"))
