"""Streams and WebSockets: what an event or a round trip costs, and how late it comes."""

from bench.bout import Bout, Meter
from bench.figures import most_that_passes
from bench.peers import DIRECT, Started
from bench.processes import Unavailable

_STREAMS = 50
_SOCKETS = 8
_PACE_US = 20_000
_LATE_MS = 20.0
_UPLOAD = 10 * 1024 * 1024


def measure(bout: Bout) -> None:
    """All rows of streams and WebSockets that the plan has."""
    parts = bout.plan.parts
    with bout.all_started(bout.rig.live, "live") as started:
        if "sse" in parts:
            _event_cost(bout, started)
        if "ws" in parts:
            for row, size in (("ws_100", 100), ("ws_10k", 10_000)):
                _round_trips(bout, started, row, size, deflate=False)
        if "deflate" in parts:
            for row, size in (("ws_100_deflate", 100), ("ws_10k_deflate", 10_000)):
                _round_trips(bout, started, row, size, deflate=True)
        if "gap" in parts:
            _gaps(bout, started)
        if "upload" in parts:
            _beside_uploads(bout, started)
        if "stall_free" in parts:
            _stall_free(bout, started)


def _proxies(started: dict[str, Started]) -> list[str]:
    return [name for name in started if name != DIRECT.name]


def _event_cost(bout: Bout, started: dict[str, Started]) -> None:
    def cost(number: int, name: str) -> None:
        one = started[name]
        assert one.running is not None
        with bout.agents_of(one) as agents:
            fields = dict(one.fields)
            agents.ask("open_streams", count=_STREAMS, pace_us=10_000, fields=fields)
            agents.ask("events", seconds=0.1)
            meter = Meter(one.running)
            told = agents.ask("events", seconds=bout.plan.seconds)
            used = meter.seconds()
        whole = told["count"] * told["spent"] / bout.plan.seconds
        bout.result.add("sse", name, used * 1e6 / _some(whole))

    bout.round_robin("sse", _proxies(started), cost, needs="sse")


def _round_trips(
    bout: Bout, started: dict[str, Started], row: str, size: int, *, deflate: bool
) -> None:
    def cost(number: int, name: str) -> None:
        one = started[name]
        assert one.running is not None
        with bout.agents_of(one) as agents:
            fields = dict(one.fields)
            agents.ask("open_sockets", count=_SOCKETS, deflate=deflate, fields=fields)
            agents.ask("echoes", seconds=0.3, size=size, deflate=deflate)
            meter = Meter(one.running)
            told = agents.ask(
                "echoes", seconds=bout.plan.seconds, size=size, deflate=deflate
            )
            used = meter.seconds()
        bout.result.add(row, name, used * 1e6 / _some(told["count"]))

    bout.round_robin(row, _proxies(started), cost, needs="ws")


def _gaps(bout: Bout, started: dict[str, Started]) -> None:
    """How much longer the longest gaps between events are than directly."""
    found: dict[tuple[int, str], float] = {}

    def gap(number: int, name: str) -> None:
        told = _watched(bout, started[name], _STREAMS, bout.plan.seconds)
        found[number, name] = told["gap_p99"]

    bout.round_robin("gap_p99", list(started), gap, needs="sse")
    for (number, name), value in found.items():
        if name != DIRECT.name and (number, DIRECT.name) in found:
            bout.result.add("gap_p99", name, value - found[number, DIRECT.name])


def _watched(bout: Bout, one: Started, count: int, seconds: float) -> dict[str, float]:
    with bout.agents_of(one) as agents:
        fields = dict(one.fields)
        agents.ask("open_streams", count=count, pace_us=_PACE_US, fields=fields)
        told: dict[str, float] = agents.ask("events", seconds=seconds)
    if "gap_p99" not in told:
        raise Unavailable("no events came")
    return told


def _beside_uploads(bout: Bout, started: dict[str, Started]) -> None:
    def beside(number: int, name: str) -> None:
        one = started[name]
        fields, seconds = dict(one.fields), bout.plan.seconds
        with bout.agents_of(one) as uploader, bout.agents_of(one) as agents:
            agents.ask("open_streams", count=_STREAMS, pace_us=_PACE_US, fields=fields)
            uploader.begin(
                "uploads", seconds=seconds + 0.5, size=_UPLOAD, fields=fields
            )
            told = agents.ask("events", seconds=seconds)
            done = uploader.wait()
        if "failed" in done or "late_p99" not in told:
            raise Unavailable(str(done.get("failed", "no events came")))
        bout.result.add("upload_p99", name, told["late_p99"])

    bout.round_robin("upload_p99", list(started), beside, needs="sse")


def _stall_free(bout: Bout, started: dict[str, Started]) -> None:
    def find(number: int, name: str) -> None:
        def passes(count: int) -> bool:
            try:
                told = _watched(bout, started[name], count, 3.0)
            except Unavailable as error:
                bout.say(f"  {count} streams: {error}")
                return False
            expected = count * 3.0 / (_PACE_US / 1e6)
            bout.say(f"  {count} streams: p99 {told['late_p99']:.1f} ms late")
            all_came = told["count"] > 0.9 * expected and not told["lost"]
            return all_came and told["late_p99"] <= _LATE_MS

        most = most_that_passes(passes, 64, bout.plan.stall_limit)
        bout.result.add("stall_free", name, most)

    bout.round_robin("stall_free", list(started), find, needs="sse")


def _some(count: float) -> float:
    """A count that can be divided by.

    Raises:
        Unavailable: nothing was counted.
    """
    if count <= 0:
        raise Unavailable("nothing came back")
    return count
