"""The SDKs, for Python and for Node, do what they are for through apiproxy."""

import re
from unittest import SkipTest

from tests.agents.alone import AloneCase
from tests.agents.parts import parts
from tests.agents.sdks import SDKS


class SdkTests(AloneCase):
    async def every_part(self, name: str) -> None:
        """All that an SDK does ends as it should."""
        (sdk,) = (each for each in SDKS if each.name == name)
        reason = sdk.missing()
        if reason is not None:
            raise SkipTest(reason)
        rows = await self.rows(f"^{re.escape(name)}$")
        self.all_well(rows, "ok", "by design")
        # One more for what holds of all of them: isolation and byte exactness.
        self.assertEqual(len(rows), len(list(parts(sdk))) + 1)

    async def test_openai_for_python(self) -> None:
        """Chat, responses, streams, models, and the WebSockets of Responses and Realtime."""
        await self.every_part("openai (Python)")

    async def test_anthropic_for_python(self) -> None:
        """Messages, streams, count_tokens, models, batches, and the upload of a file."""
        await self.every_part("anthropic (Python)")

    async def test_google_genai_for_python(self) -> None:
        """Answers, streams, countTokens, and the WebSocket of Live."""
        await self.every_part("google-genai (Python)")

    async def test_openai_for_node(self) -> None:
        """The same as for Python."""
        await self.every_part("openai (Node)")

    async def test_anthropic_for_node(self) -> None:
        """The same as for Python."""
        await self.every_part("@anthropic-ai/sdk (Node)")

    async def test_google_genai_for_node(self) -> None:
        """The same as for Python."""
        await self.every_part("@google/genai (Node)")
