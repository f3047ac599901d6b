"""One listener."""

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.interfaces import IProtocolFactory
from zope.interface.verify import verifyObject

from apiproxy.core.limits import Limits
from apiproxy.core.values import Secret
from apiproxy.credentials.static import StaticSource
from apiproxy.policy.visitors import Visitors
from apiproxy.providers.base import Credential
from tests.kit.memory import (
    Bench,
    BenchCase,
    a_provider,
    answer,
    get,
    head,
    local,
    post,
    request,
)
from tests.kit.sockets import opened

HEALTH = {b"/health": local(503, b"not well")}


class EndpointTests(BenchCase):
    """What the listener answers itself."""

    def test_only_the_exact_target_is_local(self) -> None:
        """By GET or HEAD; everything else is the provider's."""
        for sent in (
            get("/health?x"),
            get("/health/"),
            get("/Health"),
            post("/health", b""),
            get("/health", method="DELETE"),
        ):
            bench = self.bench(endpoints=HEALTH)
            bench.agent().send(sent)
            self.assertEqual(len(bench.endpoint.lines), 1)
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get("/health") + get("/health", method="HEAD"))
        self.assertEqual(agent.text.count("HTTP/1.1 503 Service Unavailable"), 2)
        self.assertEqual(bench.told, [])

    def test_an_endpoint_is_told_what_is_accepted(self) -> None:
        """The first ``Accept`` line, None without one."""
        accepted: list[bytes | None] = []

        def endpoint(accept: bytes | None) -> Any:
            accepted.append(accept)
            return local(200, b"")(accept)

        bench = self.bench(endpoints={b"/metrics": endpoint})
        agent = bench.agent()
        agent.send(get("/metrics", "ACCEPT: text/plain") + get("/metrics"))
        self.assertEqual(accepted, [b"text/plain", None])

    def test_an_endpoint_that_breaks(self) -> None:
        """500, a complaint, and the listener goes on."""

        def broken(accept: bytes | None) -> Any:
            raise ZeroDivisionError

        bench = Bench(endpoints={b"/health": broken})
        agent = bench.agent()
        agent.send(get("/health"))
        self.assert_error(agent, 500, "internal_error")
        self.assertEqual(
            bench.complaints, ["a request could not be served: ZeroDivisionError()"]
        )
        self.assertEqual(bench.refusals, ["internal_error"])
        agent.send(get())
        self.assertEqual(len(bench.endpoint.lines), 1)


class VisitorTests(BenchCase):
    """Web pages are told from agents."""

    HERE = IPv4Address("TCP", "127.0.0.1", 5)

    def listener(self) -> Bench:
        """One that one page may use."""
        bench = Bench()
        bench.site.route.visitors = Visitors(["a"], ["https://app.example"])
        return bench

    def test_pages_are_turned_away(self) -> None:
        """Nothing leaves, and the connection is closed; an agent is served."""
        for lines, code in (
            (("Host: evil.example",), "host_refused"),
            (("Origin: https://evil.example",), "origin_refused"),
        ):
            bench = self.listener()
            agent = bench.agent(peer=self.HERE)
            agent.send(get("/", *lines) * 2)
            self.assert_error(agent, 403, code, closing=True)
            self.assertEqual((bench.endpoint.lines, bench.refusals), ([], [code]))
        other = self.listener()
        other.agent(peer=self.HERE).send(get())
        self.assertEqual(len(other.endpoint.lines), 1)

    def test_an_origin_that_may_is_passed_on(self) -> None:
        """The provider may want to know it."""
        bench = self.listener()
        agent = bench.agent(peer=self.HERE)
        agent.send(
            get("/", "Origin: https://App.example", "Sec-Fetch-Site: cross-site")
        )
        self.assertIn(b"\r\nOrigin: https://App.example\r\n", bench.line().received)
        self.assertNotIn(b"Fetch", bench.line().received)

    def test_on_a_unix_socket_nobody_asks(self) -> None:
        """No browser comes there, and clients put anything into Host."""
        bench = self.listener()
        agent = bench.agent(peer=UNIXAddress(b"/x"))
        agent.send(get("/", "Host: api.openai.com", "Origin: https://evil.example"))
        self.assertEqual(len(bench.endpoint.lines), 1)


class LimitTests(BenchCase):
    """How much at once."""

    def test_only_so_many_agents(self) -> None:
        """The connection that is one too many is closed before a byte."""
        bench = self.bench(limits=Limits(connections=2))
        first = bench.agent()
        bench.agent()
        self.assertIsNone(bench.site.buildProtocol(None))
        first.leave()
        self.assertIsNotNone(bench.site.buildProtocol(None))

    def test_websockets_are_agents_too(self) -> None:
        """An open one counts until its connection is gone."""
        bench = self.bench(limits=Limits(connections=1))
        agent, line = opened(bench)
        self.assertIsNone(bench.site.buildProtocol(None))
        agent.leave()
        line.leave()
        self.assertIsNotNone(bench.site.buildProtocol(None))
        self.assertEqual(bench.census.agents, 0)

    def test_only_so_many_exchanges(self) -> None:
        """503, which may be tried again; exactly so many are let in."""
        bench = self.bench(limits=Limits(exchanges=2))
        agents = [bench.agent() for _ in range(3)]
        for agent in agents:
            agent.send(get())
        self.assertEqual(len(bench.endpoint.lines), 2)
        self.assert_error(agents[2], 503, "too_many_exchanges")
        self.assertNotIn(b"x-should-retry", agents[2].take())
        bench.line().send(answer())
        agents[2].send(get())
        self.assertEqual(agents[2].received, b"")
        self.assertEqual(bench.census.live, 2)


class RouteTests(BenchCase):
    """A listener whose route is replaced."""

    def test_what_comes_later_goes_by_the_new_route(self) -> None:
        """What is under way ends by the old one; connections stay."""
        bench = self.bench()
        agent, other = bench.agent(), bench.agent()
        agent.send(request("POST", "/", "Content-Length: 2"))
        bench.endpoint.held = True
        agent.send(b"1")
        new = Credential(b"x-new-slot", b"", StaticSource(Secret(b"sk-new")))
        old = bench.pool
        bench.site.use(bench.route(a_provider(credential=new)))
        old.close()
        bench.endpoint.held = False
        other.send(get("/", "X-New-Slot: mine"))
        self.assertIn(b"x-new-slot: sk-new\r\n", bench.line().received)
        self.assertNotIn(b"mine", bench.line().received)
        agent.send(b"2")
        bench.line(0).send(answer(b"old"))
        bench.line(1).send(answer(b"new"))
        self.assertTrue(agent.received.endswith(b"old"))
        self.assertTrue(other.received.endswith(b"new"))
        agent.send(get())
        self.assertIn(b"sk-new", bench.line().received)


class DrainTests(BenchCase):
    """A listener that takes nothing new."""

    def test_idle_connections_are_closed(self) -> None:
        """Busy ones end with their answer, and say so if they still can."""
        bench = self.bench()
        idle, busy, late = bench.agent(), bench.agent(), bench.agent()
        busy.send(get())
        late.send(get())
        bench.line(1).send(head("200 OK", "Content-Length: 2"))
        bench.site.drain()
        bench.turn()
        self.assertEqual(idle.state, "ended")
        self.assertFalse(bench.site.quiet)
        bench.line(0).send(answer(b"ok"))
        bench.line(1).send(b"ok")
        self.assertIn(b"Connection: close\r\n", busy.received)
        self.assertNotIn(b"Connection: close\r\n", late.received)
        self.assertEqual([busy.state, late.state], ["ended", "ended"])

    def test_new_requests_are_refused(self) -> None:
        """503, which may be tried again; local endpoints still answer."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get() + get())
        other = bench.agent()
        other.send(get())
        bench.site.drain()
        bench.line(0).send(answer(b"1"))
        self.assertEqual(agent.state, "ended")
        self.assertEqual(bench.told.count("asked GET /v1/models"), 2)
        late = bench.agent()
        late.send(get())
        self.assert_error(late, 503, "shutting_down", closing=True)
        local = bench.agent()
        local.send(get("/health"))
        self.assertIn(b"Connection: close\r\n", local.received)

    def test_an_answer_that_is_still_being_read_is_not_cut(self) -> None:
        """It is not over for the agent when it is over for the provider."""
        bench = self.bench()
        agent = bench.agent(high_water=100)
        agent.send(get())
        agent.stall()
        bench.line().send(answer(b"x" * 1000))
        bench.site.drain()
        self.assertFalse(bench.site.quiet)
        agent.flow()
        self.assertTrue(agent.received.endswith(b"x" * 1000))
        agent.leave()
        self.assertTrue(bench.site.quiet)

    def test_an_answer_on_its_way_at_the_drain_is_not_cut(self) -> None:
        """Nor one behind which the connection is being closed already."""
        bench = self.bench()
        agent = bench.agent(high_water=100)
        agent.send(get("/", "Connection: close"))
        agent.stall()
        bench.line().send(answer(b"x" * 1000))
        other = bench.agent()
        other.send(b"nonsense\r\n\r\n")
        bench.site.drain()
        bench.turn()
        self.assertEqual((agent.state, other.state), ("open", "ended"))
        self.assertFalse(bench.site.quiet)
        agent.flow()
        self.assertTrue(agent.received.endswith(b"x" * 1000))
        agent.leave()
        other.leave()
        self.assertTrue(bench.site.quiet)

    def test_the_rest_is_aborted(self) -> None:
        """Upstream is; an agent that still waits is told why there is no answer."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get())
        bench.site.drain()
        bench.site.abort()
        bench.turn()
        self.assertEqual((agent.state, bench.line().state), ("closed", "aborted"))
        self.assert_error(agent, 503, "shutting_down", closing=True)
        self.assertTrue(bench.site.quiet)
        self.assertEqual(bench.census.live, 0)


class SmallPrintTests(BenchCase):
    """What Twisted wants of a site."""

    def test_it_is_a_factory(self) -> None:
        """Without an access log."""
        bench = self.bench()
        self.assertTrue(verifyObject(IProtocolFactory, bench.site))
        bench.site.doStart()
        bench.site.doStop()
        self.assertEqual(
            [call for call in bench.clock.calls if call.func != bench.watch._look], []
        )

    def test_repr_says_what_is_going_on(self) -> None:
        """For whoever debugs."""
        bench = self.bench()
        bench.agent()
        self.assertEqual(
            repr(bench.site),
            "<ProviderSite acme: 1 agents, 0 sockets, <Pool 0 idle, 0 busy>>",
        )
