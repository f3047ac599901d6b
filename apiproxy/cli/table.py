"""What subcommands print in rows and columns."""

from collections.abc import Iterable

import click


def show_table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Print rows under one another, in columns."""
    lines = [head, *(tuple(map(_cell, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    text = str(value)
    if isinstance(value, float):
        text = f"{value:.6f}".rstrip("0").rstrip(".")
    # What agents have chosen, such as a path, is not to move the cursor.
    return "".join(each if each.isprintable() else "?" for each in text)
