"""The ``openai`` SDK through the proxy: every way it talks, and how it takes errors."""

from typing import Any

from tests.clients.answers import (
    TEXT,
    WORDS,
    completion,
    completion_stream,
    response,
    response_events,
    responses,
)
from tests.clients.case import ClientCase
from tests.kit.provider import answer_json, by_hand, cut
from tests.squid.proxy import OPENAI, PLACEHOLDER

CHAT = b"/v1/chat/completions"
RESPONSES = b"/v1/responses"


class OpenAICase(ClientCase):
    async def sdk(self, name: str) -> Any:
        """One thing that the SDK does, with a key that is none."""
        url = self.url(OPENAI, "/v1")
        return await self.tell("openai_turns", name, url, PLACEHOLDER)


class TurnTests(OpenAICase):
    async def test_a_chat_completion(self) -> None:
        """As JSON, and as a stream."""
        await self.stage()
        self.provider.on(CHAT, answer_json(completion()), completion_stream())
        self.assertEqual(await self.sdk("chat"), TEXT)
        self.assertEqual(await self.sdk("chat_stream"), ["", *WORDS])
        self.isolated(OPENAI, 2)

    async def test_a_response(self) -> None:
        """As JSON, and as a stream."""
        await self.stage()
        self.provider.on(RESPONSES, answer_json(response()), responses())
        self.assertEqual(await self.sdk("responses"), TEXT)
        seen, text = await self.sdk("responses_stream")
        self.assertEqual(text, TEXT)
        self.assertEqual([word for word in seen if word in WORDS], list(WORDS))
        self.assertEqual(
            (seen[0], seen[-1]), ("response.created", "response.completed")
        )
        self.isolated(OPENAI, 2)

    async def test_the_list_of_models(self) -> None:
        """A GET without a body."""
        await self.stage()
        model = {"id": "mock-1", "object": "model", "created": 1, "owned_by": "nobody"}
        listed = {"object": "list", "data": [model]}
        self.provider.on(b"/v1/models", answer_json(listed))
        self.assertEqual(await self.sdk("models"), ["mock-1"])
        self.isolated(OPENAI, 1)

    async def test_responses_over_a_websocket(self) -> None:
        """Two on one socket, closed in order; the same with the asynchronous client."""
        await self.stage()
        self.provider.on(RESPONSES, responses())
        types = [event["type"] for event in response_events()]
        self.assertEqual(await self.sdk("connect"), [types * 2, [TEXT] * 2])
        self.assertEqual(await self.sdk("connect_async"), [types, [TEXT]])
        self.isolated(OPENAI, 2)
        self.assertEqual(
            [request.upgrade for request in self.provider.requests], [True] * 2
        )
        await self.outcome(2)
        for line in self.proxy.outcomes:
            self.assertEqual(line["event"], "websocket_upgrade_complete")
            self.assertEqual(line["close_code"], 1000)
            self.assertNotIn("error", line)


class ErrorTests(OpenAICase):
    async def test_without_a_key_there_is_one_try_and_a_typed_error(self) -> None:
        """``PermissionDeniedError`` says which variable to set; nothing is tried again."""
        await self.stage({"OPENAI_API_KEY": ""})
        raised = await self.sdk("failing_chat")
        self.assertEqual(raised["kind"], "PermissionDeniedError")
        self.assertEqual(raised["status"], 403)
        self.assertEqual(raised["code"], "provider_not_configured")
        self.assertIn("OPENAI_API_KEY", raised["message"])
        self.assertEqual(self.provider.requests, [])
        self.assertEqual(len(self.proxy.outcomes), 1)

    async def test_without_a_key_there_is_no_websocket_either(self) -> None:
        """The upgrade is refused once."""
        await self.stage({"OPENAI_API_KEY": ""})
        raised = await self.sdk("failing_connect")
        self.assertIn("400", raised["message"])
        self.assertEqual(self.provider.requests, [])
        self.assertEqual(len(self.proxy.outcomes), 1)

    async def test_a_key_that_the_provider_refuses(self) -> None:
        """The provider's own 401 arrives as it is, after one try."""
        await self.stage()
        error = {"message": "Incorrect API key", "type": "x", "code": "invalid_api_key"}
        self.provider.on(CHAT, answer_json({"error": error}, 401))
        raised = await self.sdk("failing_chat")
        self.assertEqual(raised["kind"], "AuthenticationError")
        self.assertEqual(raised["code"], "invalid_api_key")
        self.isolated(OPENAI, 1)

    async def test_a_host_that_squid_forbids_is_tried_once(self) -> None:
        """``PermissionDeniedError`` again, but it speaks of the allow-list."""
        await self.stage(allow=["api.anthropic.com"])
        raised = await self.sdk("failing_chat")
        self.assertEqual(raised["kind"], "PermissionDeniedError")
        self.assertEqual(raised["code"], "egress_denied")
        self.assertEqual(len(self.proxy.outcomes), 1)

    async def test_a_rate_limit_is_waited_for(self) -> None:
        """The provider's 429 and Retry-After reach the SDK, which tries again."""
        await self.stage()
        error = {"message": "slow down", "type": "requests", "code": "rate_limit"}
        limit = answer_json({"error": error}, 429, [(b"Retry-After", b"1")])
        self.provider.on(CHAT, limit, answer_json(completion()))
        self.assertEqual(await self.sdk("chat"), TEXT)
        self.isolated(OPENAI, 2)
        statuses = [line["status"] for line in self.proxy.outcomes]
        self.assertEqual(statuses, [429, 200])

    async def test_a_stream_that_is_cut_never_ends_in_silence(self) -> None:
        """However the provider breaks off, the SDK raises."""
        await self.stage()
        for how in ("reset", "fin", "close"):
            self.provider.on(CHAT, cut(completion_stream(), 400, how))
            seen, raised = await self.sdk("cut_chat")
            self.assertIsNotNone(raised, seen)
            self.assertNotIn(WORDS[-1], seen)
        self.isolated(OPENAI, 3)

    async def test_a_websocket_that_is_cut_never_ends_in_silence(self) -> None:
        """The provider's connection breaks; the SDK hears of it."""
        await self.stage()
        ended = by_hand(lambda call: call.end("fin"))
        self.provider.on(RESPONSES, ended)
        raised = await self.sdk("cut_connect")
        self.assertIsNotNone(raised)
        self.isolated(OPENAI, 1)
        line = await self.outcome()
        self.assertEqual(line["error"], "upstream_reset")
