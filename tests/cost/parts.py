"""``python -m tests.cost.parts``: what each part of a request costs, by leaving it out.

The scene of the counted units serves requests with a part and without it, turn about, some at
a time; the difference of the medians is what the part costs. Only the time inside apiproxy's
own loop is taken, system calls included. This is for people and for ``docs/performance.md``:
nothing is decided by it, because it depends on the machine.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from apiproxy.core.exchange import Exchange
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.exchange_lines import ExchangeLines
from apiproxy.telemetry.redaction import Redaction
from apiproxy.wire import channel, relay, request, upstream
from apiproxy.wire.reverse import ProviderResource
from tests.cost.scene import ENDS_SECONDS, NEVER, Scene
from tests.cost.units import UNITS

_AT_ONCE = 32  # as many as are told together, see telemetry.batch
_TURNS = 100
_WARM = 200

Patches = list[Any]


def _known(module: Any, *names: str) -> Callable[[], Patches]:
    """Functions that give again what they gave the first time, whatever they are asked."""

    def patches() -> Patches:
        return [
            patch.object(module, name, _first(getattr(module, name))) for name in names
        ]

    return patches


def _first(function: Callable[..., Any]) -> Callable[..., Any]:
    found: list[Any] = []

    def given(*arguments: Any) -> Any:
        if not found:
            found.append(function(*arguments))
        return found[0]

    return given


def _nothing(owner: Any, name: str, result: Any = None) -> Callable[[], Patches]:
    return lambda: [patch.object(owner, name, lambda *arguments: result)]


PARTS: dict[str, Callable[[], Patches]] = {
    "the agent's head read by the grammar": _known(channel, "parse_request"),
    "… its lines sorted, credential slots taken out": _known(channel, "sort_request"),
    "the target brought into its one spelling": _known(ProviderResource, "_read"),
    "the head for upstream made, the key put in": _known(relay.Relay, "_make_head"),
    "the answer's head read and sorted": lambda: [
        *_known(upstream, "parse_answer")(),
        *_known(upstream, "sort_answer")(),
    ],
    "the answer's head made anew": _known(request.AgentRequest, "make_head"),
    "metering: what the answer has used, and what that costs": lambda: [
        patch.object(
            ProviderResource,
            "_begin",
            lambda self, route, request, ask, way: way.start(),
        )
    ],
    "all observers: census, metrics, the log line": lambda: [
        patch.object(
            Exchange, "_enter", lambda self, phase: setattr(self, "phase", phase)
        )
    ],
    "… of that, metrics": _nothing(Counters, "observe"),
    "… of that, the log line": _nothing(ExchangeLines, "observe"),
    "… … of that, the search for secrets in it": lambda: [
        patch.object(Redaction, "clean", lambda self, line: line)
    ],
}


class _Stopwatch:
    """Adds up the seconds of what it does."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timing(self, act: Callable[[], object]) -> None:
        """Do it."""
        began = time.perf_counter()
        act()
        self.seconds += time.perf_counter() - began


@contextmanager
def _left_out(patches: Patches) -> Iterator[None]:
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


def measured(folder: Path, part: Callable[[], Patches]) -> tuple[float, float]:
    """Microseconds of a request, and how many of them this part costs."""
    scene = Scene(folder)
    scene.proxy.flush = lambda: None  # type: ignore[method-assign]  # many at a time
    try:
        once = UNITS["request"](scene)

        def some(count: int) -> float:
            watch = _Stopwatch()
            for _ in range(count):
                once(watch.timing)
            return watch.seconds / count * 1e6

        some(_WARM)
        pairs = []
        with patch(ENDS_SECONDS, NEVER):  # or what is with a part is told without it
            for _ in range(_TURNS):
                whole = some(_AT_ONCE)
                with _left_out(part()):
                    once(_Stopwatch().timing)
                    pairs.append((whole, whole - some(_AT_ONCE)))
    finally:
        scene.close()
    return (
        statistics.median(whole for whole, _ in pairs),
        statistics.median(less for _, less in pairs),
    )


def main() -> None:
    """Print the table."""
    sys.stdout.write("| part of a request | µs | share |\n|---|---|---|\n")
    whole = 0.0
    for title, part in PARTS.items():
        with tempfile.TemporaryDirectory() as folder:
            whole, less = measured(Path(folder), part)
        sys.stdout.write(f"| {title} | {less:.1f} | {100 * less / whole:.0f} % |\n")
        sys.stdout.flush()
    sys.stdout.write(
        f"| a whole request, alone, system calls included | {whole:.0f} | |\n"
    )


if __name__ == "__main__":
    main()
