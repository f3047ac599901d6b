"""How we stop."""

from twisted.internet.defer import Deferred

from apiproxy.wire.drain import Drain
from tests.kit.memory import Bench, BenchCase, answer, get


class DrainTests(BenchCase):
    """Take nothing new, let what runs end, abort the rest."""

    def drain(self, *benches: Bench, grace: float = 20) -> tuple[Drain, Deferred[bool]]:
        """Benches that share the first one's clock, draining."""
        drain = Drain([bench.site for bench in benches], benches[0].clock)
        return drain, drain.start(grace)

    def test_with_nothing_going_on(self) -> None:
        """It is over at once; warm lines and idle agents are closed."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get())
        bench.line().send(answer())
        _, draining = self.drain(bench)
        bench.wait(1)
        self.assertTrue(self.successResultOf(draining))
        self.assertEqual((agent.state, bench.line().state), ("closed", "aborted"))

    def test_an_answer_in_our_buffer_is_sent_before_we_go(self) -> None:
        """For a moment, though nothing is going on any more."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get())
        agent.stall()
        bench.line().send(answer(b"x" * 1000))
        _, draining = self.drain(bench)
        bench.wait(1)
        self.assertNoResult(draining)
        agent.flow()
        self.assertTrue(agent.received.endswith(b"x" * 1000))
        bench.wait(1)
        self.assertTrue(self.successResultOf(draining))
        self.assertEqual(agent.state, "closed")

    def test_live_exchanges_get_their_grace(self) -> None:
        """It is over as soon as the last has ended."""
        bench, other = self.bench(), self.bench()
        agent = bench.agent()
        agent.send(get())
        _, draining = self.drain(bench, other)
        bench.wait(10)
        self.assertNoResult(draining)
        bench.line().send(answer(b"in time"))
        self.assertTrue(agent.received.endswith(b"in time"))
        agent.leave()
        bench.wait(1)
        self.assertTrue(self.successResultOf(draining))

    def test_after_the_grace_the_rest_is_aborted(self) -> None:
        """And that is told."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get())
        _, draining = self.drain(bench, grace=5)
        bench.wait(4)
        self.assertEqual(agent.state, "open")
        bench.wait(3)
        self.assertFalse(self.successResultOf(draining))
        self.assertEqual((agent.state, bench.line().state), ("closed", "aborted"))
        self.assertIn("closed 503 shutting_down", bench.told)

    def test_no_grace_at_all(self) -> None:
        """Everything is aborted at once."""
        bench = self.bench()
        bench.agent().send(get())
        _, draining = self.drain(bench, grace=0)
        bench.wait(1)
        self.assertFalse(self.successResultOf(draining))

    def test_somebody_is_in_a_hurry(self) -> None:
        """A second signal ends the grace."""
        bench = self.bench()
        bench.agent().send(get())
        drain, draining = self.drain(bench)
        bench.wait(3)
        drain.hurry()
        bench.wait(2)
        self.assertFalse(self.successResultOf(draining))
        self.assertEqual(bench.census.live, 0)
