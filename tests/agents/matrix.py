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


_BEGIN, _END = "<!-- the matrix, by make agents -->\n", "<!-- its end -->\n"


def into(document: str, rows: Sequence[Row]) -> str:
    """A document with the matrix in its place."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + markdown(rows) + _END + after


def markdown(rows: Sequence[Row]) -> str:
    """For the documentation: a line for each client and transport, and what has to be known.

    Seconds are left out, because they say more about the machine than about the client.
    """
    lines = ["| client | version | transport | ok | otherwise |"]
    lines.append("| --- | --- | --- | --- | --- |")
    clients = list(dict.fromkeys(row.client for row in rows))
    whos = dict.fromkeys(_who(row) for row in rows)
    for who in sorted(whos, key=lambda who: clients.index(who[0])):
        of = [row for row in rows if _who(row) == who]
        well = [row.scenario for row in of if row.result == "ok"]
        other = [_otherwise(row) for row in of if row.note or row.result != "ok"]
        cells = (*who, ", ".join(well), "; ".join(other))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _who(row: Row) -> tuple[str, str, str]:
    return row.client, row.version, row.transport


def _otherwise(row: Row) -> str:
    result = "" if row.result == "ok" else f"**{row.result}**: "
    return f"{row.scenario}: {result}{row.note}".replace("|", "/")
