"""A thousand connections that are as slow as they may be, and one agent that is not.

slowhttptest (of Debian) makes them, in its modes H (heads that come in drops), B (bodies), R
(a thousand overlapping ranges) and X (answers that are hardly read). Meanwhile an agent asks
up to a hundred times a second, and its latency is compared with what it was before. After
that, all that was taken must be given back.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine
from bench.peers import CONTESTANTS
from bench.proc import cpu_seconds, descriptors, resident
from bench.processes import Running, Unavailable
from bench.rig import Agents, Rig, find

MODES = {"H": "slow heads", "B": "slow bodies", "R": "ranges", "X": "slow readers"}
MOST_LATER_MS = 100.0
"""By how much the 99th percentile of the good agent's latency may rise."""

_CONNECTIONS, _RATE = 1000, 200
_LARGE = 1024 * 1024
"""Bytes of an answer that is read slowly."""

_PAUSE = 0.01
_PATIENCE = 60.0
_OPTIONS = {
    "H": ("-H", "-i", "2", "-x", "24"),
    "B": ("-B", "-i", "2", "-x", "24", "-s", "8192"),
    "R": ("-R", "-t", "HEAD", "-a", "5", "-b", "3000"),
    "X": ("-X", "-w", "64", "-y", "128", "-n", "1", "-z", "16", "-k", "3"),
}


def slow(rig: Rig, seconds: float, modes: str, out: Path) -> bool:
    """Measure each mode on a process of its own, and write down what came of it.

    Args:
        rig: the surroundings.
        seconds: how long each lasts.
        modes: letters of ``MODES``.
        out: where the JSON goes.

    Returns:
        Whether latency and what is left over are within bounds.

    Raises:
        Unavailable: slowhttptest is not installed, or something refused.
    """
    if find("slowhttptest") is None:
        raise Unavailable("slowhttptest is not installed (Debian: slowhttptest)")
    (rig.stage.folder / "large").write_bytes(b"x" * _LARGE)
    rows = []
    for mode in modes:
        row = _measure(rig, mode, seconds)
        rows.append(row)
        sys.stdout.write(
            f"{mode} ({MODES[mode]}):"
            f" p50 {row['before_p50']:.1f} -> {row['first_p50']:.1f} ms,"
            f" p99 {row['before_p99']:.1f} -> {row['first_p99']:.1f} ms,"
            f" {row['most_open']} connections, CPU {row['cpu']:.0%},"
            f" +{row['grown'] / 1e6:.1f} MB, {row['left']} files left\n"
        )
        sys.stdout.flush()
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {"kind": "slow", "machine": machine.described(), "rows": rows}
    out.write_text(json.dumps(document, indent=1) + "\n")
    return all(
        row["first_p99"] - row["before_p99"] < MOST_LATER_MS and not row["left"]
        for row in rows
    )


def _measure(rig: Rig, mode: str, seconds: float) -> dict[str, Any]:
    started = CONTESTANTS[0].start(rig, rig.plain, f"slow-{mode}")
    assert started.running is not None
    try:
        with rig.agents(started.port) as good:
            row = _attacked(rig, started.running, good, started.port, mode, seconds)
            row["left"] = _left(started.running, row.pop("files"))
            return row
    finally:
        rig.stage.stop(started.running)


def _attacked(
    rig: Rig, running: Running, good: Agents, port: int, mode: str, seconds: float
) -> dict[str, Any]:
    count = int(seconds / _PAUSE / 2)
    good.ask("requests", count=200, pause=_PAUSE, fresh=False, fields={})  # warms up
    before = good.ask("requests", count=count, pause=_PAUSE, fresh=False, fields={})
    files, memory = descriptors(running.pid), resident(running.pid)
    url = f"http://127.0.0.1:{port}/v1/{'large' if mode == 'X' else 'slow'}"
    command = ["slowhttptest", "-c", str(_CONNECTIONS), "-r", str(_RATE), "-u", url]
    length = ["-l", str(round(seconds)), "-p", "5", "-v", "0"]
    attack = rig.stage.start(
        f"slowhttptest-{mode}",
        [*command, *length, *_OPTIONS[mode]],
        core=rig.cores.rest,
    )
    began, cpu = time.monotonic(), cpu_seconds(running.pid)
    good.begin("requests", count=count, pause=_PAUSE, fresh=False, fields={})
    most = 0
    while attack.alive and time.monotonic() - began < seconds + 10:
        most = max(most, descriptors(running.pid) - files)
        time.sleep(0.5)
    row = {"mode": mode, "most_open": most, "files": files}
    row["cpu"] = (cpu_seconds(running.pid) - cpu) / (time.monotonic() - began)
    row.update(good.wait())
    row["grown"] = resident(running.pid) - memory
    rig.stage.stop(attack)
    return row | {"before_p50": before["first_p50"], "before_p99": before["first_p99"]}


def _left(running: Running, files: int) -> int:
    """How many files are open that were not before, when there was time to close them."""
    end = time.monotonic() + _PATIENCE
    while descriptors(running.pid) > files and time.monotonic() < end:
        time.sleep(0.5)
    return max(0, descriptors(running.pid) - files)
