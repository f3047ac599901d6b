"""What every exchange on a listener shares."""

import json

from apiproxy.core.errors import BodyTooLarge, EgressSilent, RateLimited
from apiproxy.core.exchange import Phase
from tests.kit.memory import BenchCase


class RouteTests(BenchCase):
    """Exchanges and errors."""

    def test_it_begins_an_exchange(self) -> None:
        """Which everybody is told of."""
        bench = self.bench()
        exchange = bench.site.route.exchange("an-id", b"PUT", b"/a", websocket=True)
        self.assertEqual(
            (exchange.id, exchange.provider, exchange.method, exchange.path),
            ("an-id", "acme", "PUT", "/a"),
        )
        self.assertEqual(
            (exchange.transport, exchange.phase), ("websocket", Phase.ASKED)
        )
        self.assertEqual((bench.told, bench.census.live), (["asked PUT /a"], 1))
        other = bench.site.route.exchange("an-id", b"PUT", b"/a", websocket=False)
        self.assertEqual(other.transport, "http")

    def test_an_error_in_the_providers_dialect(self) -> None:
        """It says by itself whether trying again can help."""
        route = self.bench().site.route
        fields, body = route.error_answer(BodyTooLarge(), "an-id")
        self.assertEqual(
            fields,
            [
                (b"Content-Type", b"application/json"),
                (b"x-request-id", b"an-id"),
                (b"x-apiproxy-error", b"body_too_large"),
                (b"x-should-retry", b"false"),
            ],
        )
        self.assertEqual(json.loads(body)["error"]["code"], "body_too_large")
        told = RateLimited(fields=[(b"Retry-After", b"5")])
        fields, _ = route.error_answer(told, "an-id")
        self.assertEqual(dict(fields)[b"Retry-After"], b"5")
        fields, _ = route.error_answer(EgressSilent(), "an-id")
        self.assertNotIn(b"x-should-retry", dict(fields))
