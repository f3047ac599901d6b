"""What the kernel says about a process and its children: CPU time and memory.

CPU time, user and system together, comes from the CPU clock that Linux keeps for each process.
It counts nanoseconds, and what threads that have ended had used is still in it; the files of
``/proc/PID/task`` forget them, and a gateway with a pool of threads would seem cheaper.
"""

import time
from pathlib import Path

_PROC = Path("/proc")
_SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED of <linux/posix-timers_types.h>


def parse_parent(text: str) -> int:
    """Parent's pid, from ``/proc/PID/stat``.

    The name of the program is in parentheses and may itself hold spaces and parentheses.
    """
    return int(text.rpartition(")")[2].split()[1])


def parse_steal(text: str) -> tuple[int, int]:
    """Ticks that the hypervisor gave to others, and all ticks, from ``/proc/stat``."""
    ticks = [int(each) for each in text.split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


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
            below.setdefault(parse_parent(text), []).append(int(entry.name))
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


def cpu_seconds(pid: int) -> float:
    """CPU seconds, user and system, that a process and its children have used."""
    return sum(_cpu_ns(one) for one in family(pid)) / 1e9


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


def parse_core(text: str, core: int) -> tuple[int, int]:
    """Ticks in which a core was not idle, and all its ticks, from ``/proc/stat``."""
    for line in text.splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            ticks = [int(each) for each in fields[:8]]
            return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
    return 0, 0


def core_ticks(core: int, root: Path = _PROC) -> tuple[int, int]:
    """Ticks since boot in which a core was not idle, and all its ticks."""
    return parse_core(_read(root / "stat"), core)


def steal(root: Path = _PROC) -> tuple[int, int]:
    """Ticks since boot that the hypervisor gave to others, and all ticks."""
    return parse_steal(_read(root / "stat"))


def _cpu_ns(pid: int) -> int:
    try:  # the clock's number as clock_getcpuclockid(3) makes it
        return time.clock_gettime_ns(~pid << 3 | _SCHEDULER_CLOCK)
    except OSError:
        return 0


def _read(path: Path) -> str:
    """The text of a file of proc; empty if the process has just ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
