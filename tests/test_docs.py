"""What the documentation says is what the code does.

``python -m tests.test_docs`` writes the generated part of ``docs/configuration.md`` anew.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import fields_dict
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import Settings
from apiproxy.core.errors import ProxyError
from apiproxy.core.limits import Deadlines
from apiproxy.providers.table import BUILT_IN
from apiproxy.settings.reference import reference
from apiproxy.telemetry.counters import Counters
from apiproxy.wire.upgrade import upgrade_status

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- apiproxy settings -->\n\n", "\n<!-- end -->"

TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str) -> Iterator[list[str]]:
    """The cells of all table rows, without heads."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("| ").split(" | ")]


def leaves(kind: type[ProxyError]) -> Iterator[type[ProxyError]]:
    """The kinds of error that are raised."""
    kinds = [one for one in kind.__subclasses__() if one.__module__ == kind.__module__]
    if not kinds:
        yield kind
    for each in kinds:
        yield from leaves(each)


class DocsTests(SynchronousTestCase):
    def test_reference(self) -> None:
        """Every setting there is stands in the documentation, as it is generated."""
        text = read("docs/configuration.md")
        _, _, rest = text.partition(BEGIN)
        written, end, _ = rest.partition(END)
        self.assertTrue(end)
        self.assertEqual(
            written, reference(), "write it anew: python -m tests.test_docs"
        )

    def test_errors(self) -> None:
        """The table has every error, with the statuses that agents get."""
        table = {
            cells[0].strip("`"): cells[1:5]
            for cells in rows(read("docs/errors.md"))
            if cells[0].startswith("`")
        }
        made = {
            kind.code: [
                str(kind.status),
                str(upgrade_status(kind())),
                "yes" if kind.retriable else "no",
                kind.fault,
            ]
            for kind in leaves(ProxyError)
        }
        self.assertEqual(table, made)

    def test_deadlines(self) -> None:
        """The table of deadlines has all of them, and their defaults."""
        text = read("docs/operations.md")
        for name, attribute in fields_dict(Deadlines).items():
            row = f"| `APIPROXY_{name.upper()}_SECONDS` | {attribute.default:g} |"
            self.assertIn(row, text)

    def test_metrics(self) -> None:
        """The list of metrics has all of them."""
        exposed = Counters(now=float, version="1").report().as_text().decode()
        names = set(re.findall(r"^# TYPE (\w+)", exposed, re.MULTILINE))
        listed = set(
            re.findall(r"^\| `(apiproxy_\w+)`", read("docs/operations.md"), re.M)
        )
        self.assertEqual(listed, names)

    def test_ports(self) -> None:
        """The README has each provider's port."""
        ports = {cells[0] for cells in rows(read("README.md"))}
        for blueprint in BUILT_IN:
            self.assertIn(str(blueprint.port), ports)

    def test_toml(self) -> None:
        """Every example of a configuration file is one."""
        for page in (ROOT / "docs").glob("*.md"):
            for toml in TOML.findall(page.read_text(encoding="utf-8")):
                Settings.read({}, toml.encode(), lambda path: b"x", lambda: "id")

    def test_links(self) -> None:
        """What is pointed at is there."""
        for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
            for target in LINK.findall(page.read_text(encoding="utf-8")):
                self.assertTrue((page.parent / target).exists(), f"{page}: {target}")

    def test_files_that_are_named(self) -> None:
        """A file of ours that a page names in backquotes exists."""
        for page in (ROOT / "docs").glob("*.md"):
            text = page.read_text(encoding="utf-8")
            for name in re.findall(
                r"`((?:apiproxy|tests|deploy|docs)/[\w./-]+)`", text
            ):
                self.assertTrue((ROOT / name).exists(), f"{page}: {name}")


def write_reference() -> None:
    """Put the reference between its marks."""
    path = ROOT / "docs/configuration.md"
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    path.write_text(before + begin + reference() + end + after, encoding="utf-8")


if __name__ == "__main__":
    write_reference()
