"""Routes as settings want them."""

from typing import cast

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import Settings
from apiproxy.core.exchange import Census
from apiproxy.policy.tokens import Verifier, make
from apiproxy.policy.tools import ToolPolicy
from apiproxy.routing import Routing
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.route import Route
from apiproxy.wire.trust import trust
from apiproxy.wire.watch import Watch
from apiproxy.wire.ways import Ways
from tests.test_service import settings

TOKEN = make("openai", bytes)


class RoutingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.census = Census()
        self.counters = Counters(
            now=float, version="1", upstream_lines=list, log_lines_dropped=int
        )
        log = LineLog(lambda line: None, level="error", now=float)
        self.routing = Routing(
            cast(Reactor, self.reactor),
            log,
            self.counters,
            self.census,
            (),
            Watch(self.reactor, self.reactor.seconds, 1.0),
            seconds=self.reactor.seconds,
            complain=lambda sentence, error: None,
        )

    def routes(self, chosen: Settings) -> dict[str, Route]:
        ways = Ways(self.reactor, trust(*chosen.ca_files), chosen.deadlines)
        return self.routing.routes(chosen, ways, ToolPolicy(), None)

    def test_each_provider_has_one(self) -> None:
        """With a pool of its own, through the egress proxy unless it is to be left out."""
        routes = self.routes(settings(NO_PROXY="api.anthropic.com"))
        self.assertEqual(list(routes), [one.name for one in settings().providers])
        self.assertEqual(len({id(route.pool) for route in routes.values()}), 6)
        direct = [name for name, route in routes.items() if not route.tunnelled]
        self.assertEqual(direct, ["anthropic"])

    def test_what_outlasts_a_reload(self) -> None:
        """Who holds how many connections, and what is under way."""
        before, after = (self.routes(settings())["openai"] for _ in range(2))
        self.assertIs(before.peers, after.peers)
        self.assertIs(before.census, after.census)
        self.assertIs(before.handshakes, after.handshakes)
        self.assertIsNot(before.pool, after.pool)

    def test_callers(self) -> None:
        """They are asked who they are where there is a list of them."""
        self.assertIsNone(self.routes(settings())["openai"].callers)
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(
                f'[callers.ci]\ntokens = ["{Verifier.of(TOKEN).text()}"]\n'.encode()
            )
        routes = self.routes(settings(APIPROXY_CALLERS_FILE=path))
        self.assertIsNotNone(routes["openai"].callers)

    def test_second_attempts_are_counted_by_provider(self) -> None:
        """Each on its own."""
        self.routes(settings())["gemini"].retried()
        self.assertEqual(self.counters.tally("gemini").retries, 1)
        self.assertEqual(self.counters.tally("openai").retries, 0)
