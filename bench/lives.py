"""Whole lives of a process: its start, its first request, its crowds, its tunnels."""

import time

from bench.bout import Bout, Meter
from bench.machine import crowd_allowed
from bench.peers import Started
from bench.proc import resident
from bench.rig import Agents

_SETTLE = 1.0


def starts(bout: Bout) -> None:
    """Start to listening, memory then, and the first byte of the first answers."""

    def start(number: int, name: str) -> None:
        with bout.one_started(name, bout.rig.plain, "start") as one:
            assert one.running is not None
            bout.result.add("listening", name, one.seconds)
            time.sleep(_SETTLE)
            bout.result.add("idle", name, resident(one.running.pid) / 1e6)
            fields = dict(one.fields)
            with bout.agents_of(one) as agents:
                cold = agents.ask(
                    "requests", count=1, pause=0, fresh=True, fields=fields
                )
                agents.ask("requests", count=5, pause=0.01, fresh=True, fields=fields)
                warm = agents.ask(
                    "requests", count=30, pause=0.01, fresh=True, fields=fields
                )
            bout.result.add("first_cold", name, cold["first_p50"])
            bout.result.add("first_warm", name, warm["first_p50"])

    bout.round_robin(
        "first_cold", list(bout.contestants), start, times=bout.plan.starts
    )


def crowds(bout: Bout) -> None:
    """Idle WebSockets, then as many open streams beside them."""
    limit, plan = bout.rig.descriptors, bout.plan
    size = crowd_allowed(plan.crowd, limit)
    if size < plan.crowd:
        bout.result.note(
            f"crowds of {size} instead of {plan.crowd}: "
            f"only {limit} files may be open at once"
        )
    bout.result.document["options"]["crowd"] = size

    def crowd(number: int, name: str) -> None:
        with bout.one_started(name, bout.rig.live, "crowd") as one:
            several = min(size, plan.slow_crowd) if bout.is_slow(name) else size
            _Crowd(bout, name, one, several).measure(number)
        if several < size:
            label = bout.contestants[name].label
            bout.result.note(f"{label}: crowds of {several} instead of {size}")

    bout.round_robin("crowd", list(bout.contestants), crowd, times=plan.crowd_repeats)
    for name, contestant in bout.contestants.items():
        if "ws" in contestant.cannot:
            bout.result.absent("per_socket", name, contestant.cannot["ws"])


class _Crowd:
    """One contestant with nothing to do for many."""

    def __init__(self, bout: Bout, name: str, one: Started, size: int) -> None:
        assert one.running is not None
        self._bout, self._name, self._one, self._size = bout, name, one, size
        self._running = one.running
        self._fields = dict(one.fields)

    def measure(self, number: int) -> None:
        """All rows of the crowd, in this round."""
        bout, one = self._bout, self._one
        sockets = "ws" not in bout.contestants[self._name].cannot
        with (
            bout.agents_of(one) as talkers,
            bout.agents_of(one) as listeners,
            bout.agents_of(one) as newcomer,
        ):
            newcomer.ask(
                "requests", count=20, pause=0, fresh=False, fields=self._fields
            )
            if sockets:
                self._sockets(talkers)
                self._quiet(talkers, number)
            self._streams(listeners)
            if not sockets:
                return
            self._add("crowd", resident(self._running.pid) / 1e6)
            told = newcomer.ask(
                "requests", count=50, pause=0.01, fresh=True, fields=self._fields
            )
            self._add("crowd_first", told["first_p50"])

    def _add(self, row: str, value: float) -> None:
        self._bout.result.add(row, self._name, value)

    def _sockets(self, talkers: Agents) -> None:
        before = resident(self._running.pid)
        talkers.ask(
            "open_sockets", count=self._size, deflate=False, fields=self._fields
        )
        talkers.ask("idle", seconds=_SETTLE)
        after = resident(self._running.pid)
        self._add("per_socket", (after - before) / self._size / 1e3)

    def _quiet(self, talkers: Agents, number: int) -> None:
        """CPU in the silence; for long enough that each is pinged once, where they are."""
        plan = self._bout.plan
        if self._bout.contestants[self._name].pings:
            if number:
                return
            seconds = plan.quiet
        else:
            seconds = min(plan.quiet, plan.seconds)
        meter = Meter(self._running)
        talkers.ask("idle", seconds=seconds)
        self._add("idle_cpu", meter.busy())

    def _streams(self, listeners: Agents) -> None:
        before = resident(self._running.pid)
        listeners.ask("open_streams", count=self._size, pace_us=0, fields=self._fields)
        time.sleep(_SETTLE)
        after = resident(self._running.pid)
        self._add("per_stream", (after - before) / self._size / 1e3)


def connects(bout: Bout) -> None:
    """Tunnels that Squid logs for requests in sequence, those of the start included."""
    count = bout.plan.sequence
    bout.result.document["options"]["sequence"] = count

    def sequence(number: int, name: str) -> None:
        before = bout.rig.connects()
        with (
            bout.one_started(name, bout.rig.plain, "connects") as one,
            bout.agents_of(one) as agents,
        ):
            fields = dict(one.fields)
            agents.ask("requests", count=count, pause=0, fresh=False, fields=fields)
        bout.result.add("connects", name, bout.rig.connects_after(before))

    bout.round_robin("connects", ["apiproxy"], sequence, times=1)
