"""The floors of the house: what may be imported where, and that all of it is tested."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import apiproxy

PACKAGE = Path(apiproxy.__file__).parent
TESTS = Path(__file__).parent

LOOK = """
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name)
print(*sorted(name for name in {forbidden!r} if name in sys.modules))
"""

# Whatever touches this reactor fails, as it does where another one is installed later.
UNTOUCHED = """
import importlib, sys, types
class Reactor(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError("somebody touched the reactor: " + name)
import twisted.internet
sys.modules["twisted.internet.reactor"] = Reactor("twisted.internet.reactor")
twisted.internet.reactor = sys.modules["twisted.internet.reactor"]
for name in {modules!r}:
    importlib.import_module(name)
"""

IMPORT_PROXY = frozenset(
    {"apiproxy.wire.reverse", "apiproxy.wire.site", "apiproxy.wire.drain"}
)
"""``wire.reverse`` subclasses ``ReverseProxyResource``, and ``twisted.web.proxy``, where that
lives, imports the reactor at its top. That cannot be avoided, only kept to these few: the
module itself, and those that import it. They are held to not touching what was imported."""

EXCUSED: frozenset[str] = frozenset()
"""Source files, below ``apiproxy``, whose test files are still being written."""


def modules(*folders: str) -> list[str]:
    """All modules below these folders of the package, by their full names."""
    found = []
    for folder in folders:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            found.append(".".join(part for part in parts if part != "__init__"))
    return found


def python(code: str) -> str:
    """What a fresh Python prints when it runs this."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def loaded(names: list[str], *forbidden: str) -> str:
    """Which of the forbidden modules are there after these were imported."""
    return python(LOOK.format(modules=names, forbidden=forbidden))


def imports(path: Path) -> Iterator[str]:
    """The full names of all that a source file imports, at its top or anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class ImportTests(SynchronousTestCase):
    def test_core_providers_and_policy_are_plain_python(self) -> None:
        """They can be used, and tested, where there is no Twisted at all."""
        names = modules("core", "providers", "policy")
        self.assertGreater(len(names), 20)
        self.assertEqual(loaded(names, "twisted", "autobahn", "zope", "treq"), "")

    def test_core_needs_nothing_of_the_house(self) -> None:
        """The ground floor stands by itself."""
        upper = sorted(
            {f"apiproxy.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")}
            - {"apiproxy.core"}
        )
        self.assertEqual(loaded(modules("core"), *upper), "")

    def test_wire_does_not_install_a_reactor(self) -> None:
        """Whoever starts the process chooses the reactor, also after importing us."""
        names = [name for name in modules("wire") if name not in IMPORT_PROXY]
        self.assertGreater(len(names), 10)
        self.assertEqual(loaded(names, "twisted.internet.reactor"), "")

    def test_reactor_is_imported_only_because_of_reverse_proxy_resource(self) -> None:
        """These modules cannot help importing it, but none touches it."""
        for name in sorted(IMPORT_PROXY):
            self.assertEqual(
                loaded([name], "twisted.internet.reactor", "twisted.web.proxy"),
                "twisted.internet.reactor twisted.web.proxy",
            )
        self.assertEqual(python(UNTOUCHED.format(modules=modules("wire"))), "")

    def test_only_tap_imports_the_reactor(self) -> None:
        """Everywhere else it is an argument."""
        found = [
            str(path.relative_to(PACKAGE))
            for path in sorted(PACKAGE.rglob("*.py"))
            if "twisted.internet.reactor" in imports(path)
        ]
        self.assertEqual(found, ["tap.py"])


class PictureTests(SynchronousTestCase):
    """The picture of the house in ``docs/design.md``."""

    def test_it_is_what_is_checked(self) -> None:
        """Floor by floor, with the rooms on each."""
        page = (TESTS.parent / "docs" / "design.md").read_text(encoding="utf-8")
        picture = page.split("```")[1].splitlines()
        drawn = [set(re.findall(r"(\w+)(?:\.py|/)", line)) for line in picture]
        setup = ConfigParser()
        setup.read(TESTS.parent / "setup.cfg")
        layers = setup["importlinter:contract:floors"]["layers"].split("\n")
        checked = [set(re.findall(r"apiproxy\.(\w+)", layer)) for layer in layers]
        self.assertEqual(list(filter(None, drawn)), list(filter(None, checked)))

    def test_nothing_is_missing(self) -> None:
        """Every module and folder of the package has its floor."""
        setup = (TESTS.parent / "setup.cfg").read_text(encoding="utf-8")
        rooms = {
            path.stem
            for path in PACKAGE.iterdir()
            if not path.name.startswith("__")
            and (path.is_dir() or path.suffix == ".py")
        }
        floors = setup.partition("[importlinter:contract:floors]")[2]
        self.assertEqual(rooms - set(re.findall(r"apiproxy\.(\w+)", floors)), set())


class FileTests(SynchronousTestCase):
    def test_every_source_file_has_its_test_file(self) -> None:
        """Of its name, at its place, unless it is excused by name."""
        sources = {
            str(path.relative_to(PACKAGE)): TESTS / path.relative_to(PACKAGE)
            for path in PACKAGE.rglob("*.py")
            if path.name != "__init__.py"
        }
        missing = {
            source
            for source, test in sources.items()
            if not test.with_name(f"test_{test.name}").is_file()
        }
        self.assertEqual(sorted(missing - EXCUSED), [])
        self.assertEqual(sorted(EXCUSED - sources.keys()), [])
