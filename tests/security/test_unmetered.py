"""No way around a budget or a list of models by what cannot be counted."""

import json

from tests.kit.agent import Refused
from tests.kit.provider import answer_json
from tests.metering.case import CHAT, RESPONSES, MeteringCase
from tests.metering.conversation import Script, Turn
from tests.metering.test_concurrency import chat
from tests.squid.proxy import OPENAI, about

REQUEST = json.dumps({"model": "gpt-4o", "max_tokens": 100, "messages": []}).encode()

WORKING = (
    b"/v1/batches",
    b"/v1/messages/batches",
    b"/v1/threads/runs",
    b"/v1/threads/thread_1/runs",
    b"/v1/videos",
    b"/v1/fine_tuning/jobs",
    b"/v1/realtime/calls",
    b"/v1beta/models/gemini-3:batchGenerateContent",
    b"/v1beta/interactions",
    b"/v1/evals/eval_1/runs",
    b"/model/async-invoke",
    b"/v1/nobody/knows",
    b"/v1/chat%2Fcompletions",
    b"/v1/chat/Completions",
    b"/v1/chat/completions;x",
    b"/v1/chat/completions;/files",
    b"/v1/chat/completions%3F/files",
    b"/v1/chat/completions%20",
    b"/v1/chat/completions%00",
)
"""All of them may make a model work, at one provider or another."""

FREE = (
    b"/v1/messages/count_tokens",
    b"/v1/responses/input_tokens",
    b"/v1/responses/resp_1/cancel",
    b"/v1/batches/batch_1/cancel",
    b"/v1/files",
    b"/v1/models/gpt-4o/policy",
    b"/v1/publishers/anthropic/models/count-tokens:rawPredict",
    b"/v1/publishers/google/models/gemini-3%40001:countTokens",
)

RULES = (
    {"AWF_MAX_EFFECTIVE_TOKENS": "100000"},
    {"AWF_MAX_AI_CREDITS": "100"},
    {"AWF_MAX_RUNS": "5"},
    {"AWF_ALLOWED_MODELS": "gpt-4o"},
)


class UnmeteredTests(MeteringCase):
    async def code(
        self, path: bytes, body: bytes = REQUEST, method: bytes = b"POST"
    ) -> str:
        """Of the refusal; empty if there was none."""
        fields = [(b"Content-Type", b"application/json")]
        answer = await self.ask(OPENAI, method, path, fields, body)
        if answer.status == 200:
            return ""
        self.assertEqual(answer.get(b"x-should-retry"), b"false")
        self.assertEqual(answer.status, 400)
        self.assertIn(b"APIPROXY_UNMETERED", bytes(answer.body))
        return OPENAI.error(answer)[0]

    async def test_what_cannot_be_counted_is_refused(self) -> None:
        """Wherever a budget or a rule about models is set; nothing of it leaves."""
        for rule in RULES:
            await self.stage_metering(**rule)
            paths = WORKING if rule is RULES[0] else WORKING[:2]
            for path in paths:
                with about((rule, path)):
                    self.assertEqual(await self.code(path), "unmetered_endpoint")
            self.assertEqual(self.provider.requests, [])
            for path in FREE:
                with about((rule, path)):
                    self.assertEqual(await self.code(path), "")
            line = self.proxy.events("unmetered_endpoint")[0]
            self.assertEqual(line["level"], "warning")

    async def test_answers_without_figures(self) -> None:
        """Google leaves them out for whoever asks."""
        await self.stage_metering(**RULES[0])
        path = b"/v1beta/models/gemini-3:generateContent"
        for query in (b"?fields=candidates", b"?alt=proto"):
            with about(query):
                self.assertEqual(await self.code(path + query), "unmetered_endpoint")
        self.assertEqual(self.provider.requests, [])

    async def test_other_methods(self) -> None:
        """Servers take the letters of a method in any case, or take PUT for POST."""
        await self.stage_metering(**RULES[0])
        for method in (b"PUT", b"PATCH", b"post", b"QUERY"):
            with about(method):
                code = await self.code(CHAT, method=method)
                self.assertEqual(code, "unmetered_endpoint")
        self.assertEqual(self.provider.requests, [])
        for method in (b"GET", b"DELETE"):
            answer = await self.ask(OPENAI, method, b"/v1/responses/resp_1")
            self.assertEqual(answer.status, 200)

    async def test_background(self) -> None:
        """An answer that is fetched later would be free."""
        await self.stage_metering(**RULES[0])
        for later in (b'"background":true', b'"background":"true"', b'"deferred":1'):
            with about(later):
                body = b'{"model":"gpt-4o","input":"x",%b}' % later
                self.assertEqual(await self.code(RESPONSES, body), "unmetered_endpoint")
        self.assertEqual(self.provider.requests, [])
        self.provider.on(RESPONSES, answer_json({"usage": {}}))
        body = b'{"model":"gpt-4o","input":"x","background":false}'
        self.assertEqual(await self.code(RESPONSES, body), "")

    async def test_background_on_a_socket(self) -> None:
        """The message is refused, and the socket lives on."""
        await self.stage_metering(**RULES[0])
        self.provider.on(RESPONSES, Script().behaviour())
        socket = await self.socket()
        asked = json.loads(Turn().request)
        heard = await self.say(socket, json.dumps({**asked, "background": True}))
        self.assertEqual(heard[-1]["error"]["code"], "unmetered_endpoint")
        heard = await self.say(socket, Turn().request)
        self.assertEqual(heard[-1]["type"], "response.completed")

    async def test_sockets_that_nobody_follows(self) -> None:
        """A WebSocket at a path that is read otherwise by its provider."""
        await self.stage_metering(**RULES[0])
        for path in (b"/v1/Responses", b"/v1/responses%20", b"/v1/live", CHAT):
            with about(path), self.assertRaises(Refused) as raised:
                await self.socket(path=path.decode())
            self.assertEqual(raised.exception.status, 400)
        self.assertEqual(self.provider.requests, [])

    async def test_allowed(self) -> None:
        """By its setting, or where nothing is limited."""
        for rule in ({**RULES[0], "APIPROXY_UNMETERED": "allow"}, {}):
            with about(rule):
                await self.stage_metering(**rule)
                for path in WORKING[:3]:
                    self.assertEqual(await self.code(path), "")

    async def test_models_beside_the_model(self) -> None:
        """Routers in front of several providers choose from a list."""
        await self.stage_metering(**RULES[3])
        self.provider.on(CHAT, answer_json(chat()))
        asked = json.loads(REQUEST)
        for more in ({"models": ["o3-pro"]}, {"fallbacks": [{"model": "o3-pro"}]}):
            answer = await self.post({**asked, **more})
            self.assertEqual(OPENAI.error(answer)[0], "body_unreadable")
        self.assertEqual((await self.post({**asked, "models": []})).status, 200)
