"""Requests that wait for an answer of our own."""

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from apiproxy.core.errors import Overloaded
from apiproxy.wire.local import Endpoint
from tests.kit.memory import Agent, Bench, BenchCase, get, local, request


class AwaitedTests(BenchCase):
    def setUp(self) -> None:
        super().setUp()
        self.cancelled = 0
        self.asked: list[Deferred[Any]] = []

    def later(self, accept: bytes | None) -> Deferred[Any]:
        self.asked.append(Deferred(self.cancel))
        return self.asked[-1]

    def cancel(self, _: object) -> None:
        self.cancelled += 1

    def waiting(self, data: bytes) -> tuple[Bench, Agent]:
        """An agent that has asked for something that comes later."""
        endpoints: Mapping[bytes, Endpoint] = {
            b"/metrics": self.later,
            b"/health": local(200, b"fine"),
        }
        bench = self.bench(endpoints=endpoints)
        agent = bench.agent()
        agent.transport.deliver(data)
        return bench, agent

    def test_the_answer_comes_later(self) -> None:
        """Those behind it wait, and come in order on the same connection."""
        _, agent = self.waiting(get("/metrics") + get("/health"))
        self.assertEqual(agent.received, b"")
        self.asked[0].callback(local(200, b"figures")(None))
        self.assertIn(b"figures", agent.received)
        self.assertTrue(agent.received.endswith(b"fine"))

    def test_the_agent_leaves(self) -> None:
        """Nobody is asked any more."""
        _, agent = self.waiting(get("/metrics"))
        agent.leave()
        self.assertEqual((self.cancelled, agent.received), (1, b""))

    def test_a_body_that_nobody_wants(self) -> None:
        """It is read and thrown away, before and after the answer."""
        _, agent = self.waiting(request("GET", "/metrics", "Content-Length: 4"))
        agent.transport.deliver(b"ab")
        self.asked[0].callback(local(200, b"figures")(None))
        agent.transport.deliver(b"cd" + get("/health"))
        self.assertTrue(agent.received.endswith(b"fine"))
        _, agent = self.waiting(request("GET", "/metrics", "Content-Length: 4"))
        agent.transport.deliver(b"abcd")
        self.asked[1].callback(local(200, b"figures")(None))
        self.assertTrue(agent.received.endswith(b"figures"))

    def test_an_agent_that_breaks_the_protocol_meanwhile(self) -> None:
        """It gets that error, and no other answer."""
        _, agent = self.waiting(
            request("GET", "/metrics", "Transfer-Encoding: chunked") + b"nonsense\r\n"
        )
        self.assertTrue(agent.received.startswith(b"HTTP/1.1 400 "), agent.received)
        self.assertEqual(self.cancelled, 1)

    def test_an_answer_that_does_not_come(self) -> None:
        """A known error is given as it is; a bug is one of ours."""
        bench, agent = self.waiting(get("/metrics"))
        self.asked[0].errback(Overloaded())
        self.assertTrue(agent.received.startswith(b"HTTP/1.1 503 "))
        self.assertEqual(bench.complaints, [])
        bench, agent = self.waiting(get("/metrics"))
        self.asked[1].errback(ZeroDivisionError())
        self.assertTrue(agent.received.startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(bench.complaints), 1)
        bench.complaints.clear()

    def test_an_agent_that_is_slow(self) -> None:
        """Whether it reads makes no difference to what it waits for."""
        bench, agent = self.waiting(get("/metrics"))
        server = next(iter(bench.site.channels)).request
        assert server is not None and server.server is not None
        server.server.agent_full()
        server.server.agent_ready()
        server.server.look(1e9)
        self.asked[0].callback(local(200, b"figures")(None))
        self.assertTrue(agent.received.endswith(b"figures"))
