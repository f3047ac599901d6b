"""Who is healthy, and what nobody is told."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.answer import LocalAnswer
from apiproxy.admin.health import AggregateHealth, ProviderHealth
from apiproxy.core.egress import EgressProxy
from apiproxy.credentials.static import StaticSource
from apiproxy.providers.base import Credential, Provider
from tests.admin.providers import KEY, provider


class ProviderHealthTests(SynchronousTestCase):
    """One provider."""

    def test_healthy(self) -> None:
        """A provider with a key is healthy, and the key is not told."""
        answer = ProviderHealth(provider("gemini", 10003)).render(None)
        self.assertEqual(
            (answer.status, answer.content_type), (200, b"application/json")
        )
        self.assertEqual(
            answer.body, b'{"status":"healthy","service":"apiproxy-gemini"}\n'
        )

    def test_not_configured(self) -> None:
        """A provider without a key says which setting is missing."""
        answer = ProviderHealth(provider("gemini", 10003, key=None)).render(
            b"text/html"
        )
        self.assertEqual(answer.status, 503)
        self.assertEqual(
            msgspec.json.decode(answer.body),
            {
                "status": "not_configured",
                "service": "apiproxy-gemini",
                "error": "Gemini is not configured; set GEMINI_API_KEY"
                " where apiproxy runs.",
            },
        )

    def test_source_that_runs_dry(self) -> None:
        """Health is that of this moment."""
        source = StaticSource(None)
        dry = Provider(
            name="openai",
            title="OpenAI",
            port=1,
            host="h",
            dialect=provider("openai", 1).dialect,
            credential=Credential(b"authorization", b"Bearer ", source),
            settings=("OPENAI_API_KEY",),
        )
        self.assertEqual(ProviderHealth(dry).render(None).status, 503)


class Figures:
    """A few."""

    def __init__(self) -> None:
        self.keys: dict[str, object] = {}

    def summary(self) -> dict[str, int]:
        return {"total_requests": 3}


class AggregateHealthTests(SynchronousTestCase):
    """The whole process."""

    def health(self, egress: str | None) -> AggregateHealth:
        """Health of two providers, one without a key."""
        return AggregateHealth(
            (provider("openai", 10000), provider("gemini", 10003, key=None)),
            version="1.2.3",
            egress=None if egress is None else EgressProxy.parse(egress),
            figures=Figures,
        )

    def test_body(self) -> None:
        """It is healthy as long as it answers, and says who can serve."""
        answer = self.health("http://squid:3128").render(None)
        assert isinstance(answer, LocalAnswer)
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            msgspec.json.decode(answer.body),
            {
                "status": "healthy",
                "service": "apiproxy",
                "version": "1.2.3",
                "squid_proxy": "http://squid:3128",
                "providers": {"openai": True, "gemini": False},
                "key_validation": {},
                "metrics_summary": {"total_requests": 3},
                "rate_limits": {},
            },
        )

    def test_no_secret(self) -> None:
        """Neither keys nor the password of the egress proxy are in it."""
        answer = self.health("http://agent:hunter22@squid:3128").render(None)
        assert isinstance(answer, LocalAnswer)
        body = answer.body
        self.assertNotIn(KEY, body)
        self.assertNotIn(b"hunter22", body)
        self.assertNotIn(b"agent", body)
        self.assertIn(b'"http://squid:3128"', body)

    def test_direct(self) -> None:
        """Where there is no egress proxy, it says so."""
        answer = self.health(None).render(None)
        assert isinstance(answer, LocalAnswer)
        self.assertIn(b'"squid_proxy":"not configured"', answer.body)
