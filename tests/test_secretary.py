"""The secrets that programs give, in a service."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apiproxy.config import collect
from apiproxy.core.errors import CredentialAwaited
from tests.security.stage import WAYS, PitfallCase


class SecretaryTests(PitfallCase):
    """From the program to the provider."""

    async def test_a_key_from_a_program(self) -> None:
        """It is sent on every port that needs it, and never logged."""
        answer = json.dumps({"value": "sk-From-A-Program-Q7x"})
        command = f"/bin/echo '{answer}'"
        proxy = await self.put_up(
            {"OPENAI_API_KEY": "", "OPENAI_API_KEY_COMMAND": command}
        )
        await self.until(lambda: proxy.events("credential_fetched"))
        for way in WAYS[:2]:
            response = await self.answered(way)
            self.assertIn(response.status, (101, 200))
        for request in self.provider.requests:
            self.assertEqual(
                request.all(b"authorization"), [b"Bearer sk-From-A-Program-Q7x"]
            )
        before = proxy.proxy._secretary.sources
        self.assertEqual(len(before), 1)
        proxy.proxy.reload(proxy.settings)
        self.assertEqual(proxy.proxy._secretary.sources, before)
        self.assertNotIn(b"From-A-Program", b"".join(proxy.raw))

    async def test_a_key_from_a_program_is_in_no_usage_log(self) -> None:
        """Not even if an agent that knows it calls its model so."""
        key, folder = "sk-From-A-Program-Q7x", Path(self.mktemp()).absolute()
        proxy = await self.put_up(
            {
                "OPENAI_API_KEY": "",
                "OPENAI_API_KEY_COMMAND": f"/bin/echo '{json.dumps({'value': key})}'",
                "APIPROXY_USAGE_LOG_DIR": str(folder),
                "APIPROXY_MAX_RUNS": "9",
            }
        )
        await self.until(lambda: proxy.events("credential_fetched"))
        await self.answered(
            WAYS[0],
            target=b"/v1/chat/completions",
            method=b"POST",
            body=json.dumps({"model": key, "usage": {"prompt_tokens": 1}}).encode(),
        )
        log = folder / "token-usage.jsonl"
        await self.until(lambda: log.exists() and log.stat().st_size > 0)
        (line,) = log.read_text().splitlines()
        self.assertEqual(json.loads(line)["model"], "‹secret›")

    async def test_a_program_that_fails(self) -> None:
        """503 until it works; the log says what is wrong, not what it printed."""
        command = "/bin/echo sk-Bare-Key-Q7x"
        proxy = await self.put_up(
            {"OPENAI_API_KEY": "", "OPENAI_API_KEY_COMMAND": command}
        )
        await self.until(lambda: proxy.events("credential_failed"))
        (line, *_) = proxy.events("credential_failed")
        self.assertEqual((line["program"], line["usable"]), ("echo", False))
        for way in WAYS[:2]:
            response = await self.answered(way)
            status = 426 if way.upgrade else 503
            self.assert_refused(way, response, status, CredentialAwaited.code)
        self.assertNotIn(b"Bare-Key", b"".join(proxy.raw))
        self.assert_untouched()


class DescriptorTests(PitfallCase):
    """A key behind a descriptor that was inherited."""

    def piped(self, data: bytes) -> int:
        """A descriptor behind which this stands."""
        end, other = os.pipe()
        os.write(other, data)
        os.close(other)
        return end

    def test_it_is_read_once_and_closed(self) -> None:
        """A reload has what was read at start."""
        number = self.piped(b"sk-piped\n")
        environ = {"OPENAI_API_KEY_FD": str(number)}
        settings, origin = collect(None, environ)
        secret: Callable[[Any], list[bytes]] = lambda found: [  # noqa: E731
            one.reveal() for one in found.providers[0].secrets
        ]
        self.assertEqual(secret(settings), [b"sk-piped"])
        self.assertRaises(OSError, os.fstat, number)
        again, _ = collect(None, environ, origin)
        self.assertEqual(secret(again), [b"sk-piped"])
