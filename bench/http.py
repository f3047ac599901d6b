"""Plain requests: what they cost and how much later their answers come."""

import contextlib

from bench import speech, wrk
from bench.bout import Bout, Meter
from bench.peers import DIRECT, Started
from bench.ring import Ring, ring

_PACED_MS = 100
_WARM_SECONDS = 1
_SLOW_TIMES = 2


def measure(bout: Bout) -> None:
    """All rows of plain requests that the plan has."""
    parts = bout.plan.parts
    with ring(bout, bout.rig.plain, "plain") as here:
        for connections in (32, 8, 1):
            if f"http_{connections}" in parts:
                _cost(bout, here, connections)
        if "latency_1" in parts:
            _latency(bout, here, 1, 0)
        if "latency_64" in parts:
            _latency(bout, here, 64, _PACED_MS)


def _load(
    bout: Bout, one: Started, connections: int, seconds: float, delay_ms: int = 0
) -> wrk.Load:
    scheme = "https" if one.tls else "http"
    return wrk.load(
        f"{scheme}://127.0.0.1:{one.port}{speech.PATH}",
        connections=connections,
        seconds=seconds,
        core=bout.rig.cores.rest,
        fields=one.fields,
        delay_ms=delay_ms,
    )


def _warmed(
    bout: Bout, here: Ring, name: str, connections: int, delay_ms: int = 0
) -> Started:
    """A contestant that has its upstream connections and has loaded its code."""
    one = here.ready(name)
    if bout.is_slow(name):  # the first requests may take a gateway seconds
        with bout.agents_of(one) as agents:
            fields = dict(one.fields)
            agents.ask("requests", count=3, pause=0, fresh=False, fields=fields)
    with contextlib.suppress(wrk.WrkFailed):  # the measurement will say so, too
        _load(bout, one, connections, _WARM_SECONDS, delay_ms)
    one = here.ready(name)
    if one.running is not None:
        one.running.forget_output()
    return one


def _longer(bout: Bout, name: str, seconds: float) -> float:
    """For the slow, whose requests cut off at the end of a measurement weigh more."""
    return seconds * (_SLOW_TIMES if bout.is_slow(name) else 1)


def _cost(bout: Bout, here: Ring, connections: int) -> None:
    row = f"http_{connections}"

    def cost(number: int, name: str) -> None:
        one = _warmed(bout, here, name, connections)
        meter = Meter(one.running) if one.running is not None else None
        seconds = _longer(bout, name, bout.cost_seconds(name))
        load = _load(bout, one, connections, seconds)
        if connections == 32:
            bout.result.add("rate", name, load.rate)
        if meter is not None:
            used = meter.seconds()
            bout.result.add(row, name, used * 1e6 / load.requests)
            if connections == 32:
                bout.result.add("rate_busy", name, 100 * used / load.seconds)

    names = here.names(direct=connections == 32)
    bout.round_robin(row, names, cost, times=bout.plan.cost_repeats)


def _latency(bout: Bout, here: Ring, connections: int, delay_ms: int) -> None:
    """Latency over that of the provider itself in the same round."""
    row = f"added_{connections}"
    found: dict[tuple[int, str], tuple[float, float]] = {}

    def latency(number: int, name: str) -> None:
        one = _warmed(bout, here, name, connections, delay_ms)
        seconds = _longer(bout, name, bout.plan.seconds)
        load = _load(bout, one, connections, seconds, delay_ms)
        found[number, name] = (load.shares[50.0], load.shares[99.0])

    bout.round_robin(row, here.names(direct=True), latency)
    for (number, name), (p50, p99) in found.items():
        if name == DIRECT.name:
            bout.result.add(f"direct_{connections}_p50", name, p50)
            bout.result.add(f"direct_{connections}_p99", name, p99)
        elif (number, DIRECT.name) in found:
            base50, base99 = found[number, DIRECT.name]
            bout.result.add(f"{row}_p50", name, p50 - base50)
            bout.result.add(f"{row}_p99", name, p99 - base99)
