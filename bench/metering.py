"""What metering costs: the same work with it and without it, turn about.

Two processes of apiproxy that differ in ``APIPROXY_METERING`` alone get the same streams,
requests and WebSockets, one after the other, again and again; a sample is what the one with
metering used of CPU time for each event, in percent of what the other used just before or
after. So whatever else the machine does weighs on both alike. What is sent looks like real
traffic, since what is no dialect of a model is not metered at all.
"""

from collections.abc import Callable

from bench import speech, wrk
from bench.bout import FAILURES, Bout, Meter
from bench.peers import Started, start_apiproxy
from bench.processes import Unavailable

_NAME = "apiproxy"
_STREAMS = 50
_PACE_US = 10_000
_SOCKETS = 8
_SIZE = 100
_CONNECTIONS = 8

Cost = Callable[[Bout, Started, float], float]
"""CPU seconds for each of what was done in so many seconds."""


def measure(bout: Bout) -> None:
    """The rows of metering; only apiproxy takes part."""
    if _NAME not in bout.contestants:
        return
    started: dict[str, Started] = {}
    try:
        for metering in ("off", "on"):
            started[metering] = start_apiproxy(
                bout.rig,
                bout.rig.live,
                f"{_NAME}-metering-{metering}",
                APIPROXY_METERING=metering,
            )
        for row, cost in _COSTS:
            _compare(bout, started, row, cost)
    except (*FAILURES, OSError) as error:
        bout.result.absent("metering", _NAME, str(error))
    finally:
        for one in started.values():
            bout.end(one)


def _compare(bout: Bout, started: dict[str, Started], row: str, cost: Cost) -> None:
    """Both in turn; who comes first changes from round to round."""
    for one in started.values():
        cost(bout, one, min(0.5, bout.plan.seconds))
    for number in range(bout.plan.cost_repeats):
        order = ("off", "on") if number % 2 else ("on", "off")
        bout.say(f"{row}, round {number + 1}")
        used = {
            each: cost(bout, started[each], bout.plan.cost_seconds) for each in order
        }
        bout.result.add(row, _NAME, ratio(used["on"], used["off"]))


def ratio(metered: float, plain: float) -> float:
    """Percent.

    Raises:
        Unavailable: nothing was measured.
    """
    if plain <= 0:
        raise Unavailable("nothing was measured")
    return 100 * metered / plain


def _event(bout: Bout, one: Started, seconds: float) -> float:
    assert one.running is not None
    with bout.agents_of(one) as agents:
        fields = dict(one.fields)
        agents.ask("open_streams", count=_STREAMS, pace_us=_PACE_US, fields=fields)
        agents.ask("events", seconds=0.1)
        meter = Meter(one.running)
        told = agents.ask("events", seconds=seconds)
        used = meter.seconds()
    return used / max(1, int(told["whole"]))


def _trip(bout: Bout, one: Started, seconds: float) -> float:
    assert one.running is not None
    with bout.agents_of(one) as agents:
        fields = dict(one.fields)
        agents.ask("open_sockets", count=_SOCKETS, deflate=False, fields=fields)
        agents.ask("echoes", seconds=0.1, size=_SIZE, deflate=False)
        meter = Meter(one.running)
        told = agents.ask("echoes", seconds=seconds, size=_SIZE, deflate=False)
        used = meter.seconds()
    return used / max(1, int(told["count"]))


def _request(bout: Bout, one: Started, seconds: float) -> float:
    assert one.running is not None
    one.running.forget_output()
    meter = Meter(one.running)
    load = wrk.load(
        f"http://127.0.0.1:{one.port}{speech.PATH}",
        connections=_CONNECTIONS,
        seconds=seconds,
        core=bout.rig.cores.rest,
        fields=one.fields,
    )
    return meter.seconds() / max(1, load.requests)


_COSTS: tuple[tuple[str, Cost], ...] = (
    ("metered_event", _event),
    ("metered_request", _request),
    ("metered_trip", _trip),
)
