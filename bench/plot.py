"""Pictures of a result: growth with the number of streams, memory over a soak.

``python -m bench.plot RESULT.json PICTURE.png`` draws, and needs matplotlib, which lives in an
environment of its own (``.bench/venv``, see ``make bench-peers``); ``plot`` runs it there.
So this file must do without anything that the project installs.
"""

import importlib
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
_PYTHON = _ROOT / ".bench" / "venv" / "bin" / "python"


def plot(result: Path, python: Path = _PYTHON) -> str:
    """Draw a result beside its file, or say why not.

    Args:
        result: the JSON.
        python: of the environment that has matplotlib.
    """
    picture = result.with_suffix(".png")
    if not python.exists():
        return "no picture: matplotlib is not installed (make bench-peers)"
    command = [str(python), "-m", "bench.plot", str(result), str(picture)]
    ran = subprocess.run(  # noqa: S603
        command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    if ran.returncode:
        return f"no picture: {ran.stderr.strip().splitlines()[-1]}"
    return f"picture: {picture}"


def growth_lines(
    growth: dict[str, Any],
) -> list[tuple[str, str, list[int], list[float]]]:
    """What is drawn of growth: kind, contestant, numbers of streams, medians."""
    lines = []
    for kind, contestants in growth.items():
        for name, by_count in contestants.items():
            counts = sorted(int(count) for count in by_count)
            medians = [statistics.median(by_count[str(count)]) for count in counts]
            lines.append((kind, name, counts, medians))
    return lines


def memory_line(samples: list[dict[str, float]]) -> tuple[list[float], list[float]]:
    """What is drawn of a soak: minutes, and megabytes then."""
    return (
        [sample["at"] / 60 for sample in samples],
        [sample["rss"] / 1e6 for sample in samples],
    )


def _draw(document: dict[str, Any], picture: str) -> None:
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    if document.get("kind") == "soak":
        axes.plot(*memory_line(document["samples"]))
        axes.set(xlabel="minutes", ylabel="resident memory, MB", title=document["load"])
        axes.title.set_fontsize(8)
    else:
        for kind, name, counts, medians in growth_lines(document["growth"]):
            style = "-o" if kind == "event" else "--s"
            axes.plot(counts, medians, style, label=f"{name}: CPU µs per {kind}")
        axes.set(xlabel="live streams", ylabel="CPU µs", title="cost with live streams")
        axes.set_xscale("log")
        axes.legend()
    axes.set_ylim(0, axes.get_ylim()[1] * 1.1)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    _draw(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
