"""The commands of ``python -m bench``: run, quick, smoke, soak, slow, table, fill, plot."""

import argparse
import contextlib
import datetime
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from attrs import evolve

from bench import http, lives, machine, metering, slow, soak, streams, table, workers
from bench.bout import Bout
from bench.growth import growth
from bench.peers import CONTESTANTS, DIRECT, Contestant
from bench.plan import ALL_ROWS, FULL, LIVE_ROWS, PLAIN_ROWS, QUICK, SMOKE, Plan
from bench.plot import plot
from bench.proc import steal
from bench.processes import Stage, Unavailable
from bench.result import Result
from bench.rig import Rig

_OUT = Path(__file__).parent.parent / ".bench"


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have it ignored
        signal.signal(number, _interrupt)
    try:
        options.do(options)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; everything that was started has ended\n")
        return 130
    except Unavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, plan in (("run", FULL), ("quick", QUICK), ("smoke", SMOKE)):
        run = commands.add_parser(name)
        run.set_defaults(do=_run, plan=plan, kind=name)
        run.add_argument("--out", type=Path, default=_OUT / "results" / f"{name}.json")
        run.add_argument("--only", help="parts, with commas between them")
        run.add_argument("--contestants", help="names, with commas between them")
        run.add_argument("--repeats", type=int)
        run.add_argument("--seconds", type=float)
    steady = commands.add_parser("soak")
    steady.set_defaults(do=_soak)
    steady.add_argument("--seconds", type=float, default=3600.0)
    steady.add_argument("--out", type=Path, default=_OUT / "results" / "soak.json")
    attacked = commands.add_parser("slow")
    attacked.set_defaults(do=_slow)
    attacked.add_argument("--seconds", type=float, default=30.0)
    attacked.add_argument("--modes", default="HBRX")
    attacked.add_argument("--out", type=Path, default=_OUT / "results" / "slow.json")
    for name, do in (("table", _table), ("fill", _fill), ("plot", _plot)):
        shown = commands.add_parser(name)
        shown.set_defaults(do=do)
        shown.add_argument("result", type=Path)
        if name == "fill":
            shown.add_argument("document", type=Path)
        if name == "plot":
            shown.add_argument("picture", type=Path, nargs="?")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    plan: Plan = options.plan
    if options.only:
        plan = evolve(plan, parts=frozenset(_known("part", options.only, ALL_ROWS)))
    if options.contestants:
        names = frozenset(each.name for each in CONTESTANTS)
        chosen = _known("contestant", options.contestants, names)
        plan = evolve(plan, contestants=chosen)
    if options.repeats:
        plan = plan.with_repeats(options.repeats)
    if options.seconds:
        seconds = options.seconds
        plan = evolve(plan, seconds=seconds, cost_seconds=seconds)
    return plan


def _known(what: str, text: str, names: frozenset[str]) -> tuple[str, ...]:
    """Names with commas between them.

    Raises:
        Unavailable: one is not known.
    """
    chosen = tuple(text.split(","))
    if unknown := [name for name in chosen if name not in names]:
        raise Unavailable(f"no such {what}: {unknown[0]}; there are {sorted(names)}")
    return chosen


def _run(options: argparse.Namespace) -> None:
    plan, result = _plan(options), Result()
    document = result.document
    document["machine"] = machine.described()
    began = time.monotonic()
    document["options"] = {
        "kind": options.kind,
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "repeats": plan.repeats,
        "slow_repeats": min(plan.repeats, plan.slow_repeats),
        "seconds": plan.seconds,
        "cost_repeats": plan.cost_repeats,
        "cost_seconds": plan.cost_seconds,
        "parts": sorted(plan.parts),
    }
    busy = machine.busy_note(os.getloadavg()[0], os.cpu_count() or 1)
    if busy:
        result.note(busy)
    present = _present(plan, result)
    stolen = steal()
    with _rig() as rig:
        document["options"]["plain_provider"] = rig.plain_by
        document["versions"] = machine.versions()
        bout = Bout(rig, plan, result, present)
        try:
            _parts(bout)
        finally:
            document["options"]["took_seconds"] = round(time.monotonic() - began)
            if note := machine.steal_note(stolen, steal()):
                result.note(note)
            result.write(options.out)
    sys.stdout.write(table.table(result) + "\n\n")
    if document["growth"]:
        sys.stdout.write(plot(options.out) + "\n")
    sys.stdout.write(f"every sample: {options.out}\n")


def _parts(bout: Bout) -> None:
    """The parts of the plan, one after the other."""
    parts = bout.plan.parts
    if parts & PLAIN_ROWS:
        http.measure(bout)
    if parts & LIVE_ROWS:
        streams.measure(bout)
    for name, measure in (
        ("starts", lives.starts),
        ("crowd", lives.crowds),
        ("connects", lives.connects),
        ("growth", growth),
        ("workers", workers.measure),
        ("metering", metering.measure),
    ):
        if name in parts:
            measure(bout)


def _present(plan: Plan, result: Result) -> list[Contestant]:
    """Those of the plan that are installed; all are noted."""
    found = []
    result.contestant(DIRECT.name, DIRECT.label)
    for each in CONTESTANTS:
        try:
            version = each.version()
        except Unavailable as error:
            result.contestant(each.name, each.label, absent=str(error))
            continue
        if each.name not in plan.contestants:
            result.contestant(each.name, each.label, version, absent="not in this run")
            continue
        result.contestant(each.name, each.label, version)
        found.append(each)
    return found


@contextlib.contextmanager
def _rig() -> Iterator[Rig]:
    """The surroundings, with their files in a folder that goes with them."""
    with tempfile.TemporaryDirectory(prefix="apiproxy-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # Squid and nginx read it as somebody else
        descriptors = machine.raise_descriptor_limit()
        with Stage(Path(folder)) as stage:
            yield Rig(stage, machine.cores(), descriptors)


def _soak(options: argparse.Namespace) -> None:
    with _rig() as rig:
        soak.soak(rig, options.seconds, options.out)
    sys.stdout.write(plot(options.out) + "\n" + f"every sample: {options.out}\n")


def _slow(options: argparse.Namespace) -> None:
    with _rig() as rig:
        if not slow.slow(rig, options.seconds, options.modes, options.out):
            raise Unavailable("the good agent was held up, or something was left open")


def _table(options: argparse.Namespace) -> None:
    sys.stdout.write(table.table(Result.read(options.result)) + "\n")


def _fill(options: argparse.Namespace) -> None:
    table.fill_file(options.document, Result.read(options.result))


def _plot(options: argparse.Namespace) -> None:
    sys.stdout.write(plot(options.result, options.picture) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
