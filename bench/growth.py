"""Whether a request or an event costs more when many streams are live.

A round takes one process through all numbers of streams, up or down, in about a minute, and is
compared with itself only: neither the machine's drift from minute to minute nor the luck of
one process's memory can then look like growth. There are always as many events in all, 500 a
second, evenly spread, so that the number of streams is the only thing that changes; and each
window holds more than a thousand events and several thousand requests, whose CPU time the
kernel counts in nanoseconds.
"""

import time

from bench.bout import Bout, Meter
from bench.machine import crowd_allowed
from bench.peers import Started

_EVENTS_A_SECOND = 500
_BATCH = 100


def growth(bout: Bout) -> None:
    """CPU per event and per request with few and with many live streams."""
    allowed = 2 * crowd_allowed(bout.plan.growth[-1], bout.rig.descriptors)
    counts = [count for count in bout.plan.growth if count <= allowed]
    if len(counts) < len(bout.plan.growth):
        bout.result.note(f"growth to {counts[-1]} streams only: too few files")

    def grow(number: int, name: str) -> None:
        found = []
        with bout.one_started(name, bout.rig.live, "growth") as one:
            _warmed(bout, one)
            for count in counts if number % 2 == 0 else reversed(counts):
                found.append((count, *_costs(bout, one, count)))
        for count, event, request in found:  # only rounds that are whole
            bout.result.growth("event", name, count, event)
            bout.result.growth("request", name, count, request)

    names = [name for name in ("apiproxy", "nginx") if name in bout.contestants]
    bout.round_robin("growth", names, grow, times=bout.plan.growth_repeats)


def _warmed(bout: Bout, one: Started) -> None:
    with bout.agents_of(one) as asker:
        fields = dict(one.fields)
        asker.ask("requests", count=500, pause=0, fresh=False, fields=fields)


def _costs(bout: Bout, one: Started, count: int) -> tuple[float, float]:
    """CPU µs of an event and of a request, with so many live streams.

    Requests go one at a time while the streams are silent, so that nothing has to be taken
    off; then the events come.
    """
    assert one.running is not None
    seconds, fields = bout.plan.seconds, dict(one.fields)
    pace = count * 1_000_000 // _EVENTS_A_SECOND
    with bout.agents_of(one) as listeners, bout.agents_of(one) as asker:
        listeners.ask(
            "open_streams", count=count, pace_us=pace, fields=fields, going=False
        )
        asker.ask("requests", count=_BATCH, pause=0, fresh=False, fields=fields)
        meter, began, requests = Meter(one.running), time.monotonic(), 0
        while time.monotonic() - began < seconds:
            asker.ask("requests", count=_BATCH, pause=0, fresh=False, fields=fields)
            requests += _BATCH
        request = meter.seconds() / requests
        listeners.ask("go", fields=fields)
        meter = Meter(one.running)
        told = listeners.ask("events", seconds=seconds)
        event = meter.seconds() / max(1, told["whole"])
    return event * 1e6, request * 1e6
