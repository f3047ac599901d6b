"""What agents find out."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.reflect import Reflect
from tests.admin.providers import KEY, provider


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

    def test_body(self) -> None:
        """Everything an agent needs to choose an endpoint, and no key."""
        answer = self.reflect().render(b"text/plain")
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

    def test_wildcard_host(self) -> None:
        """An address that nobody can call is not shown."""
        for host in ("", "0.0.0.0", "::"):
            body = msgspec.json.decode(self.reflect(host).render(None).body)
            self.assertEqual(body["endpoints"][1]["base_url"], "http://localhost:10001")

    def test_ipv6_host(self) -> None:
        """An IPv6 address stands in brackets."""
        body = msgspec.json.decode(self.reflect("::1").render(None).body)
        self.assertEqual(body["endpoints"][1]["base_url"], "http://[::1]:10001")
