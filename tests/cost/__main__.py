"""``python -m tests.cost``: count anew and write the numbers of this Python down."""

import sys
import tempfile
from pathlib import Path

from tests.cost import numbers
from tests.cost.units import UNITS, measured


def main() -> None:
    """Count every unit of work, say what has changed, and write it down."""
    python = numbers.series()
    pinned = numbers.read(python)
    with tempfile.TemporaryDirectory() as folder:
        calls = {name: measured(name, Path(folder)) for name in UNITS}
    for name, counted in calls.items():
        sys.stdout.write(f"{python} {name}: {counted.figures()}\n")
        if pinned is not None and name in pinned.functions:
            for line in numbers.changed(pinned.functions[name], counted.functions()):
                sys.stdout.write(f"    {line}\n")
    numbers.write(
        python,
        {name: counted.figures() for name, counted in calls.items()},
        {name: counted.functions() for name, counted in calls.items()},
    )


if __name__ == "__main__":
    main()
