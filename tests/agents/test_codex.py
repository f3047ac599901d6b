"""The Codex CLI over its WebSocket: what this project was begun for."""

from tests.agents.alone import AloneCase, missing
from tests.agents.programs import BIN


class CodexTests(AloneCase):
    skip = missing(BIN / "codex", "the Codex CLI") or AloneCase.skip

    async def test_it_works_over_its_websocket(self) -> None:
        """One upgrade, no POST, no reconnect; two turns of a session share a WebSocket."""
        steady = "plain|tool|long|refused|two turns"
        rows = await self.rows("^codex responses websocket", steady)
        self.assertEqual(len(rows), 6)  # one of them by apiproxy exec
        self.all_well(rows)

    async def test_it_copes_with_what_goes_wrong(self) -> None:
        """It waits after a 429, and asks anew after a cut stream or a restart of apiproxy."""
        rows = await self.rows("^codex responses websocket", "429|cut|restart")
        self.assertEqual(len(rows), 3)
        self.all_well(rows)

    async def test_without_a_websocket_it_takes_http_at_once(self) -> None:
        """426 lets it fall back without a word of reconnecting; nobody upgrades upstream."""
        rows = await self.rows("^codex responses websocket", "websocket off")
        self.assertEqual(len(rows), 1)
        self.all_well(rows)
