"""What the benchmark runs on, and what of it it may use."""

import os
import platform
import resource
from pathlib import Path

from attrs import frozen


@frozen
class Cores:
    """Who runs where.

    Attributes:
        proxy: the core of the proxy under test.
        rest: the core of everything else.
    """

    proxy: int
    rest: int


def cores() -> Cores:
    """The first two cores that we may use; one for both where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[1 if len(allowed) > 1 else 0])


def raise_descriptor_limit() -> int:
    """Allow ourselves, and what we start, as many files as may be.

    Returns:
        The limit that holds now.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def crowd_allowed(wanted: int, descriptors: int) -> int:
    """How many WebSockets, and as many streams, the limit leaves room for.

    Proxies hold two files for each of either kind, so four for a pair.
    """
    return max(0, min(wanted, (descriptors - 256) // 4))


def parse_model(cpuinfo: str) -> str:
    """The processor's name, from ``/proc/cpuinfo``."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.machine()


def parse_memory(meminfo: str) -> int:
    """Bytes of memory, from ``/proc/meminfo``."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def described() -> dict[str, object]:
    """This machine, for the result."""
    return {
        "processor": parse_model(Path("/proc/cpuinfo").read_text()),
        "cores": os.cpu_count(),
        "memory_bytes": parse_memory(Path("/proc/meminfo").read_text()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "load_at_start": list(os.getloadavg()),
    }


def busy_note(load: float, running: int) -> str | None:
    """A caveat when others use the machine; None when it is ours.

    Args:
        load: runnable processes over the last minute.
        running: how many cores there are.
    """
    if load < running / 4:
        return None
    return (
        f"the machine was busy when the run began (load {load:.1f} on {running} cores): "
        "ratios hold roughly, absolute figures do not"
    )
