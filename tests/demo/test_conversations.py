"""The three conversations, when something is wrong with them."""

from apiproxy.demo import conversations as module
from apiproxy.demo.conversations import Conversations
from apiproxy.demo.screen import DemoFailed
from tests.demo.parts import TUNNEL, StageCase


class ConversationsTests(StageCase):
    async def conversations(self) -> Conversations:
        stage = await self.built()
        return Conversations(stage, self.screen, self.loop)

    async def test_all_three(self) -> None:
        """One tunnel carries them, and each shows the placeholder and the real key."""
        await (await self.conversations()).hold()
        text = self.text.getvalue()
        self.assertEqual(text.count("Authorization: Bearer placeholder"), 3)
        self.assertEqual(text.count("*  the real key"), 3)
        self.assertEqual(len(TUNNEL.findall(text)), 2)  # asked for, and in the log
        self.assertEqual(text.count("the tunnel is still warm"), 2)
        self.assertEqual(text.count("The key was right, and you never had it."), 3)
        self.assertIn("Still the same socket, still no key of yours.", text)
        self.assertIn("websocket_upgrade_complete: 101", text)

    async def test_no_key(self) -> None:
        """A provider that is not satisfied ends it."""
        conversations = await self.conversations()
        self.stage.provider._expected = b"another"
        with self.assertRaisesRegex(DemoFailed, "the answer is 401"):
            await conversations.hold()

    async def test_no_tunnel(self) -> None:
        """So does a proxy that nobody has asked."""
        conversations = await self.conversations()
        self.patch(self.stage.proxy, "heard", list)
        with self.assertRaisesRegex(DemoFailed, "stand-in has seen no CONNECT"):
            await conversations.hold()

    async def test_silence(self) -> None:
        """And so does one that says nothing."""
        conversations = await self.conversations()
        self.patch(module, "_SECONDS", 0.1)
        with self.assertRaisesRegex(DemoFailed, r"nothing came for 0\.1 seconds"):
            await conversations.hold()
