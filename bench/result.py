"""The result of a run: every sample, in one JSON document."""

import json
from pathlib import Path
from typing import Any


class Result:
    """What a run has found so far.

    Attributes:
        document: what is written; see ``docs/performance.md`` for its parts.
    """

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        self.document: dict[str, Any] = document or {
            "machine": {},
            "versions": {},
            "options": {},
            "contestants": {},
            "rows": {},
            "absent": {},
            "growth": {},
            "notes": [],
        }

    def add(self, row: str, contestant: str, value: float) -> None:
        """Note a sample."""
        self.document["rows"].setdefault(row, {}).setdefault(contestant, []).append(
            value
        )

    def absent(self, row: str, contestant: str, reason: str) -> None:
        """Note why there is no sample; the first reason stays."""
        self.document["absent"].setdefault(row, {}).setdefault(contestant, reason)

    def contestant(
        self, name: str, label: str, version: str = "", absent: str | None = None
    ) -> None:
        """Note who takes part, or why not."""
        self.document["contestants"][name] = {
            "label": label,
            "version": version,
            "absent": absent,
        }

    def note(self, text: str) -> None:
        """Note something that whoever reads the table must know, once."""
        if text not in self.document["notes"]:
            self.document["notes"].append(text)

    def samples(self, row: str, contestant: str) -> list[float]:
        """The samples of a cell."""
        found: list[float] = self.document["rows"].get(row, {}).get(contestant, [])
        return found

    def why_absent(self, row: str, contestant: str) -> str | None:
        """Why a cell is empty, if that was said."""
        reason: str | None = self.document["absent"].get(row, {}).get(contestant)
        return reason

    def growth(self, kind: str, contestant: str, live: int, value: float) -> None:
        """Note a sample of cost with so many live streams."""
        table = self.document["growth"].setdefault(kind, {}).setdefault(contestant, {})
        table.setdefault(str(live), []).append(value)

    def write(self, path: Path) -> None:
        """Write the document."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.document, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Result":
        """A result that was written."""
        return cls(json.loads(path.read_text()))
