"""The numbers that were written down, and what has become of them.

``numbers.toml`` is for people; ``functions/*.json`` has every function's share, so that a
number that has changed says where.
"""

import json
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import frozen

MORE = 1.05
LESS = 0.85

_FOLDER = Path(__file__).parent
_HEAD = """\
# What apiproxy's data path calls for one unit of work (see tests/cost/units.py), by version of
# Python: Python functions, C functions, and which of those are system calls.
# Written by "make cost", which counts nothing but what is called. Do not edit.
"""

Figures = dict[str, int]


@frozen
class Pinned:
    """What was written down for one version of Python.

    Attributes:
        twisted: the version of Twisted then.
        figures: by unit of work and name.
        functions: by unit of work and function.
    """

    twisted: str
    figures: dict[str, Figures]
    functions: dict[str, Figures]


def series() -> str:
    """The version of this Python, as the numbers are filed."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read(python: str, folder: Path = _FOLDER) -> Pinned | None:
    """What was written down for a version of Python; None if nothing was."""
    filed = _document(folder)
    if python not in filed:
        return None
    document = filed[python]
    twisted = document.pop("twisted")
    functions = json.loads((folder / "functions" / f"{python}.json").read_text())
    return Pinned(twisted, document, functions)


def write(
    python: str,
    figures: Mapping[str, Figures],
    functions: Mapping[str, Figures],
    folder: Path = _FOLDER,
) -> None:
    """Write the numbers of one version of Python down; the others stay."""
    document = _document(folder)
    document[python] = {"twisted": version("twisted"), **figures}
    text = [_HEAD]
    for each in sorted(document):
        text.append(f'["{each}"]\ntwisted = "{document[each]["twisted"]}"')
        text += [
            _line(*item) for item in document[each].items() if item[0] != "twisted"
        ]
        text.append("")
    (folder / "numbers.toml").write_text("\n".join(text))
    (folder / "functions").mkdir(exist_ok=True)
    path = folder / "functions" / f"{python}.json"
    path.write_text(json.dumps(functions, indent=1) + "\n")


def _document(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "numbers.toml"
    return tomllib.loads(path.read_text()) if path.exists() else {}


def _line(unit: str, figures: Figures) -> str:
    inside = ", ".join(
        f'"{name}" = {count}' if "." in name else f"{name} = {count}"
        for name, count in figures.items()
    )
    return f"{unit} = {{ {inside} }}"


def grown(was: Figures, now: Figures) -> list[str]:
    """Figures that are too large now; calls may grow a little, system calls may not."""
    return [
        f"{name}: {count}, was {was.get(name, 0)}"
        for name, count in now.items()
        if count > was.get(name, 0) * (1.0 if "." in name else MORE)
    ]


def fallen(was: Figures, now: Figures) -> list[str]:
    """Figures that have become so good that they are worth writing down."""
    return [
        f"{name}: {now.get(name, 0)}, was {count}"
        for name, count in was.items()
        if now.get(name, 0) < count * LESS
    ]


def changed(was: Figures, now: Figures) -> list[str]:
    """Functions that are called more or less often, the largest changes first."""
    changes = {
        name: now.get(name, 0) - was.get(name, 0) for name in was.keys() | now.keys()
    }
    order = sorted(changes, key=lambda name: (-abs(changes[name]), name))
    return [f"{changes[name]:+} {name}" for name in order if changes[name]]
