"""The result as a table in Markdown, which is also what the terminal shows."""

from collections.abc import Sequence
from pathlib import Path

from bench.figures import Spread, digits, drift, flatness, ratio
from bench.result import Result
from bench.rows import ROWS, Row

BEGIN = "<!-- table: made by python -m bench fill -->"
END = "<!-- end of table -->"


def cell(samples: Sequence[float]) -> str:
    """Median with the least and the most, or a dash."""
    spread = Spread.of(samples)
    if spread is None:
        return "-"
    if spread.count == 1:
        return digits(spread.median)
    low, high = digits(spread.least), digits(spread.most)
    return f"{digits(spread.median)} ({low}…{high})"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand under each other; the first line is its head."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| "
        + " | ".join(
            text.ljust(width) for text, width in zip(line, widths, strict=True)
        )
        + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def table(result: Result) -> str:
    """All rows that have a sample, with who is absent and why underneath."""
    contestants = result.document["contestants"]
    shown = [name for name, one in contestants.items() if one["absent"] is None]
    head = ["", "unit", *(contestants[name]["label"] for name in shown)]
    lines = [[*head, "apiproxy / nginx", "target"]]
    for row in ROWS:
        if any(result.samples(row.key, name) for name in shown):
            cells = [cell(result.samples(row.key, name)) for name in shown]
            against = _against(result, row)
            lines.append([row.title, row.unit, *cells, against, row.target])
    parts = [_head(result), aligned(lines)]
    parts += [_growth(result), _absent(result), _notes(result)]
    return "\n\n".join(part for part in parts if part)


def _against(result: Result, row: Row) -> str:
    if not row.against_nginx:
        return ""
    times = ratio(result.samples(row.key, "apiproxy"), result.samples(row.key, "nginx"))
    return "" if times is None else f"{times:.2f}"


def _head(result: Result) -> str:
    machine, options = result.document["machine"], result.document["options"]
    versions = ", ".join(
        f"{one['label']} ({one['version']})" if one["version"] else one["label"]
        for one in result.document["contestants"].values()
        if one["absent"] is None
    )
    return (
        f"{options.get('when', '')}: {machine.get('processor', '?')}, "
        f"{machine.get('cores', '?')} cores, CPython {machine.get('python', '?')}, "
        f"{machine.get('system', '?')}. Contestants: {versions}. "
        f"Cells are the median of {options.get('repeats', '?')} rounds (least…most), "
        f"of CPU and of requests a second {options.get('cost_repeats', 'as many')}; "
        "one figure alone was measured once."
    )


def _growth(result: Result) -> str:
    parts = []
    for kind, contestants in result.document["growth"].items():
        counts = sorted({int(count) for each in contestants.values() for count in each})
        live = [f"{count:,} live" for count in counts]
        lines = [[f"CPU µs per {kind}", *live, "largest / smallest"]]
        for name, by_count in contestants.items():
            samples = {int(count): each for count, each in by_count.items()}
            times = drift(list(flatness(samples).values()))
            grown = "" if times is None else f"{times:.2f}"
            cells = [cell(samples.get(count, [])) for count in counts]
            lines.append([name, *cells, grown])
        parts.append(aligned(lines))
    return "\n\n".join(parts)


def _absent(result: Result) -> str:
    lines = [
        f"- {one['label']}: absent: {one['absent']}"
        for one in result.document["contestants"].values()
        if one["absent"] is not None
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    for key, absent in result.document["absent"].items():
        for name, reason in absent.items():
            reasons.setdefault((name, reason), []).append(key)
    lines += [
        f"- {name}: absent in {', '.join(keys)}: {reason}"
        for (name, reason), keys in reasons.items()
    ]
    return "\n".join(lines)


def _notes(result: Result) -> str:
    return "\n".join(f"- Note: {note}" for note in result.document["notes"])


def fill(document: str, result: Result) -> str:
    """A document with its table replaced.

    Raises:
        ValueError: the marks between which it belongs are not there.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{table(result)}\n\n{END}{after}"


def fill_file(path: Path, result: Result) -> None:
    """The same, in place."""
    path.write_text(fill(path.read_text(), result))
