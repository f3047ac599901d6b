"""What agents find out."""

from functools import partial
from typing import Any

import msgspec
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.answer import LocalAnswer
from apiproxy.admin.reflect import Reflect
from tests.admin.providers import KEY, provider


def _given(spent: Any) -> Any:
    return spent


class ReflectTests(SynchronousTestCase):
    """The endpoints and the limits."""

    def reflect(self, host: str = "127.0.0.1") -> Reflect:
        """All kinds of providers."""
        return Reflect(
            providers=(
                provider("openai", 10000, base_path=b"/v1"),
                provider("anthropic", 10001),
                provider("copilot", 10002, base_path=b"/x/"),
                provider("gemini", 10003, key=None),
                provider("vertex", 0),
                provider("corporate", 10007),
            ),
            version="1.2.3",
            host=host,
            websocket=True,
            limits={"max_body_bytes": 33554432, "first_byte_seconds": 120.5},
        )

    def shown(
        self, host: str = "127.0.0.1", accept: bytes | None = None
    ) -> LocalAnswer:
        """What is there at once."""
        answer = self.reflect(host).render(accept)
        assert isinstance(answer, LocalAnswer)
        return answer

    def test_body(self) -> None:
        """Everything an agent needs to choose an endpoint, and no key."""
        answer = self.shown(accept=b"text/plain")
        self.assertEqual(
            (answer.status, answer.content_type), (200, b"application/json")
        )
        self.assertNotIn(KEY, answer.body)
        body = msgspec.json.decode(answer.body)
        endpoints = body.pop("endpoints")
        self.assertEqual(
            body,
            {
                "version": "1.2.3",
                "websocket": True,
                "limits": {"max_body_bytes": 33554432, "first_byte_seconds": 120.5},
            },
        )
        self.assertEqual(
            endpoints[0],
            {
                "provider": "openai",
                "port": 10000,
                "base_url": "http://127.0.0.1:10000",
                "configured": True,
                "models": None,
                "models_url": "http://127.0.0.1:10000/v1/models",
            },
        )
        self.assertEqual(
            [(e["provider"], e["configured"], e["models_url"]) for e in endpoints[1:]],
            [
                ("anthropic", True, "http://127.0.0.1:10001/v1/models"),
                ("copilot", True, "http://127.0.0.1:10002/x/models"),
                ("gemini", False, "http://127.0.0.1:10003/v1beta/models"),
                ("vertex", True, None),
                ("corporate", True, None),
            ],
        )
        self.assertIsNone(endpoints[4]["base_url"])

    def test_spending(self) -> None:
        """What was spent stands beside it, as soon as the ledger has told."""
        told: Deferred[dict[str, object]] = Deferred()
        spent: Any
        for spent in (told, {"runs": {}}):
            reflect = evolve(self.reflect(), spending=partial(_given, spent))
            answer = reflect.render(None)
            if isinstance(answer, Deferred):
                told.callback({"runs": {}})
                answer = self.successResultOf(answer)
            body = msgspec.json.decode(answer.body)
            self.assertEqual((body["runs"], body["websocket"]), ({}, True))

    def test_wildcard_host(self) -> None:
        """An address that nobody can call is not shown."""
        for host in ("", "0.0.0.0", "::"):
            body = msgspec.json.decode(self.shown(host).body)
            self.assertEqual(body["endpoints"][1]["base_url"], "http://localhost:10001")

    def test_ipv6_host(self) -> None:
        """An IPv6 address stands in brackets."""
        body = msgspec.json.decode(self.shown("::1").body)
        self.assertEqual(body["endpoints"][1]["base_url"], "http://[::1]:10001")
