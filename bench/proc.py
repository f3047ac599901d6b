"""What ``/proc`` says about a process and its children: CPU time and memory.

CPU time comes from ``schedstat``, which counts nanoseconds; where the kernel has none, from
``stat``, which counts clock ticks (mostly of 10 ms), so that a window of two seconds is good
to half a percent. Both are user and system time together.
"""

import os
from pathlib import Path

_PROC = Path("/proc")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def parse_stat(text: str) -> tuple[int, int, int]:
    """Parent's pid, and ticks of user and of system time, from ``/proc/PID/stat``.

    The name of the program is in parentheses and may itself hold spaces and parentheses.
    """
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), int(fields[11]), int(fields[12])


def parse_schedstat(text: str) -> int:
    """Nanoseconds on a CPU, from ``/proc/PID/task/TID/schedstat``."""
    return int(text.split()[0])


def parse_status(text: str, field: str = "VmRSS") -> int:
    """Bytes in a field of ``/proc/PID/status``; 0 if it is not there, as for a zombie."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def parse_rollup(text: str) -> int:
    """Bytes of proportional memory, from ``/proc/PID/smaps_rollup``."""
    return parse_status(text, "Pss")


def family(pid: int, root: Path = _PROC) -> list[int]:
    """The process and all below it, parents first.

    Args:
        pid: of the process.
        root: where proc is mounted.
    """
    below: dict[int, list[int]] = {}
    for entry in root.iterdir():
        if entry.name.isdigit() and (text := _read(entry / "stat")):
            below.setdefault(parse_stat(text)[0], []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += below.get(one, ())
    return found


def started(pid: int, root: Path = _PROC) -> int | None:
    """When a process began, in ticks since boot; None if there is no such process.

    A pid alone may have been given to another in the meantime; together they are unique.
    """
    text = _read(root / str(pid) / "stat")
    return int(text.rpartition(")")[2].split()[19]) if text else None


def cpu_seconds(pid: int, root: Path = _PROC) -> float:
    """CPU seconds, user and system, that a process and its children have used."""
    return sum(_cpu_ns(root / str(one)) for one in family(pid, root)) / 1e9


def resident(pid: int, root: Path = _PROC) -> int:
    """Bytes of resident memory of a process and its children.

    What several processes share is divided between them, so that it counts once.
    """
    members = family(pid, root)
    if len(members) == 1:
        return parse_status(_read(root / str(pid) / "status"))
    return sum(parse_rollup(_read(root / str(one) / "smaps_rollup")) for one in members)


def descriptors(pid: int, root: Path = _PROC) -> int:
    """How many file descriptors a process has open."""
    try:
        return sum(1 for _ in (root / str(pid) / "fd").iterdir())
    except OSError:
        return 0


def _cpu_ns(process: Path) -> int:
    try:
        threads = [_read(task / "schedstat") for task in (process / "task").iterdir()]
    except OSError:
        return 0
    if any(threads):
        return sum(parse_schedstat(text) for text in threads if text)
    text = _read(process / "stat")
    if not text:
        return 0
    _, user, system = parse_stat(text)
    return (user + system) * _TICK_NS


def _read(path: Path) -> str:
    """The text of a file of proc; empty if the process has just ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
