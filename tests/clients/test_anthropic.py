"""The ``anthropic`` SDK through the proxy: every way it talks, and how it takes errors."""

from typing import Any

from tests.clients.answers import TEXT, WORDS, message, message_stream
from tests.clients.case import ClientCase
from tests.kit.provider import answer_json, cut
from tests.squid.proxy import PLACEHOLDER, PROVIDERS

ANTHROPIC = PROVIDERS[1]
MESSAGES = b"/v1/messages"


class AnthropicCase(ClientCase):
    async def sdk(self, name: str) -> Any:
        """One thing that the SDK does, with a key that is none."""
        return await self.tell(
            "anthropic_turns", name, self.url(ANTHROPIC), PLACEHOLDER
        )

    def isolated_messages(self, count: int) -> None:
        """As ``isolated``; and the SDK's own word on the version has stood."""
        self.isolated(ANTHROPIC, count)
        for request in self.provider.requests:
            names = [name.lower() for name, _ in request.fields]
            self.assertEqual(names.count(b"anthropic-version"), 1)
            self.assertNotIn(b"authorization", names)


class TurnTests(AnthropicCase):
    async def test_a_message(self) -> None:
        """As JSON, and as a stream."""
        await self.stage()
        self.provider.on(MESSAGES, answer_json(message()), message_stream())
        self.assertEqual(await self.sdk("messages"), [TEXT])
        self.assertEqual(await self.sdk("stream"), [list(WORDS), TEXT])
        self.isolated_messages(2)

    async def test_tokens_and_models(self) -> None:
        """What is asked beside messages."""
        await self.stage()
        self.provider.on(b"/v1/messages/count_tokens", answer_json({"input_tokens": 7}))
        model = {"id": "mock-1", "type": "model", "display_name": "Mock"}
        listed = {"data": [model], "has_more": False}
        self.provider.on(b"/v1/models", answer_json(listed))
        self.assertEqual(await self.sdk("count_tokens"), 7)
        self.assertEqual(await self.sdk("models"), ["mock-1"])
        self.isolated_messages(2)


class ErrorTests(AnthropicCase):
    async def test_without_a_key_there_is_one_try_and_a_typed_error(self) -> None:
        """``PermissionDeniedError`` says which variable to set; nothing is tried again."""
        await self.stage({"ANTHROPIC_API_KEY": ""})
        raised = await self.sdk("failing")
        self.assertEqual(raised["kind"], "PermissionDeniedError")
        self.assertEqual(raised["status"], 403)
        self.assertEqual(raised["body"]["type"], "error")
        self.assertIn("ANTHROPIC_API_KEY", raised["body"]["error"]["message"])
        self.assertEqual(self.provider.requests, [])
        self.assertEqual(len(self.proxy.outcomes), 1)

    async def test_a_key_that_the_provider_refuses(self) -> None:
        """The provider's own 401 arrives as it is, after one try."""
        await self.stage()
        error = {"type": "authentication_error", "message": "invalid x-api-key"}
        self.provider.on(MESSAGES, answer_json({"type": "error", "error": error}, 401))
        raised = await self.sdk("failing")
        self.assertEqual(raised["kind"], "AuthenticationError")
        self.assertEqual(raised["body"]["error"], error)
        self.isolated_messages(1)

    async def test_a_rate_limit_is_waited_for(self) -> None:
        """The provider's 429 and Retry-After reach the SDK, which tries again."""
        await self.stage()
        error = {"type": "rate_limit_error", "message": "slow down"}
        limit = answer_json(
            {"type": "error", "error": error}, 429, [(b"Retry-After", b"1")]
        )
        self.provider.on(MESSAGES, limit, answer_json(message()))
        self.assertEqual(await self.sdk("messages"), [TEXT])
        self.isolated_messages(2)

    async def test_a_stream_that_is_cut_never_ends_in_silence(self) -> None:
        """However the provider breaks off, the SDK raises."""
        await self.stage()
        for how in ("reset", "fin", "close"):
            self.provider.on(MESSAGES, cut(message_stream(), 700, how))
            self.assertIsNotNone(await self.sdk("cut"))
        self.isolated_messages(3)
