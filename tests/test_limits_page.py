"""``docs/limits.md`` says what the code does."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import ProxyError
from apiproxy.core.limits import Deadlines, Limits
from apiproxy.settings.options import OPTIONS
from tests.test_docs import leaves, rows

PAGE = Path(__file__).parent.parent / "docs" / "limits.md"


def table(heading: str) -> Iterator[list[str]]:
    """The cells of the rows below a heading."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    return (row for row in rows(text.partition("\n## ")[0]) if row[0] != "What")


class LimitsPageTests(SynchronousTestCase):
    """Both tables."""

    def test_all_that_can_be_set(self) -> None:
        """Every limit and every deadline, with its default and its variable."""
        listed = {row[2].strip("`"): row[1] for row in table("What can be set")}
        made = {}
        for option in OPTIONS:
            section, _, _ = option.key.partition(".")
            if section in ("limits", "deadlines"):
                unit = " s" if section == "deadlines" else ""
                made[option.names[0]] = option.kind.show(option.default) + unit
        self.assertEqual(listed, made)
        self.assertEqual(len(made), len(fields(Limits)) + len(fields(Deadlines)))

    def test_what_is_fixed(self) -> None:
        """Each figure stands where the page says it does."""
        for _, bound, where, _ in table("What is fixed"):
            module, _, name = where.strip("`").partition(":")
            self.assertEqual(getattr(import_module(module), name), float(bound), name)

    def test_errors_that_are_named(self) -> None:
        """There are such, and with these statuses."""
        codes = {kind.code: kind.status for kind in leaves(ProxyError)}
        for heading in ("What can be set", "What is fixed"):
            for row in table(heading):
                for status, code in re.findall(r"(\d{3}) `(\w+)`", row[3]):
                    self.assertEqual(codes[code], int(status), row)
