"""Pictures of a result: growth with the number of streams, memory over a soak.

``python -m bench.plot RESULT.json PICTURE.png`` draws, and needs matplotlib, which lives in an
environment of its own (``.bench/venv``, see ``make bench-peers``); ``plot`` runs it there.
So this file must do without anything that the project installs.
"""

import importlib
import itertools
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path(__file__).parent.parent
_PYTHON = _ROOT / ".bench" / "venv" / "bin" / "python"
_FLAT = 1.2
_LONG_SECONDS = 900
_COLORS = {"apiproxy": "#1f5fa8", "nginx": "#7a7a7a"}
_PALE = "#c9d9ec"


class Curve(NamedTuple):
    """What is drawn of one contestant.

    Attributes:
        name: of it.
        counts: numbers of live streams.
        medians: of the samples at each.
        least: the smallest sample at each.
        most: the largest.
    """

    name: str
    counts: list[int]
    medians: list[float]
    least: list[float]
    most: list[float]


def plot(result: Path, picture: Path | None = None, python: Path = _PYTHON) -> str:
    """Draw a result, or say why not.

    Args:
        result: the JSON.
        picture: where to; beside the result if not said.
        python: of the environment that has matplotlib.
    """
    picture = picture or result.with_suffix(".png")
    if not python.exists():
        return "no picture: matplotlib is not installed (make bench-peers)"
    picture.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "bench.plot", str(result.resolve())]
    ran = subprocess.run(  # noqa: S603
        [*command, str(picture.resolve())],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if ran.returncode:
        return f"no picture: {ran.stderr.strip().splitlines()[-1]}"
    return f"picture: {picture}"


def growth_lines(contestants: Mapping[str, Mapping[str, list[float]]]) -> list[Curve]:
    """What is drawn of growth."""
    lines = []
    for name, by_count in contestants.items():
        counts = sorted(int(count) for count in by_count)
        samples = [by_count[str(count)] for count in counts]
        medians = [statistics.median(each) for each in samples]
        least, most = [min(each) for each in samples], [max(each) for each in samples]
        lines.append(Curve(name, counts, medians, least, most))
    return lines


def memory_line(
    samples: Sequence[Mapping[str, float]],
) -> tuple[list[float], list[float]]:
    """What is drawn of a soak's memory: minutes, and megabytes then."""
    return (
        [sample["at"] / 60 for sample in samples],
        [sample["rss"] / 1e6 for sample in samples],
    )


def load_line(
    samples: Sequence[Mapping[str, float]],
) -> tuple[list[float], list[float]]:
    """What is drawn of a soak's CPU: minutes, and percent of a core up to then."""
    minutes, percents = [], []
    for before, after in itertools.pairwise(samples):
        if (span := after["at"] - before["at"]) > 0:
            minutes.append(after["at"] / 60)
            percents.append(100 * (after["cpu"] - before["cpu"]) / span)
    return minutes, percents


def trend(samples: Sequence[Mapping[str, float]]) -> float | None:
    """Megabytes gained in an hour, after the first quarter; None: too short to tell."""
    settled = samples[len(samples) // 4 :]
    if len(settled) < 3 or settled[-1]["at"] - settled[0]["at"] < _LONG_SECONDS:
        return None
    fit = statistics.linear_regression(
        [sample["at"] / 3600 for sample in settled],
        [sample["rss"] / 1e6 for sample in settled],
    )
    return fit.slope


def _draw(document: dict[str, Any], picture: str) -> None:
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    pyplot.rcParams.update(
        {
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
        }
    )
    figure = (_draw_soak if document.get("kind") == "soak" else _draw_growth)(
        pyplot, document
    )
    figure.savefig(picture, dpi=130)


def _draw_growth(pyplot: Any, document: dict[str, Any]) -> Any:
    growth = document["growth"]
    figure, panels = pyplot.subplots(
        1, len(growth), figsize=(9, 4), squeeze=False, layout="constrained"
    )
    titles = {"event": "one event of a stream", "request": "one request beside them"}
    for axes, (kind, contestants) in zip(panels[0], growth.items(), strict=True):
        for curve in growth_lines(contestants):
            _draw_curve(axes, curve)
        axes.set(title=titles.get(kind, kind), xlabel="live streams", xscale="log")
        axes.set_xticks(curve.counts, [f"{count:,}" for count in curve.counts])
        axes.set_xticks([], minor=True)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.15)
        axes.grid(axis="x", visible=False)
    panels[0][0].set_ylabel("CPU µs")
    panels[0][0].legend(frameon=False, loc="upper left", ncols=3, fontsize=9)
    figure.suptitle(
        "What a unit of work costs as live streams multiply", x=0.01, ha="left"
    )
    return figure


def _draw_curve(axes: Any, curve: Curve) -> None:
    color = _COLORS.get(curve.name, "#b06000")
    if curve.name == "apiproxy":
        low = min(curve.medians)
        axes.axhspan(
            low, low * _FLAT, color=_PALE, alpha=0.5, lw=0, label="within 20 %"
        )
    points = list(zip(curve.medians, curve.least, curve.most, strict=True))
    below = [median - least for median, least, _ in points]
    above = [most - median for median, _, most in points]
    axes.errorbar(
        curve.counts,
        curve.medians,
        yerr=(below, above),
        fmt="-o",
        color=color,
        markersize=5,
        capsize=3,
        elinewidth=1,
        label=curve.name,
    )


def _draw_soak(pyplot: Any, document: dict[str, Any]) -> Any:
    samples = document["samples"]
    figure, (memory, load) = pyplot.subplots(
        2,
        1,
        figsize=(9, 5),
        sharex=True,
        layout="constrained",
        gridspec_kw={"height_ratios": (2, 1)},
    )
    memory.plot(*memory_line(samples), color=_COLORS["apiproxy"], lw=1.6)
    slope = trend(samples)
    told = "" if slope is None else f": {slope:+.1f} MB an hour after the first quarter"
    memory.set(title=f"resident memory{told}", ylabel="MB")
    load.plot(*load_line(samples), color=_COLORS["nginx"], lw=1.2)
    load.set(title="CPU", ylabel="% of a core", xlabel="minutes")
    for axes in (memory, load):
        axes.set_ylim(0, axes.get_ylim()[1] * 1.1)
        axes.margins(x=0.01)
    figure.suptitle(document["load"], x=0.01, ha="left", fontsize=10)
    return figure


if __name__ == "__main__":
    _draw(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
