"""What all measurements share: who is in the ring, and what is noted about each."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from bench.figures import rounds
from bench.peers import Contestant, Started
from bench.plan import Plan
from bench.proc import core_ticks, cpu_seconds
from bench.processes import Running, Unavailable
from bench.result import Result
from bench.rig import Agents, Rig
from bench.wrk import WrkFailed

FAILURES = (Unavailable, WrkFailed)


class Bout:
    """A run in progress.

    Attributes:
        rig: the surroundings.
        plan: how much is done.
        result: where samples go.
        contestants: those that are there, by name.
    """

    def __init__(
        self, rig: Rig, plan: Plan, result: Result, contestants: Sequence[Contestant]
    ) -> None:
        self.rig = rig
        self.plan = plan
        self.result = result
        self.contestants = {each.name: each for each in contestants}
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Tell whoever waits what is going on."""
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        sys.stderr.write(f"  {minutes:3}:{seconds:02} {text}\n")
        sys.stderr.flush()

    @contextlib.contextmanager
    def one_started(self, name: str, upstream: int, kind: str) -> Iterator[Started]:
        """One contestant, for itself.

        Raises:
            Unavailable: it does not start.
        """
        started = self.contestants[name].start(self.rig, upstream, f"{name}-{kind}")
        try:
            yield started
        finally:
            self.end(started)

    def end(self, started: Started) -> None:
        """End a contestant."""
        if started.running is not None:
            self.rig.stage.stop(started.running)

    def is_slow(self, name: str) -> bool:
        """Whether it is measured less often, and with smaller crowds."""
        return name in self.contestants and self.contestants[name].slow

    def cost_seconds(self, name: str) -> float:
        """Of one measurement of what a unit of work costs; the slow have fewer and longer."""
        plan = self.plan
        return plan.seconds if self.is_slow(name) else plan.cost_seconds

    def round_robin(
        self,
        row: str,
        names: Sequence[str],
        measure: Callable[[int, str], None],
        *,
        needs: str = "",
        times: int | None = None,
    ) -> None:
        """Measure everyone in turn, forwards and backwards, and note who cannot.

        Args:
            row: its key, for what is noted.
            names: of those who take part.
            measure: takes a round's number and a name, and notes the samples.
            needs: what a contestant must be able to do.
            times: rounds; the plan's if not said. Slow contestants may have fewer.
        """
        times = times or self.plan.repeats
        few = min(times, self.plan.slow_repeats)
        out = self._unable(row, names, needs)
        turns = {name: few if self.is_slow(name) else times for name in names}
        for number, name in rounds(turns):
            if name in out:
                continue
            self.say(f"{row}, round {number + 1}: {name}")
            try:
                measure(number, name)
            except FAILURES as error:
                self.say(f"  {name} could not: {error}")
                self.result.absent(row, name, str(error))
                out.add(name)

    def _unable(self, row: str, names: Sequence[str], needs: str) -> set[str]:
        """Those of these who do not have what is needed; noted."""
        out = set()
        for name in names:
            each = self.contestants.get(name)
            if each is not None and needs in each.cannot:
                self.result.absent(row, name, each.cannot[needs])
                out.add(name)
        return out

    @contextlib.contextmanager
    def agents_of(self, started: Started) -> Iterator[Agents]:
        """Agents that talk to a contestant."""
        with self.rig.agents(started.port, started.tls) as agents:
            yield agents


class CoreMeter:
    """How busy a core is over a while, whoever it works for."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._began = core_ticks(core)

    def busy(self) -> float:
        """Percent of its time since this was made; 0 if the kernel does not say."""
        busy, ticks = core_ticks(self._core)
        return 100 * (busy - self._began[0]) / max(1, ticks - self._began[1])


class Meter:
    """CPU time of a process over a while."""

    def __init__(self, running: Running) -> None:
        self._pid = running.pid
        self._cpu = cpu_seconds(self._pid)
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Used since this was made."""
        return cpu_seconds(self._pid) - self._cpu

    def busy(self) -> float:
        """Percent of a core used since this was made."""
        return 100 * self.seconds() / (time.monotonic() - self._began)
