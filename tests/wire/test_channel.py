"""The agent's side of HTTP/1.1."""

from apiproxy.core.errors import InternalError
from apiproxy.core.limits import Limits, MiB
from apiproxy.wire.channel import AgentChannel
from apiproxy.wire.local import Local
from tests.kit.memory import (
    Agent,
    Bench,
    BenchCase,
    answer,
    get,
    head,
    local,
    post,
    request,
)

HEALTH = {b"/health": local(200, b"well")}
WELL = (
    "HTTP/1.1 200 OK\nContent-Type: text/plain\nCache-Control: no-store\n"
    "Content-Length: 4\n\nwell"
)


class KeepAliveTests(BenchCase):
    """One connection, several requests."""

    def test_one_connection_carries_requests_one_after_the_other(self) -> None:
        """The agent's connection is kept, and so is the line to the provider."""
        bench = self.bench()
        agent = bench.agent()
        for number in (b"1", b"2", b"3"):
            agent.send(get())
            bench.line().send(answer(number))
            self.assertTrue(agent.take().endswith(b"\r\n\r\n" + number))
        self.assertEqual(agent.state, "open")
        self.assertEqual(len(bench.endpoint.lines), 1)
        self.assert_over(
            bench,
            [
                "asked GET /v1/models",
                "forwarded, fresh line",
                "answering 200",
                "closed 200",
            ]
            + [
                "asked GET /v1/models",
                "forwarded, warm line",
                "answering 200",
                "closed 200",
            ]
            * 2,
        )

    def test_connection_close_is_honoured(self) -> None:
        """An agent that says ``close`` gets its answer, then our FIN."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get("/", "Connection: Close"))
        bench.line().send(answer(b"bye"))
        self.assertIn(b"\r\nConnection: close\r\n", agent.received)
        self.assertTrue(agent.received.endswith(b"bye"))
        self.assertEqual(agent.state, "ended")
        agent.leave()
        self.assertEqual(agent.state, "closed")
        self.assertEqual(bench.site.channels, set())

    def test_http_1_0_gets_one_answer_and_the_end(self) -> None:
        """HTTP/1.0 is answered as HTTP/1.1 with ``Connection: close``."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(request("GET", "/", minor=0))
        bench.line().send(answer(b"bye"))
        self.assertIn(b"HTTP/1.1 200 OK\r\n", agent.received)
        self.assertIn(b"\r\nConnection: close\r\n", agent.received)
        self.assertEqual(agent.state, "ended")

    def test_http_1_0_may_come_without_a_host(self) -> None:
        """Host came with HTTP/1.1."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertTrue(agent.received.endswith(b"well"))

    def test_nodelay_and_keepalive_are_set(self) -> None:
        """The first byte is never held back, and a dead host is noticed."""
        agent = self.bench().agent()
        self.assertEqual(
            (agent.transport.no_delay, agent.transport.keep_alive), (True, True)
        )

    def test_empty_lines_before_a_request_are_skipped(self) -> None:
        """RFC 9112, section 2.2; however the lines are cut."""
        bench = self.bench(endpoints=HEALTH)
        for pieces in (
            [b"\r\n\r\n" + get("/health")],
            [b"\r", b"\n" + get("/health")],
            [b"\r\n", b"\r", b"\n", get("/health")],
        ):
            agent = bench.agent()
            agent.send(*pieces)
            self.assertEqual(agent.text, WELL)

    def test_many_empty_lines_cost_little(self) -> None:
        """A megabyte of empty lines is skipped in one pass per segment."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(b"\r\n" * (MiB // 2) + get("/health"))
        self.assertEqual(agent.text, WELL)

    def test_a_request_may_come_byte_by_byte(self) -> None:
        """Heads and bodies may be cut anywhere."""
        bench = self.bench()
        agent = bench.agent()
        asked = post("/v1/x", b"abcdef", "A: 1")
        agent.send(*[asked[i : i + 1] for i in range(len(asked))])
        self.assertTrue(bench.line().received.endswith(b"\r\n\r\nabcdef"))
        self.assertIn(b"Content-Length: 6\r\n", bench.line().received)

    def test_repr_says_what_it_is_doing(self) -> None:
        """For whoever debugs."""
        bench = self.bench()
        agent = bench.agent()
        self.assertEqual(repr(agent.channel), "<AgentChannel waiting, 0 bytes>")
        agent.send(get())
        self.assertEqual(repr(agent.channel), "<AgentChannel serving GET>")
        bench.line().send(answer(b"", "200 OK"))
        agent.send(b"?")
        self.assertEqual(repr(agent.channel), "<AgentChannel closing>")


class PipelineTests(BenchCase):
    """Requests that do not wait for answers."""

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        """The second is not asked upstream before the first has been answered."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get("/one") + get("/health") + get("/two"))
        self.assertEqual(bench.told, ["asked GET /one", "forwarded, fresh line"])
        self.assertEqual(agent.received, b"")
        bench.wait(5)
        bench.line().send(answer(b"1"))
        self.assertIn(b"GET /two HTTP/1.1", bench.line().received)
        bench.line().send(answer(b"2"))
        bodies = [part[:4] for part in agent.text.split("\n\n")[1:]]
        self.assertEqual(bodies, ["1HTT", "well", "2"])

    def test_a_request_behind_a_body_waits_its_turn(self) -> None:
        """The bytes behind a counted body are the next request, not body."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(post("/one", b"abc") + get("/two"))
        self.assertTrue(bench.line().take().endswith(b"\r\n\r\nabc"))
        bench.line().send(answer(b"1"))
        self.assertTrue(bench.line().take().startswith(b"GET /two "))

    def test_thousands_of_local_requests_in_one_write(self) -> None:
        """Neither the stack nor the order suffers."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get("/health") * 1000)
        self.assertEqual(agent.text, WELL * 1000)

    def test_others_are_served_between_the_requests_of_one(self) -> None:
        """An agent that pipelines costly requests does not keep everybody waiting."""
        bench = self.bench(endpoints={b"/health": self.slow_endpoint})
        agent, other = bench.agent(), bench.agent()
        self.clock = bench.clock
        agent.transport.deliver(get("/health") * 20)
        self.assertEqual(agent.received.count(b"slow"), 2)
        other.transport.deliver(get("/health"))
        self.assertEqual(other.received.count(b"slow"), 1)
        bench.turn()
        self.assertEqual(agent.received.count(b"slow"), 20)

    def slow_endpoint(self, accept: bytes | None) -> Local:
        """An answer that takes 4 ms to make."""
        self.clock.rightNow += 0.004
        return local(200, b"slow")(accept)

    def test_an_agent_that_leaves_while_its_requests_wait(self) -> None:
        """They are forgotten."""
        bench = self.bench(endpoints={b"/health": self.slow_endpoint})
        agent = bench.agent()
        self.clock = bench.clock
        agent.transport.deliver(get("/health") * 20)
        agent.leave()
        bench.turn()
        self.assertEqual(agent.received.count(b"slow"), 2)

    def test_an_agent_that_does_not_read_gets_no_more_answers_made(self) -> None:
        """A thousand pipelined requests against a full connection wait unanswered."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent(high_water=500)
        agent.stall()
        agent.send(get("/health") * 1000)
        made = agent.transport.written.count(b"well")
        self.assertLess(made, 8)
        agent.flow()
        self.assertEqual(agent.text, WELL * 1000)

    def test_what_waits_behind_a_full_connection_is_bounded(self) -> None:
        """An agent that asks for ever and reads nothing cannot fill our memory."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent(high_water=500)
        agent.stall()
        for _ in range(20):
            agent.send(b"\r\n" * 8000 + get("/health") * 100)
        self.assertTrue(agent.transport.paused)
        self.assertLess(len(agent.channel._buffer), 256 * 1024)
        agent.flow()
        self.assertEqual(agent.received.count(b"well"), 2000)

    def test_what_waits_behind_a_slow_answer_is_bounded(self) -> None:
        """The agent is read ahead only so far; all is read once its turn has come."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get("/slow"))
        agent.send((b"\r\n" * 10_000 + get("/health")) * 10)
        self.assertTrue(agent.transport.paused)
        self.assertLess(len(agent.channel._buffer), 256 * 1024)
        bench.line().send(answer(b"slow"))
        self.assertFalse(agent.transport.paused)
        self.assertEqual(agent.received.count(b"well"), 10)

    def test_a_head_over_the_read_ahead_bound_still_arrives(self) -> None:
        """With a head limit above the bound, reading goes on until the head is whole."""
        bench = self.bench(limits=Limits(head=512 * 1024), endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get("/health", "X: " + "a" * 300_000))
        self.assertEqual(agent.text, WELL)


class BadHeadTests(BenchCase):
    """What is not HTTP is refused and the connection closed."""

    def assert_refused(self, sent: bytes, status: int, code: str) -> None:
        bench = self.bench(limits=Limits(fields=20, head=2000))
        agent = bench.agent()
        agent.send(sent)
        self.assert_error(agent, status, code, closing=True)
        self.assertIn(b"x-request-id: id-1\r\n", agent.received)
        self.assertIn(b"x-should-retry: false\r\n", agent.received)
        self.assertEqual(agent.state, "ended")
        self.assertEqual(bench.refusals, [code])
        self.assertEqual(bench.endpoint.lines, [])
        self.assertEqual(bench.told, [])
        agent.send(get())  # thrown away
        agent.leave()
        self.assertEqual(bench.site.channels, set())

    def test_malformed_heads(self) -> None:
        """Each gets 400 in the provider's dialect, and our FIN."""
        for sent in (
            b"\x16\x03\x01\x02\x00",  # TLS
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            get("/", "Host: a", "Host: a"),
            get("/", "Content-Length: 1", "Content-Length: 1"),
            get("/", "Content-Length: +1"),
            get("/", "Content-Length: 1", "Transfer-Encoding: chunked"),
            get("/", "Transfer-Encoding: gzip, chunked"),
            request("POST", "/", "Transfer-Encoding: chunked", minor=0),
        ):
            self.assert_refused(sent, 400, "malformed_request")

    def test_large_heads(self) -> None:
        """431, whether or not the head has come whole."""
        self.assert_refused(
            b"GET / HTTP/1.1\r\nA: " + b"a" * 2000, 431, "head_too_large"
        )
        self.assert_refused(get("/", "A: " + "a" * 2000), 431, "head_too_large")
        self.assert_refused(get("/", *["A: a"] * 20), 431, "head_too_large")

    def test_a_bad_request_behind_a_good_one_waits_for_its_answer(self) -> None:
        """The first answer is whole, then comes the refusal."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get() + b"nonsense\r\n\r\n")
        bench.line().send(answer(b"good\r\n\r\n"))
        self.assertIn(b"\r\n\r\ngood", agent.received)
        self.assert_error(agent, 400, "malformed_request", closing=True)

    def test_an_error_of_ours_while_reading_is_contained(self) -> None:
        """500, and the bug is reported."""
        bench = Bench()
        bench.site.familiar = None  # type: ignore[assignment]  # breaks the sorting
        agent = bench.agent()
        agent.send(get("/", "X: y"))
        self.assert_error(agent, 500, "internal_error", closing=True)
        self.assertEqual(len(bench.complaints), 1)
        self.assertIn("a request could not be read", bench.complaints[0])


class LingerTests(BenchCase):
    """Closing so that the answer survives (RFC 9112, section 9.6)."""

    def closing(self) -> tuple[Bench, Agent]:
        bench = self.bench()
        agent = bench.agent()
        agent.send(b"nonsense\r\n\r\n")
        self.assertEqual(agent.state, "ended")
        return bench, agent

    def test_what_still_comes_is_thrown_away(self) -> None:
        """Up to a bound; the connection stays half open for the answer."""
        bench, agent = self.closing()
        agent.send(b"x" * MiB)
        self.assertEqual(agent.state, "ended")
        agent.send(b"x")
        self.assertEqual(agent.state, "aborted")
        self.assertEqual(bench.site.channels, set())

    def test_an_agent_that_does_not_close_is_cut_off(self) -> None:
        """After half a minute."""
        bench, agent = self.closing()
        bench.wait(30)
        self.assertEqual(agent.state, "ended")
        bench.wait(1)
        self.assertEqual(agent.state, "aborted")

    def test_an_agent_that_does_not_read_is_waited_for(self) -> None:
        """The FIN goes behind what is still to be read."""
        bench = self.bench()
        agent = bench.agent(high_water=100)
        agent.stall()
        agent.send(get("/", "Connection: close"))
        bench.line().send(answer(b"x" * 1000))
        self.assertEqual(agent.state, "open")
        agent.send(b"more")
        agent.flow()
        self.assertTrue(agent.received.endswith(b"x" * 1000))
        self.assertEqual(agent.state, "ended")

    def test_what_comes_before_the_fin_is_bounded_too(self) -> None:
        """An agent that floods us while we wait for it to read is read no more."""
        bench = self.bench()
        agent = bench.agent(high_water=100)
        agent.stall()
        agent.send(b"nonsense\r\n\r\n")
        for _ in range(50):
            agent.send(b"x" * 65536)
        self.assertLess(len(agent.channel._buffer), 256 * 1024)

    def test_an_agent_that_never_reads_is_cut_off(self) -> None:
        """Even when nothing is left to serve."""
        bench = self.bench()
        agent = bench.agent(high_water=100)
        agent.stall()
        agent.send(b"nonsense\r\n\r\n")
        bench.wait(41)
        self.assertEqual(agent.state, "open")
        bench.wait(1)
        self.assertEqual(agent.state, "aborted")


class UnwantedBodyTests(BenchCase):
    """The rest of a body that nobody wants any more."""

    def test_a_short_rest_is_read_and_the_connection_kept(self) -> None:
        """An early answer, then the rest of the upload, then the next request."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 1000") + b"x" * 10)
        bench.line().send(answer(b"enough"))
        self.assertIn(b"enough", agent.take())
        self.assertEqual(bench.line().state, "aborted")
        agent.send(b"x" * 500, b"x" * 490 + get("/health"))
        self.assertEqual(agent.text, WELL)

    def test_a_short_rest_is_read_even_if_reading_was_paused(self) -> None:
        """Upstream was full when it answered early; the agent is not left hanging."""
        bench = self.bench(endpoints=HEALTH)
        bench.endpoint.transport = {"high_water": 100, "flowing": False}
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 200000") + b"x" * 1000)
        self.assertTrue(agent.transport.paused)
        agent.send(b"x" * 199_000 + get("/health"))
        bench.line().send(answer(b"enough"))
        self.assertIn(b"enough", agent.received)
        self.assertTrue(agent.text.endswith(WELL))

    def test_a_short_rest_is_read_even_if_the_agent_does_not_read(self) -> None:
        """What came while its connection was full is thrown away too."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent(high_water=100)
        agent.stall()
        agent.send(request("POST", "/", "Content-Length: 1000") + b"x" * 10)
        bench.line().send(answer(b"e" * 200))
        agent.send(b"x" * 990 + get("/health"))
        agent.flow()
        self.assertTrue(agent.text.endswith(WELL))

    def test_a_rest_of_unknown_length_closes(self) -> None:
        """A chunked upload may be endless: the answer, then FIN."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(request("POST", "/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        bench.line().send(answer(b"enough"))
        self.assertIn(b"Connection: close", agent.received)
        self.assertEqual(agent.state, "ended")

    def test_a_long_rest_closes(self) -> None:
        """More than we are willing to throw away."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(request("POST", "/", f"Content-Length: {2 * MiB}") + b"x")
        bench.line().send(answer(b"enough"))
        self.assertIn(b"Connection: close", agent.received)
        self.assertEqual(agent.state, "ended")

    def test_a_rest_that_never_comes_ends_the_connection(self) -> None:
        """After the write-stall deadline nobody waits any more."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 1000"))
        agent.send(b"x")
        bench.line().send(answer(b"enough"))
        bench.wait(41)
        self.assertEqual(agent.state, "open")
        bench.wait(1)
        self.assertEqual(agent.state, "aborted")

    def test_a_rest_is_thrown_away_behind_a_local_answer(self) -> None:
        """A GET of a local endpoint may have a body; nobody reads it."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get("/health", "Content-Length: 5") + b"abc", b"de" + get("/health"))
        self.assertEqual(agent.text, WELL * 2)


class DeadlineTests(BenchCase):
    """How long an agent may take."""

    def test_a_partial_head(self) -> None:
        """408 counted from its first byte, however often more comes."""
        bench = self.bench()
        agent = bench.agent()
        bench.wait(20)
        agent.send(b"GET / ")
        bench.wait(5)
        agent.send(b"HTTP/1.1\r\n")
        bench.wait(1)
        self.assertEqual(agent.received, b"")
        bench.wait(1)
        self.assert_error(agent, 408, "request_timeout", closing=True)
        self.assertNotIn(b"x-should-retry", agent.received)
        self.assertEqual(agent.state, "ended")
        self.assertEqual(bench.refusals, ["request_timeout"])

    def test_an_idle_connection(self) -> None:
        """Closed without a word, counted from the last answer."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        bench.wait(49)
        agent.send(get("/health"))
        bench.wait(50)
        self.assertEqual(agent.state, "open")
        bench.wait(1)
        self.assertEqual(agent.state, "aborted")
        self.assertEqual(agent.text, WELL)

    def test_a_connection_that_says_nothing_but_empty_lines(self) -> None:
        """They are not counted as life."""
        bench = self.bench()
        agent = bench.agent()
        for _ in range(6):
            bench.wait(9)
            agent.send(b"\r\n")
        self.assertEqual(agent.state, "aborted")

    def test_a_connection_that_says_nothing(self) -> None:
        """The same, counted from its beginning."""
        bench = self.bench()
        agent = bench.agent()
        bench.wait(51)
        self.assertEqual(agent.state, "aborted")
        self.assertEqual(bench.site.channels, set())


class HonestyTests(BenchCase):
    """Small print."""

    def test_an_answer_can_end_once(self) -> None:
        """A second end does nothing."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get("/health"))
        agent.channel.end_answer()
        agent.send(get("/health"))
        self.assertEqual(agent.text, WELL * 2)

    def test_a_broken_body_behind_a_finished_answer_cuts(self) -> None:
        """Nobody is there to be told, and what follows cannot be parsed."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 10") + b"x")
        bench.line().send(answer(b"enough"))
        channel = agent.channel
        channel._fail(InternalError())
        bench.turn()
        self.assertEqual(agent.state, "aborted")

    def test_head_of_an_answer_is_not_answered_twice(self) -> None:
        """HEAD of a local endpoint: the length of what GET would get, and no body."""
        bench = self.bench(endpoints=HEALTH)
        agent = bench.agent()
        agent.send(get("/health", method="HEAD"))
        self.assertEqual(agent.text, WELL.removesuffix("well"))
        self.assertIsInstance(agent.channel, AgentChannel)

    def test_a_chunked_body_that_is_none(self) -> None:
        """400 if nothing was answered yet; the line to upstream is aborted."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(request("POST", "/", "Transfer-Encoding: chunked") + b"1\r\na\r\n")
        agent.send(b"zz\r\n")
        self.assert_error(agent, 400, "malformed_request", closing=True)
        self.assertEqual(bench.line().state, "aborted")

    def test_a_chunked_body_that_is_none_behind_half_an_answer(self) -> None:
        """The agent is cut off."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(request("POST", "/", "Transfer-Encoding: chunked") + b"1\r\na\r\n")
        bench.line().send(head("200 OK", "Content-Length: 9") + b"half")
        agent.send(b"1;ext=1\r\n")
        self.assertEqual(agent.state, "aborted")
        self.assertEqual(bench.line().state, "aborted")
