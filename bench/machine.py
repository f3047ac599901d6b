"""What the benchmark runs on, and what of it it may use."""

import importlib.metadata
import os
import platform
import resource
import shutil
import ssl
import subprocess
import sys
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
        "python": f"{platform.python_version()} ({Path(sys.executable).resolve()})",
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "load_at_start": list(os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """What else has a part in the figures: libraries of the proxy, tools of the rig."""
    found = {"OpenSSL": ssl.OPENSSL_VERSION}
    for name in ("Twisted", "autobahn", "msgspec"):
        found[name] = importlib.metadata.version(name)
    for name in ("squid", "wrk"):
        found[name] = _first_line(name, "-v")
    return found


def _first_line(name: str, option: str) -> str:
    """Of what a program says; wrk ends with 1 after it has said its version."""
    program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        return "absent"
    ran = subprocess.run(  # noqa: S603
        [program, option], capture_output=True, text=True, check=False, timeout=20
    )
    return ((ran.stdout + ran.stderr).strip().splitlines() or ["?"])[0].strip()


def steal_note(before: tuple[int, int], after: tuple[int, int]) -> str | None:
    """A caveat when the hypervisor took CPU time from this machine; None if it did not.

    Args:
        before: ticks stolen, and all ticks, when the run began.
        after: the same at its end.
    """
    stolen, ticks = after[0] - before[0], after[1] - before[1]
    if ticks <= 0 or stolen * 100 < ticks:
        return None
    return (
        f"the hypervisor took {100 * stolen / ticks:.1f} % of this machine's CPU time "
        "during the run: latencies are too high"
    )


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
