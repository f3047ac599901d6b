"""What the control socket of a process by itself shows and changes."""

import os
from typing import Any

from twisted.internet.defer import Deferred

from apiproxy.admin.control.sources import Sources
from apiproxy.config import ConfigurationError
from apiproxy.core.exchange import Exchange
from apiproxy.core.stopping import StopOrder
from apiproxy.listening import PortTaken
from apiproxy.outside import Outside
from apiproxy.policy.ledger import LedgerUnavailable, Standing
from apiproxy.service import Proxy
from tests.kit.memory import get
from tests.test_service import ProxyCase, settings


class ControlTests(ProxyCase):
    """A service with a control socket, and what is behind that."""

    def controlled(self, **variables: str) -> tuple[Proxy, Sources]:
        path = os.path.abspath(self.mktemp())
        chosen = settings(APIPROXY_CONTROL_SOCKET=path, **variables)
        proxy = self.started(chosen)
        (opened,) = self.reactor.unixServers
        self.assertEqual((opened[0], opened[3]), (path, 0o600))
        root: Any = opened[1]
        return proxy, root.resource._desk._sources

    def test_what_is_under_way(self) -> None:
        """It is shown, and ended."""
        proxy, sources = self.controlled(APIPROXY_RUN_ID="r1")
        agent = self.agent(proxy)
        agent.deliver(get("/v1/models", "X-Request-Id: q1"))
        (shown,) = sources.exchanges()  # type: ignore[misc]
        self.assertEqual((shown.id, shown.run, sources.run()), ("q1", "r1", "r1"))
        self.assertEqual(sources.stop(StopOrder("exchange", "q1")), 1)
        self.assertIn(b"stopped_by_operator", agent.written)
        self.assertEqual(sources.exchanges(), [])
        self.assertEqual(sources.coverage(), {})
        self.assertEqual(sources.rates(), {})
        self.assertEqual(sources.settings()["run_id"], "r1")

    def test_caps(self) -> None:
        """With the first that is set requests are looked at, and without any no more."""
        proxy, sources = self.controlled()
        metering = proxy.sites["openai"].route.metering
        assert metering is not None
        exchange = Exchange("q1", "openai", "POST", "/v1/responses", seconds=float)
        self.assertFalse(metering.gates(exchange))
        sources.set_cap("run:default", "runs", 7, None)
        self.assertTrue(metering.gates(exchange))
        self.assertEqual(sources.standings(), [Standing("run:default", "runs", cap=7)])
        sources.set_cap("run:default", "runs", None, None)
        self.assertFalse(metering.gates(exchange))
        self.assertIsNone(sources.configured("run:default", "runs"))

    def test_caps_on_a_ledger_that_answers_later(self) -> None:
        """The same, when it has answered."""
        proxy, sources = self.controlled()
        store: Any = proxy._books._store
        waiting: Deferred[None] = Deferred()
        set_cap = store.set_cap

        def later(*args: Any) -> Deferred[None]:
            set_cap(*args)
            return waiting

        self.patch(store, "set_cap", later)
        done: Any = sources.set_cap("run:default", "runs", 7, None)
        self.assertFalse(proxy._books.accounts.capped)
        waiting.callback(None)
        self.successResultOf(done)
        self.assertTrue(proxy._books.accounts.capped)
        proxy._books.look_at_caps()
        self.assertTrue(proxy._books.accounts.capped)

    def test_a_drain(self) -> None:
        """It begins when that has been said."""
        ended: list[bool] = []
        proxy, sources = self.controlled()
        outside = Outside(end=lambda: ended.append(True))
        self.patch(proxy, "_outside", outside)
        sources.drain()
        self.assertEqual((ended, sources.reload()), ([], ()))
        self.reactor.advance(1)
        self.assertEqual(ended, [True])
        stopping = self.stopped(proxy)
        self.turn(3)
        self.successResultOf(stopping)

    def test_a_place_where_no_socket_can_be(self) -> None:
        """The service does not start without it."""
        proxy = self.proxy(settings(APIPROXY_CONTROL_SOCKET="/nowhere/at/all"))
        self.assertRaises(PortTaken, proxy.startService)

    def test_a_ledger_that_cannot_be_opened(self) -> None:
        """Nor without that."""
        proxy = self.proxy()

        def fails() -> None:
            raise LedgerUnavailable("broken")

        self.patch(proxy._books, "open", fails)
        error = self.assertRaises(ConfigurationError, proxy.startService)
        (problem,) = error.problems
        self.assertRegex(problem, "^APIPROXY_STATE_DIR.* cannot be opened: broken$")
