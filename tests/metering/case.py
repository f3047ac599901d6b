"""What tests of metering through the whole proxy have in common."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kit.agent import SocketAgent
from tests.kit.http import Response
from tests.squid.proxy import OPENAI, Known, SquidCase

CHAT = b"/v1/chat/completions"
RESPONSES = b"/v1/responses"


class MeteringCase(SquidCase):
    """A proxy that writes a usage log."""

    timeout = 180

    async def stage_metering(self, **environ: str) -> None:
        """Put everything up, with a usage log."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        await self.stage({"APIPROXY_USAGE_LOG_DIR": str(self.folder), **environ})

    async def post(
        self,
        body: bytes | Mapping[str, object],
        path: bytes = CHAT,
        known: Known = OPENAI,
        fields: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Response:
        """One request for a response."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        every = [(b"Content-Type", b"application/json"), *fields]
        return await self.ask(known, b"POST", path, every, body)

    async def get_json(self, path: bytes) -> dict[str, Any]:
        """What a local endpoint says."""
        answer = await self.ask(OPENAI, b"GET", path)
        told: dict[str, Any] = json.loads(bytes(answer.body))
        return told

    async def reflected(self) -> dict[str, Any]:
        """What ``/reflect`` says."""
        return await self.get_json(b"/reflect")

    async def effective(self) -> float:
        """Effective tokens in the ledger."""
        told = await self.reflected()
        spent: float = told["effective_tokens"]["total_effective_tokens"]
        return spent

    async def records(self, count: int) -> list[dict[str, Any]]:
        """The lines of the usage log, when there are so many."""
        path = self.folder / "token-usage.jsonl"

        def lines() -> list[str]:
            self.proxy.proxy.flush()
            return path.read_text().splitlines() if path.exists() else []

        await self.until(lambda: len(lines()) >= count)
        found = [json.loads(line) for line in lines()]
        self.assertEqual(len(found), count, found)
        return found

    async def metric(self, name: str, **labels: str) -> float:
        """A figure of ``/metrics``; 0 if it is not there."""
        fields = [(b"Accept", b"text/plain")]
        answer = await self.ask(OPENAI, b"GET", b"/metrics", fields)
        total = 0.0
        for line in bytes(answer.body).decode().splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(
                f'{key}="{word}"' in sample for key, word in labels.items()
            ):
                total += float(value)
        return total

    async def say(self, socket: SocketAgent, message: str) -> list[dict[str, Any]]:
        """Send a message, and take the events up to the end of its response."""
        socket.send(message)
        return await self.hear(socket)

    async def hear(self, socket: SocketAgent) -> list[dict[str, Any]]:
        """The events up to the end of a response, or an error."""
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["type"] not in ("response.completed", "error"):
            heard.append(json.loads(await socket.message()))
        return heard
