"""What all measurements share: who is in the ring, and what is noted about each."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from bench.figures import rounds
from bench.peers import DIRECT, Contestant, Started
from bench.plan import Plan
from bench.proc import cpu_seconds
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

    def say(self, text: str) -> None:
        """Tell whoever waits what is going on."""
        sys.stderr.write(f"  {text}\n")
        sys.stderr.flush()

    @contextlib.contextmanager
    def all_started(self, upstream: int, kind: str) -> Iterator[dict[str, Started]]:
        """Every contestant in front of a provider; the absent are noted and left out.

        Args:
            upstream: port of the provider.
            kind: for the names of files.
        """
        started: dict[str, Started] = {}
        try:
            for name, contestant in self.contestants.items():
                self.say(f"starting {name} ({kind})")
                try:
                    started[name] = contestant.start(
                        self.rig, upstream, f"{name}-{kind}"
                    )
                except Unavailable as error:
                    self.result.absent(f"all {kind} rows", name, str(error))
                    self.result.note(f"{name} did not start ({kind}): {error}")
            yield {DIRECT.name: DIRECT.start(self.rig, upstream, ""), **started}
        finally:
            for each in started.values():
                self.end(each)

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
            times: rounds; the plan's if not said.
        """
        out: set[str] = set()
        for name in names:
            each = self.contestants.get(name)
            if each is not None and needs in each.cannot:
                self.result.absent(row, name, each.cannot[needs])
                out.add(name)
        for number, name in rounds(names, times or self.plan.repeats):
            if name in out:
                continue
            self.say(f"{row}, round {number + 1}: {name}")
            try:
                measure(number, name)
            except FAILURES as error:
                self.result.absent(row, name, str(error))
                out.add(name)

    @contextlib.contextmanager
    def agents_of(self, started: Started) -> Iterator[Agents]:
        """Agents that talk to a contestant."""
        with self.rig.agents(started.port, started.tls) as agents:
            yield agents


class Meter:
    """CPU time of a process over a while."""

    def __init__(self, running: Running) -> None:
        self._pid = running.pid
        self._began = cpu_seconds(self._pid)

    def seconds(self) -> float:
        """Used since this was made."""
        return cpu_seconds(self._pid) - self._began
