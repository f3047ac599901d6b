"""What a service says of its own life."""

import json
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.herald import Herald, needing_restart
from apiproxy.telemetry.lines import LineLog
from tests.test_service import settings


class HeraldTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[bytes] = []
        self.herald = Herald(LineLog(self.lines.append, level="info", now=float))

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def test_listening(self) -> None:
        """Where, for whom, and what is missing."""
        for provider in settings().providers[:2]:
            self.herald.listening(provider, "127.0.0.1:1")
        one, other = self.said()
        self.assertEqual((one["provider"], one["configured"]), ("openai", True))
        self.assertEqual((one["address"], one["hint"]), ("127.0.0.1:1", None))
        self.assertIn("ANTHROPIC_API_KEY", other["hint"])

    def test_up(self) -> None:
        """Warnings first; then who has a key, and what else there is to tell."""
        self.herald.up(settings(HTTPS_PROXY=""), workers=2)
        warning, callers, up = self.said()
        self.assertEqual((warning["level"], up["level"]), ("warning", "info"))
        self.assertEqual(callers["event"], "callers")
        self.assertEqual(up["providers_configured"], ["openai", "opencode"])
        self.assertEqual(up["workers"], 2)

    def test_reloaded(self) -> None:
        """What has to wait for a restart is said."""
        self.herald.reloaded(settings(), settings(APIPROXY_WORKERS="4"))
        self.assertIn("number of workers", self.said()[0]["message"])
        self.assertEqual(self.said()[-1]["message"], "settings are in force")

    def test_what_was_opened_at_the_start(self) -> None:
        """Stays as it was, and that is said; it is not what is in force by now."""
        began = settings(APIPROXY_LEDGER="redis://:secret-1@h/0")
        new = settings(
            APIPROXY_LEDGER="redis://:secret-2@h/0",
            APIPROXY_USAGE_LOG_FILES="9",
            APIPROXY_CONTROL_SOCKET="/x",
        )
        self.herald.reloaded(began, new)
        told = [line["message"] for line in self.said() if line["level"] == "warning"]
        for what in ("place of the ledger", "usage log", "control socket"):
            self.assertIn(f"the {what} changes only by a restart", told)
        self.assertNotIn(b"secret-", b"".join(self.lines))
        self.lines.clear()
        self.herald.reloaded(began, began)
        self.assertNotIn(b"by a restart", b"".join(self.lines))

    def test_the_end(self) -> None:
        """How much was under way, and what became of it."""
        self.herald.draining(3)
        self.herald.drained(in_order=True)
        self.herald.drained(in_order=False)
        self.herald.strict()
        said = [line.get("message") or line["event"] for line in self.said()]
        self.assertEqual(
            said,
            [
                "draining",
                "all exchanges ended",
                "live exchanges were aborted",
                "key_validation_strict_exit",
            ],
        )


class RestartTests(SynchronousTestCase):
    def needing(self, **variables: str) -> set[str]:
        return set(needing_restart(settings(), settings(**variables)))

    def test_listeners_that_would_be_others(self) -> None:
        """Another port or socket, one that is new or gone; a key is no reason."""
        self.assertEqual(self.needing(), set())
        self.assertEqual(self.needing(GEMINI_API_KEY="key-of-gemini"), set())
        self.assertEqual(self.needing(APIPROXY_VERTEX_PORT="1"), {"vertex"})
        self.assertEqual(self.needing(APIPROXY_VERTEX_SOCKET="/x"), {"vertex"})
        self.assertEqual(self.needing(APIPROXY_VERTEX_PORT="off"), {"vertex"})
        new = evolve(settings(), providers=settings().providers[1:])
        self.assertEqual(set(needing_restart(new, settings())), {"openai"})

    def test_another_address(self) -> None:
        """That is for all of them."""
        self.assertEqual(len(self.needing(APIPROXY_BIND="127.0.0.2")), 6)
