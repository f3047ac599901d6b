"""An hour, or as long as asked for, of constant mixed load, with memory sampled."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench import machine
from bench.peers import CONTESTANTS
from bench.proc import cpu_seconds, descriptors, resident
from bench.processes import Running, Unavailable
from bench.rig import Agents, Rig

_EVERY = 10.0
_LISTENERS = 50
_TALKERS = 20
_REQUESTS = 40
_TALKING = 0.1
"""Share of the time in which the WebSockets echo, as fast as they can."""


def soak(rig: Rig, seconds: float, out: Path) -> None:
    """Hold streams and WebSockets, keep asking, and sample apiproxy every ten seconds.

    Streams are closed and opened anew every ten seconds, so that whole lives are part of the
    load. It ends by itself; what was sampled is written even when it is stopped before.

    Args:
        rig: the surroundings.
        seconds: how long.
        out: where the JSON goes.

    Raises:
        Unavailable: something refused, or the proxy ended.
    """
    started = CONTESTANTS[0].start(rig, rig.live, "soak")
    assert started.running is not None
    document: dict[str, Any] = {
        "kind": "soak",
        "machine": machine.described(),
        "seconds": seconds,
        "load": f"{_LISTENERS} streams at 20 ms opened anew every {_EVERY:.0f} s, "
        f"{_TALKERS} WebSockets echoing a tenth of the time, "
        f"up to {_REQUESTS} requests a second",
        "samples": [],
        "turns": [],
    }
    watch = _Watch(started.running, document["samples"])
    try:
        with (
            watch,
            rig.agents(started.port) as asker,
            rig.agents(started.port) as listeners,
            rig.agents(started.port) as talkers,
        ):
            talkers.ask("open_sockets", count=_TALKERS, deflate=False, fields={})
            agents = (asker, listeners, talkers)
            _turn(started.running, agents, seconds, document["turns"])
    finally:
        rig.stage.stop(started.running)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1) + "\n")


class _Watch:
    """Samples a process every ten seconds, whatever the load is about."""

    def __init__(self, running: Running, samples: list[dict[str, float]]) -> None:
        self._running = running
        self._samples = samples
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        began, count = time.monotonic(), 0
        while self._running.alive:
            self._samples.append(_sample(self._running, time.monotonic() - began))
            count += 1
            if self._ended.wait(max(0.0, began + count * _EVERY - time.monotonic())):
                return


def _turn(
    running: Running,
    agents: tuple[Agents, Agents, Agents],
    seconds: float,
    turns: list[dict[str, float]],
) -> None:
    asker, listeners, talkers = agents
    began = time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        listeners.ask("open_streams", count=_LISTENERS, pace_us=20_000, fields={})
        span = max(0.5, min(_EVERY - 1, left - 1))
        count = max(1, int(span * _REQUESTS * 0.9))
        asker.begin(
            "requests", count=count, pause=1 / _REQUESTS, fresh=False, fields={}
        )
        talkers.begin("echoes", seconds=span * _TALKING, size=1000, deflate=False)
        told = listeners.ask("events", seconds=span)
        told["at"] = round(time.monotonic() - began, 1)
        told["trips"] = talkers.wait()["count"]
        told["requests"] = asker.wait()["count"]
        told["lost"] += listeners.ask("close")["lost"]
        turns.append(told)
        if not running.alive:
            raise Unavailable(f"apiproxy ended: {running.last_words()}")
        running.forget_output()
        sys.stderr.write(
            f"  {told['at']:6.0f} s: {resident(running.pid) / 1e6:.1f} MB, "
            f"p99 {told.get('late_p99', 0):.1f} ms late, {told['lost']} lost\n"
        )


def _sample(running: Running, at: float) -> dict[str, float]:
    return {
        "at": round(at, 1),
        "rss": resident(running.pid),
        "cpu": round(cpu_seconds(running.pid), 3),
        "descriptors": descriptors(running.pid),
    }
