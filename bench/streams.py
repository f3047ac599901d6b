"""Streams and WebSockets: what an event or a round trip costs, and how late it comes."""

import contextlib
import math
from collections.abc import Callable

from bench.bout import Bout, CoreMeter, Meter
from bench.figures import most_that_passes
from bench.peers import DIRECT, SQUIDLESS, Started
from bench.processes import Unavailable
from bench.ring import Ring, ring

_STREAMS = 50
_SOCKETS = 8
_PACE_US = 20_000
_LATE_MS = 20.0
_UPLOAD = 10 * 1024 * 1024
_STALL_SECONDS = 3.0
_STALL_START = 128
_SLOW_START = 16
_TIMED = 64  # of the streams that may stall; more would cost the rig its core
_TRIES = 2
_HOPELESS_MS = 250.0


def measure(bout: Bout) -> None:
    """All rows of streams and WebSockets that the plan has."""
    parts = bout.plan.parts
    with ring(bout, bout.rig.live, "live") as here:
        if "sse" in parts:
            _event_cost(bout, here)
        if "ws" in parts:
            for row, size in (("ws_100", 100), ("ws_10k", 10_000)):
                _round_trips(bout, here, row, size, deflate=False)
        if "deflate" in parts:
            for row, size in (("ws_100_deflate", 100), ("ws_10k_deflate", 10_000)):
                _round_trips(bout, here, row, size, deflate=True)
        if "gap" in parts:
            _gaps(bout, here)
        if "upload" in parts:
            _beside_uploads(bout, here)
        if "stall_free" in parts:
            _stall_free(bout, here)


def _streams(bout: Bout, name: str) -> int:
    """How many streams this one is given; fewer, with a note, if it cannot carry all."""
    contestant = bout.contestants.get(name)
    if contestant is None or contestant.streams is None:
        return _STREAMS
    count = contestant.streams
    bout.result.note(
        f"{contestant.label}: {count} streams instead of {_STREAMS} in the rows of events"
    )
    return count


def _event_cost(bout: Bout, here: Ring) -> None:
    def cost(number: int, name: str) -> None:
        one = here.ready(name)
        assert one.running is not None
        with bout.agents_of(one) as agents:
            fields, count = dict(one.fields), _streams(bout, name)
            agents.ask("open_streams", count=count, pace_us=10_000, fields=fields)
            agents.ask("events", seconds=0.1)
            meter = Meter(one.running)
            told = agents.ask("events", seconds=bout.cost_seconds(name))
            used = meter.seconds()
        bout.result.add("sse", name, used * 1e6 / _some(told["whole"]))

    times = bout.plan.cost_repeats
    bout.round_robin("sse", here.names(), cost, needs="sse", times=times)


def _round_trips(bout: Bout, here: Ring, row: str, size: int, *, deflate: bool) -> None:
    def cost(number: int, name: str) -> None:
        one = here.ready(name)
        assert one.running is not None
        with bout.agents_of(one) as agents:
            fields = dict(one.fields)
            agents.ask("open_sockets", count=_SOCKETS, deflate=deflate, fields=fields)
            agents.ask("echoes", seconds=0.3, size=size, deflate=deflate)
            meter = Meter(one.running)
            told = agents.ask(
                "echoes", seconds=bout.cost_seconds(name), size=size, deflate=deflate
            )
            used = meter.seconds()
        bout.result.add(row, name, used * 1e6 / _some(told["count"]))

    times = bout.plan.cost_repeats
    bout.round_robin(row, here.names(), cost, needs="ws", times=times)


def _gaps(bout: Bout, here: Ring) -> None:
    """How much longer the longest gaps between events are than directly."""
    found: dict[tuple[int, str], float] = {}

    def gap(number: int, name: str) -> None:
        count = _streams(bout, name)
        told = _watched(bout, here.ready(name), count, bout.plan.seconds)
        found[number, name] = told["gap_p99"]

    bout.round_robin("gap_p99", here.names(direct=True), gap, needs="sse")
    for (number, name), value in found.items():
        if name != DIRECT.name and (number, DIRECT.name) in found:
            bout.result.add("gap_p99", name, value - found[number, DIRECT.name])


def _watched(
    bout: Bout, one: Started, count: int, seconds: float, timed: int = 0
) -> dict[str, float]:
    """Paced streams, watched for a while; with how busy the proxy and the rig were."""
    with bout.agents_of(one) as agents:
        fields = dict(one.fields)
        agents.ask(
            "open_streams", count=count, pace_us=_PACE_US, fields=fields, timed=timed
        )
        meter = Meter(one.running) if one.running is not None else None
        rig = CoreMeter(bout.rig.cores.rest)
        told: dict[str, float] = agents.ask("events", seconds=seconds)
        told["rig"] = rig.busy()
        if meter is not None:
            told["busy"] = meter.busy()
    if "gap_p99" not in told:
        raise Unavailable("no events came")
    return told


def _beside_uploads(bout: Bout, here: Ring) -> None:
    def beside(number: int, name: str) -> None:
        one = here.ready(name)
        fields, seconds = dict(one.fields), bout.plan.seconds
        with bout.agents_of(one) as uploader, bout.agents_of(one) as agents:
            count = _streams(bout, name)
            agents.ask("open_streams", count=count, pace_us=_PACE_US, fields=fields)
            uploader.begin("uploads", seconds=seconds + 1, size=_UPLOAD, fields=fields)
            told = agents.ask("events", seconds=seconds)
            done = uploader.wait()
        if "late_p99" not in told:
            raise Unavailable("no events came")
        bout.result.add("upload_p99", name, told["late_p99"])
        bout.result.add("upload_rate", name, done["rate"])

    bout.round_robin("upload_p99", here.names(direct=True), beside, needs="sse")


def _stall_free(bout: Bout, here: Ring) -> None:
    """First ours through Squid, then everybody's without: see ``peers.SQUIDLESS``."""
    times = bout.plan.stall_repeats
    if SQUIDLESS.name in here.names():
        search = _search(bout, here, "stall_squid")
        bout.round_robin("stall_squid", [SQUIDLESS.name], search, times=1)
        with contextlib.suppress(Unavailable):  # noted when its turn comes
            here.put(SQUIDLESS)
    names, search = here.names(direct=True), _search(bout, here, "stall_free")
    bout.round_robin("stall_free", names, search, needs="sse", times=times)


def _search(bout: Bout, here: Ring, row: str) -> Callable[[int, str], None]:
    """Looks for the largest number of streams without a stall; rounds begin at the last."""
    limit = bout.plan.stall_limit
    last: dict[str, int] = {}

    def find(number: int, name: str) -> None:
        seen: dict[int, dict[str, float]] = {}

        def passes(count: int) -> bool:
            for _ in range(_TRIES):  # one bad moment of the machine is not the proxy's
                seen[count] = _tried(bout, here.ready(name), count)
                if seen[count]["late_p99"] <= _LATE_MS:
                    return True
                if seen[count]["late_p99"] > _HOPELESS_MS:
                    break
            return False

        start = last.get(name) or (_SLOW_START if bout.is_slow(name) else _STALL_START)
        last[name] = most = most_that_passes(passes, min(start, limit), limit)
        bout.result.add(row, name, most)
        if most in seen:
            for what in ("busy", "rig"):
                # There is no proxy in front of the provider itself.
                if what in seen[most]:
                    bout.result.add(f"{row}_{what}", name, seen[most][what])

    return find


def _tried(bout: Bout, one: Started, count: int) -> dict[str, float]:
    """How so many streams come; infinitely late if some do not come at all."""
    seconds = min(_STALL_SECONDS, bout.plan.seconds)
    try:
        told = _watched(bout, one, count, seconds, _TIMED)
    except Unavailable as error:
        bout.say(f"  {count} streams: {error}")
        return {"late_p99": math.inf}
    bout.say(
        f"  {count} streams: p99 {told['late_p99']:.1f} ms late, {told['lost']} lost; "
        f"busy: proxy {told.get('busy', 0):.0f} %, rig {told['rig']:.0f} %"
    )
    return {**told, "late_p99": math.inf} if told["lost"] else told


def _some(count: float) -> float:
    """A count that can be divided by.

    Raises:
        Unavailable: nothing was counted.
    """
    if count <= 0:
        raise Unavailable("nothing came back")
    return count
