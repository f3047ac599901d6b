"""The Codex CLI through the proxy: over its WebSocket, and over HTTP when there is none.

It is not installed by the tests; ``make agents`` does that. As root, everything runs
in a network namespace that has nothing but loopback, so that Codex cannot reach anybody.

Codex exits with 0 also after a fallback that took it seconds, so the exit code says little:
what counts is what the provider got, and that Codex never spoke of reconnecting.
"""

import json
import os
import shutil
import sys
from typing import Any

from tests.clients.answers import TEXT
from tests.clients.codex_turn import CODEX, KEY
from tests.kit.case import LoopbackCase
from tests.kit.running import Program, ProgramFailed, ran
from tests.kit.squid import squid_missing


def codex_missing() -> str | None:
    """Why Codex cannot be run here; None if it can."""
    if not os.access(CODEX, os.X_OK):
        return "the Codex CLI is not installed; make agents"
    if shutil.which("node") is None:
        return "the Codex CLI needs node; apt-get install nodejs"
    return None


class CodexTests(LoopbackCase):
    timeout = 300

    skip = codex_missing() or squid_missing()

    async def turn(self, websocket: str) -> dict[str, Any]:
        """One turn, and everything that was seen of it."""
        arguments = [sys.executable, "-m", "tests.clients.codex_turn", websocket]
        unshare, ip = shutil.which("unshare"), shutil.which("ip")
        if os.getuid() == 0 and unshare is not None and ip is not None:
            alone = '"$0" link set lo up && exec "$@"'
            arguments = [unshare, "-n", "sh", "-c", alone, ip, *arguments]
        program = Program(self.reactor, arguments)
        end = await ran(program)
        if end.code:
            raise ProgramFailed(program.words())
        seen: dict[str, Any] = json.loads(end.out)
        self.assertEqual(seen["code"], 0, seen)
        self.assertNotIn("Reconnecting", json.dumps(seen["events"]))
        said = [
            event["item"]["text"]
            for event in seen["events"]
            if event["type"] == "item.completed"
            and event["item"]["type"] == "agent_message"
        ]
        self.assertEqual(said, [TEXT], seen)
        self.assertFalse(seen["leaked"])
        self.assertEqual(set(seen["credentials"]), {f"Bearer {KEY}"})
        authority = f"api.openai.com:{seen['port']}"
        self.assertEqual({tuple(each) for each in seen["connects"]}, {(200, authority)})
        self.assertEqual((seen["exceptions"], seen["service_code"]), ([], 0))
        return seen

    async def test_a_turn_over_its_websocket(self) -> None:
        """One upgrade, no POST, no reconnect, no fallback."""
        seen = await self.turn("on")
        self.assertNotIn("Falling back", json.dumps(seen["events"]))
        counts = (seen["upgrades"], seen["posts"], seen["others"])
        self.assertEqual(counts, (1, 0, 0), seen)
        # The first only warms up.
        self.assertEqual(seen["asked"], ["response.create"] * 2)
        self.assertEqual(seen["deflate"], [True])
        outcomes = [["websocket_upgrade_complete", 101, None]]
        self.assertEqual(seen["outcomes"], outcomes)

    async def test_where_there_is_no_websocket_it_takes_http_at_once(self) -> None:
        """426 makes it fall back without a try to reconnect; the provider sees no upgrade."""
        seen = await self.turn("off")
        counts = (seen["upgrades"], seen["posts"], seen["others"])
        self.assertEqual(counts, (0, 1, 0), seen)
        refused, answered = seen["outcomes"]
        self.assertEqual(
            refused, ["websocket_upgrade_rejected", 426, "websocket_unavailable"]
        )
        self.assertEqual(answered[:2], ["request_complete", 200])
