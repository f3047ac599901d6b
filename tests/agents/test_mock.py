"""The mocks answer what is known of a provider, and make a fuss of everything else."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.agents.mock import anthropic, google, openai
from tests.agents.mock.faults import Cut, Refusal
from tests.agents.mock.model import MARK, Asked, Model, NotUnderstood, Said, Use
from tests.agents.mock.provider import Mock
from tests.kit.agent import Agent
from tests.kit.case import LoopbackCase
from tests.kit.frames import TEXT, frame

_TOOLS = {"bash": {"required": ["command", "description"]}}
_PROMPT, _RESULT = Said(f"please {MARK}"), Said("42", tool=True)


def asked(*said: Said, **more: Any) -> Asked:
    """What somebody asks of the model."""
    return Asked("openai", "mock-1", said, **more)


class ModelTests(SynchronousTestCase):
    def test_it_uses_a_tool_once(self) -> None:
        """When it is told to, until the tool has answered; then anew for another prompt."""
        model = Model(command="date")
        use = Use("bash", {"command": "date", "description": "mock"})
        for said, answer in (
            ((_PROMPT,), use),
            ((_PROMPT, _RESULT), model.words),
            ((_RESULT,), model.words),
            ((_PROMPT, _RESULT, _PROMPT), use),
            ((Said("hello"),), model.words),
        ):
            self.assertEqual(model.answer(asked(*said, tools=_TOOLS)), answer, said)
        self.assertEqual(model.results, ["42"])

    def test_a_title_has_no_tools(self) -> None:
        """So there is nothing to use."""
        self.assertEqual(Model().answer(asked(_PROMPT)), Model().words)

    def test_tools_that_it_does_not_know(self) -> None:
        """A new name of the shell has to be noticed."""
        with self.assertRaises(NotUnderstood):
            Model().answer(asked(_PROMPT, tools={"terminal": {}}))


class ReadingTests(SynchronousTestCase):
    def test_what_is_not_understood(self) -> None:
        """Items, roles, parts and bodies that the mocks were not made for."""
        for read, body in (
            (openai.responses_asked, {"input": "hi"}),
            (openai.responses_asked, {"model": "m", "input": [{"type": "sculpture"}]}),
            (openai.chat_asked, {"model": "m", "messages": [{"role": "choir"}]}),
            (anthropic.asked, {"model": "m", "messages": []}),
            (
                anthropic.asked,
                {"model": "m", "max_tokens": 1, "messages": [{"role": "choir"}]},
            ),
            (
                lambda body: google.asked(body, "m", False),
                {"contents": [{"parts": [{"smell": "rose"}]}]},
            ),
        ):
            with self.assertRaises(NotUnderstood):
                read(body)

    def test_results_of_tools(self) -> None:
        """Each dialect has its own place for them."""
        output = {"type": "function_call_output", "output": "42"}
        block = {"type": "tool_result", "content": [{"type": "text", "text": "42"}]}
        part = {"functionResponse": {"response": {"output": "42"}}}
        for question in (
            openai.responses_asked({"model": "m", "input": [output]}),
            openai.chat_asked(
                {"model": "m", "messages": [{"role": "tool", "content": "42"}]}
            ),
            anthropic.asked(
                {
                    "model": "m",
                    "max_tokens": 1,
                    "messages": [{"role": "user", "content": [block]}],
                }
            ),
            google.asked({"contents": [{"role": "user", "parts": [part]}]}, "m", False),
        ):
            (result,) = question.results
            self.assertIn("42", result)


class MockTests(LoopbackCase):
    async def post(self, path: bytes, body: object, host: bytes) -> tuple[int, bytes]:
        """Ask it; status and body."""
        agent = await Agent.connect(self.reactor, self.mock.port)
        self.addCleanup(agent.end, "reset")
        data = json.dumps(body).encode()
        agent.write(
            b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (path, host, len(data), data)
        )
        response = await agent.response(b"POST")
        return response.status, bytes(response.body)

    async def serve(self) -> None:
        """Put one up, without TLS."""
        self.mock = Mock(self.reactor, None)
        await self.started(self.mock)

    async def test_what_it_does_not_know(self) -> None:
        """404 and a note; the same for a good path of another provider, and a bad body."""
        await self.serve()
        body = {"model": "m", "input": "hi"}
        for path, host, asks, status in (
            (b"/v1/new", b"api.openai.com", body, 404),
            (b"/v1/responses", b"api.anthropic.com", body, 404),
            (b"/v1/responses", b"api.openai.com", {"input": "hi"}, 400),
        ):
            self.mock.unknown.clear()
            self.assertEqual((await self.post(path, asks, host))[0], status)
            self.assertEqual(len(self.mock.unknown), 1)

    async def test_faults_come_in_turn(self) -> None:
        """One for each request for the model; then what holds for ever."""
        await self.serve()
        refusal = Refusal(429, {"error": {}})
        self.mock.faults, self.mock.forever = [None, refusal], Refusal(400, {})
        body = {"model": "m", "input": "hi"}
        seen = [
            (await self.post(b"/v1/responses", body, b"api.openai.com"))[0]
            for _ in range(4)
        ]
        self.assertEqual(seen, [200, 429, 400, 400])
        self.assertEqual(self.mock.served[:2], [None, refusal])
        self.mock.tools_only = True
        self.mock.forever = Cut(1)
        seen = [(await self.post(b"/v1/responses", body, b"api.openai.com"))[0]]
        self.assertEqual(seen, [200])

    async def test_a_message_that_it_does_not_know(self) -> None:
        """The WebSocket breaks, and there is a note of it."""
        await self.serve()
        agent = await Agent.connect(self.reactor, self.mock.port)
        self.addCleanup(agent.end, "reset")
        lines = (
            "GET /v1/responses HTTP/1.1",
            "Host: api.openai.com",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        agent.write("\r\n".join([*lines, "", ""]).encode())
        agent.write(frame(TEXT, b'{"type": "response.sing"}', mask=b"abcd"))
        await self.until(lambda: self.mock.unknown)
        self.assertIn("response.sing", self.mock.unknown[0])
