"""Plain requests: what they cost and how much later their answers come."""

from bench import speech, wrk
from bench.bout import Bout, Meter
from bench.peers import DIRECT, Started

_PACED_MS = 100


def measure(bout: Bout) -> None:
    """All rows of plain requests that the plan has."""
    parts = bout.plan.parts
    with bout.all_started(bout.rig.plain, "plain") as started:
        _warm(bout, started)
        for connections in (32, 8, 1):
            if f"http_{connections}" in parts:
                _cost(bout, started, connections)
        if "latency_1" in parts:
            _latency(bout, started, 1, 0)
        if "latency_64" in parts:
            _latency(bout, started, 64, _PACED_MS)


def _warm(bout: Bout, started: dict[str, Started]) -> None:
    """Have everyone make their connections and load their code."""

    def warm(number: int, name: str) -> None:
        with bout.agents_of(started[name]) as agents:
            fields = dict(started[name].fields)
            agents.ask("requests", count=10, pause=0, fresh=False, fields=fields)
        _load(bout, started[name], 32, 1)

    bout.round_robin("warm", list(started), warm, times=1)
    for name in bout.result.document["absent"].get("warm", {}):
        started.pop(name, None)


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


def _cost(bout: Bout, started: dict[str, Started], connections: int) -> None:
    row = f"http_{connections}"

    def cost(number: int, name: str) -> None:
        one = started[name]
        assert one.running is not None
        one.running.forget_output()
        meter = Meter(one.running)
        load = _load(bout, one, connections, bout.plan.seconds)
        used = meter.seconds()
        bout.result.add(row, name, used * 1e6 / load.requests)
        if connections == 32:
            bout.result.add("rate", name, load.rate)
            bout.result.add("rate_busy", name, 100 * used / load.seconds)

    bout.round_robin(row, [name for name in started if name != DIRECT.name], cost)


def _latency(
    bout: Bout, started: dict[str, Started], connections: int, delay_ms: int
) -> None:
    """Latency over that of the provider itself in the same round."""
    row = f"added_{connections}"
    found: dict[tuple[int, str], tuple[float, float]] = {}

    def latency(number: int, name: str) -> None:
        load = _load(bout, started[name], connections, bout.plan.seconds, delay_ms)
        found[number, name] = (load.shares[50.0], load.shares[99.0])

    bout.round_robin(row, list(started), latency)
    for (number, name), (p50, p99) in found.items():
        if name == DIRECT.name:
            bout.result.add(f"direct_{connections}_p50", name, p50)
            bout.result.add(f"direct_{connections}_p99", name, p99)
        elif (number, DIRECT.name) in found:
            base50, base99 = found[number, DIRECT.name]
            bout.result.add(f"{row}_p50", name, p50 - base50)
            bout.result.add(f"{row}_p99", name, p99 - base99)
