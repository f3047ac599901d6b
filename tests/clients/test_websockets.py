"""The ``websockets`` library through the proxy, with threads and with asyncio."""

from typing import Any

from tests.clients.case import ClientCase
from tests.clients.websockets_turns import BIG, SENT, shown
from tests.kit.provider import Socket, SocketClosed, websocket
from tests.squid.proxy import OPENAI, PLACEHOLDER


async def converse(socket: Socket) -> None:
    """The provider's part, beside echoing."""

    def said(word: str) -> bool:
        texts = [each for each in socket.messages if isinstance(each, str)]
        return word in texts

    await socket.until(lambda: said("in three pieces") or said("close"))
    if said("close"):
        socket.end(4002, "enough")
    else:
        socket.ping(b"still there?")
        socket.send("abcdefghij", fragment=4)


class ConversationTests(ClientCase):
    async def converse(self, kind: str, compression: str) -> dict[str, Any]:
        """The conversation; see ``websockets_turns``."""
        await self.stage()
        headers = {"x-codex-turn-state": "opaque"}
        self.provider.on(
            b"/v1/realtime",
            websocket(protocols=["chat.v2"], headers=headers, then=converse),
        )
        url = self.url(OPENAI, "/v1/realtime?model=mock-1", "ws")
        module = "websockets_turns"
        seen: dict[str, Any] = await self.tell(
            module, kind, url, PLACEHOLDER, compression
        )
        self.isolated(OPENAI, 2)
        self.assertEqual(seen["subprotocol"], "chat.v2")
        self.assertEqual(seen["turn_state"], "opaque")
        self.assertEqual(seen["echo"], [shown(message) for message in (*SENT, BIG)])
        whole, pieces = seen["pieces"]
        self.assertEqual((whole, "".join(pieces)), ("in three pieces", "abcdefghij"))
        if compression == "plain":  # else zlib decides what is in which frame
            self.assertEqual(pieces, ["abcd", "efgh", "ij"])
        self.assertTrue(seen["pong"])
        self.assertEqual(
            seen["ending"],
            {"kind": "ConnectionClosedError", "code": 4002, "reason": "enough"},
        )
        first, second = self.provider.sockets
        self.assertEqual(first.pings, [b"are you there?"])
        self.assertEqual(first.pongs, [b"still there?"])
        self.assertEqual(first.closed, SocketClosed(True, 4001, "bye"))
        self.assertEqual(second.closed, SocketClosed(True, 4002, "enough"))
        for socket in (first, second):
            self.assertEqual(socket.deflate, compression == "deflate")
        await self.outcome(2)
        codes = [line["close_code"] for line in self.proxy.outcomes]
        self.assertEqual(codes, [4001, 4002])
        self.assertEqual(self.proxy.events("websocket_upgrade_failed"), [])
        return seen

    async def test_threads(self) -> None:
        """Without compression, nothing is agreed on."""
        seen = await self.converse("threads", "plain")
        self.assertIsNone(seen["extensions"])

    async def test_threads_with_deflate(self) -> None:
        """Compression is between the two ends."""
        seen = await self.converse("threads", "deflate")
        self.assertIn("permessage-deflate", seen["extensions"])

    async def test_asyncio(self) -> None:
        """Without compression, nothing is agreed on."""
        seen = await self.converse("asyncio", "plain")
        self.assertIsNone(seen["extensions"])

    async def test_asyncio_with_deflate(self) -> None:
        """Compression is between the two ends."""
        seen = await self.converse("asyncio", "deflate")
        self.assertIn("permessage-deflate", seen["extensions"])
