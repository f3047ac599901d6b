"""What several workers cost together, and how evenly they share the work.

This is about CPU time for each request: of one process by itself, and of two workers with the
front that accepts for them; first all on the one core that every contestant has, where the two
push one another out of its caches, and then, as people run them, on a core each, although the
second core also carries the load. On the one core it is measured twice: with as many agents as
the one process has, and with as many for each worker, since who wants two workers has them.
What of the difference is not the workers' doing is told by two processes that know nothing of
each other, with half of the agents each, on that one core. It is not about how much more two
free cores could do.
"""

import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from bench import speech, wrk
from bench.bout import FAILURES, Bout, Meter
from bench.peers import Started, start_apiproxy
from bench.proc import cpu_seconds, family

_NAME = "apiproxy"
_CONNECTIONS = 32
_SHARED = "workers_2"  # on cores of their own the load's core would decide the share


def measure(bout: Bout) -> None:
    """The rows of workers; only apiproxy takes part."""
    if _NAME not in bout.contestants:
        return
    started: list[Started] = []
    try:
        for name, count in (("1", 1), ("2", 2), ("stranger", 1)):
            started.append(_started(bout, name, count))
        one, two, stranger = started
        for number in range(bout.plan.cost_repeats):
            both = [("workers_1", one), (_SHARED, two)]
            for row, each in both if number % 2 == 0 else reversed(both):
                bout.say(f"workers, round {number + 1}: {row}")
                _cost(bout, each, row)
            _cost(bout, two, "workers_full", 2 * _CONNECTIONS)
            _strangers(bout, one, stranger)
            _move_last(two, bout.rig.cores.rest)
            _cost(bout, two, "workers_apart")
            _move_last(two, bout.rig.cores.proxy)
    except (*FAILURES, OSError) as error:
        bout.result.absent("workers", _NAME, str(error))
    finally:
        for each in started:
            bout.end(each)


def _started(bout: Bout, name: str, count: int) -> Started:
    """So many workers that have made their connections and loaded their code."""
    name, extra = f"{_NAME}-workers-{name}", {"APIPROXY_WORKERS": str(count)}
    one = start_apiproxy(bout.rig, bout.rig.plain, name, **extra)
    _wait(one)
    _load(bout, one, 1)
    return one


def _cost(bout: Bout, one: Started, row: str, connections: int = _CONNECTIONS) -> None:
    assert one.running is not None
    one.running.forget_output()
    below = family(one.running.pid)[1:]
    before = [cpu_seconds(pid) for pid in below]
    meter = Meter(one.running)
    load = _load(bout, one, bout.plan.cost_seconds, connections)
    bout.result.add(row, _NAME, meter.seconds() * 1e6 / load.requests)
    if below and row == _SHARED:
        used = [cpu_seconds(p) - b for p, b in zip(below, before, strict=True)]
        bout.result.add("workers_share", _NAME, 100 * max(used) / sum(used))


def _strangers(bout: Bout, *both: Started) -> None:
    """What a request costs two processes together that do not know each other."""
    meters = []
    for one in both:
        assert one.running is not None
        one.running.forget_output()
        meters.append(Meter(one.running))
    seconds, share = bout.plan.cost_seconds, _CONNECTIONS // len(both)
    with ThreadPoolExecutor() as together:
        loads = [together.submit(_load, bout, one, seconds, share) for one in both]
        requests = sum(load.result().requests for load in loads)
    used = sum(meter.seconds() for meter in meters)
    bout.result.add("workers_strangers", _NAME, used * 1e6 / requests)


def _move_last(one: Started, core: int) -> None:
    """Have the last worker run on this core from now on."""
    assert one.running is not None
    os.sched_setaffinity(family(one.running.pid)[-1], {core})


def _wait(one: Started) -> None:
    """Until it serves; ports of several workers are bound before there is one."""
    url = f"http://127.0.0.1:{one.port}/health"
    with urllib.request.urlopen(url, timeout=30) as answer:
        answer.read()


def _load(
    bout: Bout, one: Started, seconds: float, connections: int = _CONNECTIONS
) -> wrk.Load:
    return wrk.load(
        f"http://127.0.0.1:{one.port}{speech.PATH}",
        connections=connections,
        seconds=seconds,
        core=bout.rig.cores.rest,
        fields=one.fields,
    )
