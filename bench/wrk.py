"""HTTP load by wrk: running it pinned, and reading what it prints."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

_SCRIPT = Path(__file__).with_name("post.lua")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3, "h": 3600e3}
_REQUESTS = re.compile(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),", re.MULTILINE)
_SHARE = re.compile(r"^\s*([\d.]+)%\s+([\d.]+)(us|ms|s|m|h)\s*$", re.MULTILINE)
_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET = re.compile(
    r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)"
)


class WrkFailed(Exception):
    """It ran badly, or what it measured was not success."""


@frozen
class Load:
    """What one run of wrk found.

    Attributes:
        requests: answers received.
        seconds: that it took.
        shares: milliseconds that so many percent of the requests did not exceed.
        refused: answers that were not 2xx or 3xx.
        broken: errors of sockets, timeouts included.
    """

    requests: int
    seconds: float
    shares: Mapping[float, float]
    refused: int = 0
    broken: int = 0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def parse(text: str) -> Load:
    """Read the output of ``wrk --latency``.

    Raises:
        WrkFailed: it is not that.
    """
    found = _REQUESTS.search(text)
    if found is None:
        raise WrkFailed(text.strip()[-300:] or "wrk said nothing")
    seconds = float(found[2]) * _UNITS[found[3]] / 1e3
    shares = {
        float(share): float(value) * _UNITS[unit]
        for share, value, unit in _SHARE.findall(text)
    }
    status, sockets = _STATUS.search(text), _SOCKET.search(text)
    return Load(
        requests=int(found[1]),
        seconds=seconds,
        shares=shares,
        refused=int(status[1]) if status else 0,
        broken=sum(int(each) for each in sockets.groups()) if sockets else 0,
    )


def load(
    url: str,
    *,
    connections: int,
    seconds: float,
    core: int,
    fields: Mapping[str, str],
    delay_ms: int = 0,
) -> Load:
    """Post as fast as answers come, or with a pause after each.

    Args:
        url: to post to.
        connections: kept open.
        seconds: to go on for, whole ones as far as wrk is concerned.
        core: to run on.
        fields: header lines beside the usual ones.
        delay_ms: about how long each connection waits after an answer.

    Raises:
        WrkFailed: wrk did not run, or more than one answer in a hundred was an error.
    """
    command = ["taskset", "-c", str(core), "wrk", "--latency", "-t1"]
    command += [f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
    for name, value in fields.items():
        command += ["-H", f"{name}: {value}"]
    command += ["-s", str(_SCRIPT), url, "--", str(delay_ms)]
    try:
        ran = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=seconds + 30
        )
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        raise WrkFailed(f"wrk did not end: {error}") from error
    if ran.returncode:
        raise WrkFailed((ran.stderr or ran.stdout).strip()[-300:])
    result = parse(ran.stdout)
    bad = result.refused + result.broken
    if not result.requests:
        raise WrkFailed(f"no request was answered in {seconds:.0f} s")
    if bad * 100 > result.requests:
        raise WrkFailed(f"{bad} of {result.requests} requests failed")
    if not {50.0, 99.0} <= result.shares.keys():
        raise WrkFailed("wrk printed no percentiles")
    return result
