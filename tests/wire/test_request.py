"""What an agent gets for one request."""

from apiproxy.core.errors import EgressDenied, ProxyError
from apiproxy.core.exchange import Exchange
from apiproxy.core.values import Ask
from tests.kit.memory import (
    BenchCase,
    answer,
    get,
    local,
    post,
    request,
)

HEALTH = {b"/health": local(200, b"well")}
WELL = (
    "HTTP/1.1 200 OK\nContent-Type: text/plain\nCache-Control: no-store\n"
    "Content-Length: 4\n\nwell"
)


class ExpectTests(BenchCase):
    """``Expect: 100-continue`` (RFC 9110, section 10.1.1)."""

    def test_the_body_is_asked_for_once_a_line_is_there(self) -> None:
        """100 is sent when the guards have let the request pass and upstream is reached."""
        bench = self.bench()
        bench.endpoint.held = True
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 3", "Expect: 100-Continue"))
        self.assertEqual(agent.received, b"")
        line = bench.endpoint.connected()
        self.assertEqual(agent.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        agent.send(b"abc")
        self.assertTrue(line.received.endswith(b"\r\n\r\nabc"))
        self.assertNotIn(b"xpect", line.received)
        line.send(answer(b"ok"))
        self.assertNotIn(b"100 Continue", agent.received)
        self.assertEqual(agent.state, "open")

    def test_a_refused_request_is_not_asked_for_its_body(self) -> None:
        """A guard's no is the only answer, and the connection ends."""

        class No:
            def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
                return EgressDenied()

        bench = self.bench(guards=[No()])
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 3", "Expect: 100-continue"))
        self.assert_error(agent, 403, "egress_denied", closing=True)
        self.assertEqual(agent.state, "ended")
        self.assertEqual(bench.endpoint.lines, [])

    def test_no_100_when_the_body_is_there_already(self) -> None:
        """An agent that did not wait needs no telling."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(post("/", b"abc", "Expect: 100-continue"))
        bench.line().send(answer(b"ok"))
        self.assertTrue(agent.received.startswith(b"HTTP/1.1 200 OK"))

    def test_http_1_0_has_no_100(self) -> None:
        """An HTTP/1.0 agent would take 100 for the answer."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(
            request("POST", "/", "Content-Length: 3", "Expect: 100-continue", minor=0)
        )
        self.assertEqual(agent.received, b"")

    def test_other_expectations_are_refused(self) -> None:
        """We could not keep them."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get("/", "Expect: miracles"))
        self.assert_error(agent, 400, "malformed_request", closing=True)
