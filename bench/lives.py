"""Whole lives of a process: its start, its first request, its crowds, its tunnels."""

import time

from bench.bout import Bout, Meter
from bench.machine import crowd_allowed
from bench.peers import Started
from bench.proc import resident

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
    limit = bout.rig.descriptors
    size = crowd_allowed(bout.plan.crowd, limit)
    if size < bout.plan.crowd:
        bout.result.note(
            f"crowds of {size} instead of {bout.plan.crowd}: "
            f"only {limit} files may be open at once"
        )
    bout.result.document["options"]["crowd"] = size

    def crowd(number: int, name: str) -> None:
        sockets = "ws" not in bout.contestants[name].cannot
        with bout.one_started(name, bout.rig.live, "crowd") as one:
            _crowd(bout, name, one, size, sockets)

    times = bout.plan.crowd_repeats
    bout.round_robin("crowd", list(bout.contestants), crowd, times=times)
    for name, contestant in bout.contestants.items():
        if "ws" in contestant.cannot:
            bout.result.absent("per_socket", name, contestant.cannot["ws"])


def _crowd(bout: Bout, name: str, one: Started, size: int, sockets: bool) -> None:
    assert one.running is not None
    pid, add, fields = one.running.pid, bout.result.add, dict(one.fields)
    with (
        bout.agents_of(one) as talkers,
        bout.agents_of(one) as listeners,
        bout.agents_of(one) as newcomer,
    ):
        newcomer.ask("requests", count=20, pause=0, fresh=False, fields=fields)
        before = resident(pid)
        if sockets:
            talkers.ask("open_sockets", count=size, deflate=False, fields=fields)
            talkers.ask("idle", seconds=_SETTLE)
            after = resident(pid)
            add("per_socket", name, (after - before) / size / 1e3)
            meter, began = Meter(one.running), time.monotonic()
            talkers.ask("idle", seconds=bout.plan.seconds)
            took = time.monotonic() - began
            add("idle_cpu", name, 100 * meter.seconds() / took)
            before = after
        listeners.ask("open_streams", count=size, pace_us=0, fields=fields)
        time.sleep(_SETTLE)
        after = resident(pid)
        add("per_stream", name, (after - before) / size / 1e3)
        if sockets:
            add("crowd", name, after / 1e6)
        told = newcomer.ask("requests", count=50, pause=0.01, fresh=True, fields=fields)
        add("crowd_first", name, told["first_p50"])


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


def growth(bout: Bout) -> None:
    """CPU per event and per request with few and with many live streams.

    There are always as many events in all, 500 a second, so that their number is the only
    thing that changes. What the events cost is taken off before requests are charged.
    """
    allowed = 2 * crowd_allowed(bout.plan.growth[-1], bout.rig.descriptors)
    counts = [count for count in bout.plan.growth if count <= allowed]

    def grow(number: int, name: str) -> None:
        for count in counts if number % 2 == 0 else reversed(counts):
            with bout.one_started(name, bout.rig.live, "growth") as one:
                _grown(bout, name, one, count)

    names = [name for name in ("apiproxy", "nginx") if name in bout.contestants]
    bout.round_robin("growth", names, grow)


def _grown(bout: Bout, name: str, one: Started, count: int) -> None:
    assert one.running is not None
    seconds, fields = bout.plan.seconds, dict(one.fields)
    with bout.agents_of(one) as listeners, bout.agents_of(one) as asker:
        pace = count * 2_000
        listeners.ask("open_streams", count=count, pace_us=pace, fields=fields)
        asker.ask("requests", count=200, pause=0, fresh=False, fields=fields)
        meter = Meter(one.running)
        told = listeners.ask("events", seconds=seconds)
        events_cost = meter.seconds() / told["spent"]
        arrived = max(1.0, told["count"] / seconds)
        meter, began = Meter(one.running), time.monotonic()
        requests = 0
        listeners.begin("events", seconds=seconds + 1)
        while time.monotonic() - began < seconds:
            asker.ask("requests", count=100, pause=0, fresh=False, fields=fields)
            requests += 100
        used = meter.seconds() - events_cost * (time.monotonic() - began)
        listeners.wait()
    bout.result.growth("event", name, count, events_cost / arrived * 1e6)
    bout.result.growth("request", name, count, used / requests * 1e6)
