"""The way in, where rules have to see a request whole."""

import tracemalloc
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock

from apiproxy.core.limits import Limits
from apiproxy.policy.rules import Budgets, Places, Rates, Rules
from apiproxy.wire.metering import Metering
from tests.kit.books import Desk
from tests.kit.memory import (
    DEADLINES,
    Agent,
    Bench,
    BenchCase,
    answer,
    get,
    post,
    request,
)

CHAT = "/v1/chat/completions"
BODY = b'{"model":"gpt-4o","max_tokens":50,"messages":[]}'
RUNS = Rules(budgets=Budgets(runs=1))


class EntranceCase(BenchCase):
    desk: Desk

    def scene(self, rules: Rules = RUNS, **arguments: Any) -> Bench:
        """A bench with rules."""
        held = arguments.pop("held", 1 << 20)

        def metering(clock: Clock) -> Metering:
            self.desk = Desk(clock, rules, held=held)
            return self.desk.metering

        return self.bench(metering=metering, **arguments)

    def all_given_back(self, most: int = 1 << 20) -> None:
        """No memory, no place and no claim is taken any more."""
        self.assertEqual(self.desk.metering.held.left, most)
        self.assertEqual(self.desk.ledger.standing("runs").reserved, 0)
        self.assertIn("0 carried, 0 waiting", repr(self.desk.places))


def chunked(*pieces: bytes) -> bytes:
    """A request with a body in chunks."""
    head = request("POST", CHAT, "Transfer-Encoding: chunked")
    return head + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces)


class WholeTests(EntranceCase):
    def test_nothing_leaves_before_all_is_here(self) -> None:
        """Then it leaves as one, with its length."""
        bench = self.scene()
        agent = bench.agent()
        data = post(CHAT, BODY)
        agent.send(data[:-5])
        self.assertEqual(bench.endpoint.lines, [])
        server = next(iter(bench.site.channels)).request
        assert server is not None
        self.assertRegex(repr(server.server), r"<Entrance .* \d+ bytes>")
        agent.send(data[-5:])
        self.assertTrue(bench.line().received.endswith(b"\r\n\r\n" + BODY))
        self.assertEqual(self.desk.ledger.standing("runs").reserved, 1)
        bench.line().send(answer(b"{}"))
        self.assertTrue(agent.received.endswith(b"{}"))
        self.all_given_back()
        self.assertEqual(self.desk.ledger.standing("runs").spent, 1)

    def test_chunks_become_one_body(self) -> None:
        """Which has a length; its bytes count for the rate."""
        rules = Rules(budgets=Budgets(runs=1), rates=Rates(enabled=True, bytes_pm=30))
        bench = self.scene(rules)
        agent = bench.agent()
        agent.send(chunked(BODY[:10], BODY[10:]), b"0\r\n\r\n")
        self.assertIn(b"Content-Length: %d\r\n" % len(BODY), bench.line().received)
        bench.line().send(answer(b"{}"))
        agent.take()
        agent.send(get())
        self.assert_error(agent, 429, "rate_limited")

    def test_a_body_in_many_pieces_takes_no_more_memory_than_its_bytes(self) -> None:
        """An agent that sends two bytes at a time must not hold twenty times as many."""
        bench = self.scene(held=1 << 30)
        agent = bench.agent()
        agent.send(chunked())
        tracemalloc.start()
        try:
            for _ in range(200):
                agent.send(b"2\r\n{ \r\n" * 100)
                agent.send(b"2\r\n{")
                agent.send(b" \r\n")
            before = tracemalloc.get_traced_memory()[0]
            pieces = 20_000
            for _ in range(pieces):
                agent.send(b"2\r\n{ \r\n")
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        self.assertLess(grown, pieces * 10)

    def test_what_asks_no_model_does_not_wait(self) -> None:
        """It leaves as it comes."""
        bench = self.scene()
        agent = bench.agent()
        agent.send(post("/v1/files", b"12345")[:-2])
        self.assertTrue(bench.line().received.endswith(b"123"))

    def test_an_empty_body(self) -> None:
        """Is one, too."""
        bench = self.scene()
        bench.agent().send(post(CHAT, b""))
        self.assertIn(b"Content-Length: 0\r\n", bench.line().received)


class RefusingTests(EntranceCase):
    def test_by_a_rule(self) -> None:
        """The line stays open for the next request."""
        bench = self.scene(Rules(budgets=Budgets(runs=0)))
        agent = bench.agent()
        agent.send(post(CHAT, BODY))
        self.assert_error(agent, 400, "max_runs_exceeded")
        self.assertEqual(self.desk.refusals, ["max_runs_exceeded"])
        self.assertEqual(bench.endpoint.lines, [])
        self.all_given_back()

    def test_a_body_over_the_limit(self) -> None:
        """Announced, or in chunks."""
        bench = self.scene(limits=Limits(body=20))
        agent = bench.agent()
        agent.send(post(CHAT, b"x" * 21))
        self.assert_error(agent, 413, "body_too_large", closing=False)
        agent = bench.agent()
        agent.send(chunked(b"x" * 15), b"8\r\n12345678\r\n")
        self.assertIn(b"body_too_large", agent.received)
        self.all_given_back()

    def test_memory_has_an_end(self) -> None:
        """Over all requests."""
        bench = self.scene(held=40)
        agent = bench.agent()
        agent.send(post(CHAT, BODY))
        self.assertIn(b"too_many_exchanges", agent.received)
        self.all_given_back(40)

    def test_an_agent_that_sends_a_byte_now_and_then(self) -> None:
        """Does not keep for itself the memory that all share."""
        bench = self.scene()
        agent = bench.agent()
        agent.send(chunked(b" " * 1000))
        for _ in range(20):
            bench.clock.advance(10)
            if not agent.received:
                agent.send(b"1\r\n \r\n")
        self.assert_error(agent, 408, "request_timeout", closing=True)
        self.all_given_back()

    def test_an_agent_that_is_too_slow(self) -> None:
        """Or leaves in the middle of its body."""
        bench = self.scene(deadlines=evolve(DEADLINES, body=3))
        slow, gone = bench.agent(), bench.agent()
        for agent in (slow, gone):
            agent.send(post(CHAT, BODY)[:-5])
        gone.reset()
        bench.wait(8)
        self.assertIn(b"request_timeout", slow.received)
        self.assertIn("closed 499 agent_gone", bench.told)
        self.all_given_back()

    def test_a_body_that_breaks_the_protocol(self) -> None:
        """Is answered as everywhere."""
        bench = self.scene()
        agent = bench.agent()
        agent.send(chunked(b"12"), b"no size\r\n")
        self.assertIn(b"malformed_request", agent.received)
        self.all_given_back()


class JudgingTests(EntranceCase):
    def waiting(self, bench: Bench) -> Agent:
        """An agent whose request is judged."""
        self.desk.ledger.slow = True
        agent = bench.agent()
        agent.send(post(CHAT, BODY))
        self.assertEqual(bench.endpoint.lines, [])
        return agent

    def test_it_may_take_a_while(self) -> None:
        """No deadline of the body ends it."""
        bench = self.scene(deadlines=evolve(DEADLINES, body=3))
        self.waiting(bench)
        bench.wait(8)
        self.desk.ledger.answer()
        self.assertEqual(len(bench.endpoint.lines), 1)

    def test_an_agent_that_leaves_meanwhile(self) -> None:
        """The question is taken back."""
        bench = self.scene(Rules(budgets=Budgets(runs=1), places=Places(concurrent=1)))
        self.waiting(bench).reset()
        self.desk.ledger.answer()
        self.desk.ledger.answer()
        self.assert_over(bench, ["asked POST " + CHAT, "closed 499 agent_gone"])
        self.all_given_back()

    def test_a_stop_meanwhile(self) -> None:
        """Is answered."""
        bench = self.scene()
        agent = self.waiting(bench)
        bench.site.drain()
        bench.site.abort()
        bench.turn()
        self.assertIn(b"shutting_down", agent.received)
        self.desk.ledger.answer()
        self.desk.ledger.answer()
        self.all_given_back()

    def test_a_bug_of_ours(self) -> None:
        """Is contained to the request."""
        bench = self.scene()
        self.desk.ledger.broken = ValueError()
        agent = bench.agent()
        agent.send(post(CHAT, BODY))
        self.assert_error(agent, 500, "internal_error")
        self.assertEqual(
            bench.complaints, ["a request could not be judged: ValueError()"]
        )
        bench.complaints.clear()

    def test_a_bug_behind_the_judgement(self) -> None:
        """Likewise; what was set aside is given back."""
        bench = self.scene()

        def broken() -> None:
            raise ValueError

        bench.pool.take = broken  # type: ignore[method-assign]
        agent = bench.agent()
        agent.send(post(CHAT, BODY))
        self.assert_error(agent, 500, "internal_error")
        self.assertEqual(
            bench.complaints, ["an exchange could not begin: ValueError()"]
        )
        bench.complaints.clear()
        self.all_given_back()
