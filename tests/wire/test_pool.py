"""How the lines to a provider are kept warm, and let go."""

from apiproxy.core.limits import Limits
from tests.kit.memory import Bench, BenchCase, answer, get


class PoolTests(BenchCase):
    """Warm lines."""

    def lines(self, bench: Bench, count: int) -> None:
        """So many lines, in the order they were given back."""
        agents = [bench.agent() for _ in range(count)]
        for agent in agents:
            agent.send(get())
        for line in list(bench.endpoint.lines):
            line.send(answer())

    def test_the_newest_goes_out_first(self) -> None:
        """The provider is the least likely to have closed it."""
        bench = self.bench()
        self.lines(bench, 3)
        self.assertEqual(repr(bench.pool), "<Pool 3 idle, 0 busy>")
        taken = [bench.pool.take() for _ in range(4)]
        numbers = [bench.endpoint.lines[n].line for n in (2, 1, 0)]
        self.assertEqual(taken, [*numbers, None])
        self.assertEqual((bench.pool.idle, bench.pool.busy), (0, 3))

    def test_only_so_many_are_kept(self) -> None:
        """The others are closed as they come back."""
        bench = self.bench(limits=Limits(idle_lines=2))
        self.lines(bench, 3)
        states = [line.state for line in bench.endpoint.lines]
        self.assertEqual(states, ["open", "open", "aborted"])
        self.assertEqual((bench.pool.idle, bench.pool.busy), (2, 0))

    def test_none_may_be_kept(self) -> None:
        """Every exchange has its own line then."""
        bench = self.bench(limits=Limits(idle_lines=0))
        self.lines(bench, 2)
        self.assertEqual((bench.pool.idle, bench.pool.busy), (0, 0))

    def test_they_are_closed_before_the_provider_would(self) -> None:
        """Oldest first."""
        bench = self.bench()
        agents = [bench.agent(), bench.agent()]
        for agent in agents:
            agent.send(get())
        bench.line(0).send(answer())
        bench.wait(10)
        bench.line(1).send(answer())
        bench.wait(5)
        self.assertEqual(bench.pool.idle, 2)
        bench.wait(1)
        self.assertEqual(
            [bench.line(0).state, bench.line(1).state], ["aborted", "open"]
        )
        bench.wait(10)
        self.assertEqual((bench.pool.idle, bench.pool.busy), (0, 0))

    def test_a_closed_pool_keeps_nothing(self) -> None:
        """Idle lines are closed now, busy ones when they come back."""
        bench = self.bench()
        self.lines(bench, 2)
        agent = bench.agent()
        agent.send(get())
        bench.pool.close()
        self.assertEqual((bench.pool.idle, bench.pool.busy), (0, 1))
        bench.line(1).send(answer(b"last"))
        self.assertTrue(agent.received.endswith(b"last"))
        self.assertEqual((bench.pool.idle, bench.pool.busy), (0, 0))

    def test_a_line_that_the_provider_closes_is_not_taken(self) -> None:
        """By FIN, RST or unasked bytes."""
        bench = self.bench()
        self.lines(bench, 4)
        bench.line(1).leave()
        bench.line(2).reset()
        bench.line(3).send(b"?")
        self.assertEqual((bench.pool.idle, bench.pool.busy), (1, 0))
        self.assertEqual(bench.pool.dialled, 4)

    def test_each_dial_that_succeeds_is_counted(self) -> None:
        """For the metrics; ``connected`` may be left out."""
        bench = self.bench()
        self.lines(bench, 2)
        self.assertEqual(bench.pool.dialled, 2)
