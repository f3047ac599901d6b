"""The matrix: a row for each client, transport and scenario, as text and as Markdown."""

from collections.abc import Sequence
from typing import Literal

from attrs import asdict, frozen

Result = Literal["ok", "by design", "cannot", "FAILED"]


@frozen
class Row:
    """What became of a scenario.

    Attributes:
        client: its name.
        version: of it.
        transport: how it reached the model.
        scenario: by name.
        result: ``by design`` is another end than usual, for which the client is known.
        seconds: it took.
        note: why it is not simply ``ok``.
    """

    client: str
    version: str
    transport: str
    scenario: str
    result: Result
    seconds: float
    note: str = ""

    def json(self) -> dict[str, object]:
        """For a file."""
        return asdict(self)

    @property
    def cells(self) -> tuple[str, ...]:
        """For a table."""
        taken = f"{self.seconds:.1f}" if self.seconds else ""
        shown = self.result + (f": {self.note}" if self.note else "")
        who = (self.client, self.version, self.transport)
        return (*who, self.scenario, shown.replace("|", "/"), taken)


_HEAD = ("client", "version", "transport", "scenario", "result", "seconds")


def text(rows: Sequence[Row]) -> str:
    """For a terminal."""
    lines = [_HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    """For the documentation: a line for each client and transport, a column for each scenario.

    Seconds are left out, because they say more about the machine than about the client.
    """
    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    clients = list(dict.fromkeys(_who(row) for row in rows))
    notes: list[str] = []
    lines = [_line(["client", "version", "transport", *scenarios])]
    lines.append(_line(["---"] * (3 + len(scenarios))))
    for who in clients:
        by = {row.scenario: row for row in rows if _who(row) == who}
        cells = [_cell(by.get(scenario), notes) for scenario in scenarios]
        lines.append(_line([*who, *cells]))
    told = [f"{n}. {note}" for n, note in enumerate(notes, 1)]
    return "\n".join([*lines, "", *told]).rstrip() + "\n"


def _who(row: Row) -> tuple[str, str, str]:
    return row.client, row.version, row.transport


def _cell(row: Row | None, notes: list[str]) -> str:
    if row is None:
        return "-"
    if not row.note:
        return row.result
    if row.note not in notes:
        notes.append(row.note)
    return f"{row.result} ({notes.index(row.note) + 1})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
