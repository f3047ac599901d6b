"""The TOML file: read, looked up by dotted key, and searched for what nobody asked for."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SECRET_KEY = re.compile(r"(?i)(?:.*[_.-])?(?:key|keys|token|secret|password|passwd)")

_FILE = "the configuration file (APIPROXY_CONFIG, --config)"

_OURS = "APIPROXY_"

_USER_INFO = re.compile(r"://[^/?#]*@")

# Any: what tomllib gives; text() and table() are where it becomes something.
Table = Mapping[str, Any]


class Document:
    """A configuration file.

    Attributes:
        problems: grows by a sentence for each thing that is wrong with it.
    """

    def __init__(self, toml: bytes | None, problems: list[str]) -> None:
        self.problems = problems
        self._asked: set[str] = set()
        self._root: Table = {}
        try:
            self._root = tomllib.loads((toml or b"").decode())
        except UnicodeDecodeError:
            problems.append(f"{_FILE} is not UTF-8")
        except tomllib.TOMLDecodeError as error:
            problems.append(f"{_FILE} is not TOML: {error}")

    def text(self, key: str) -> str | None:
        """The value at a dotted key as it would stand in a variable; None for none."""
        self._asked.add(key)
        *tables, last = key.split(".")
        table: object = self._root
        for name in tables:
            table = table.get(name) if isinstance(table, Mapping) else None
        if not isinstance(table, Mapping) or last not in table:
            return None
        return self._plain(key, table[last])

    def _plain(self, key: str, value: object) -> str | None:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            value = ",".join(value)
        if not isinstance(value, str | int | float):
            self.problems.append(f"{key} must be text, a number, a switch or a list")
            return None
        text = str(value).strip()
        if _USER_INFO.search(text):
            self.problems.append(f"{key} must not hold a password; use the environment")
            return None
        return text

    def tables(self, key: str) -> list[str]:
        """The names of the tables within a table."""
        table = self._root.get(key, {})
        if not isinstance(table, Mapping):
            return []
        return [name for name, value in table.items() if isinstance(value, Mapping)]

    def report_unknown(self) -> None:
        """Add a problem for each key that nobody has asked for."""
        for key in _leaves(self._root, ""):
            if key not in self._asked:
                self.problems.append(f"{key} {self._verdict(key)}")

    def _verdict(self, key: str) -> str:
        if key.startswith("credentials.") or _SECRET_KEY.fullmatch(key):
            return (
                "must not stand in the configuration file if it is a secret;"
                " name a file instead (key_file), or use the environment"
            )
        return "is not a setting" + meant(key, self._asked)


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that asks whether a similar known name was meant."""
    # What they all begin with would make them all alike.
    names = {each.removeprefix(_OURS): each for each in sorted(known)}
    close = difflib.get_close_matches(name.removeprefix(_OURS), names, 1, 0.75)
    return f"; is {names[close[0]]} meant?" if close else ""


def _leaves(table: Table, prefix: str) -> Iterator[str]:
    for name, value in table.items():
        key = prefix + (f'"{name}"' if "." in name else name)
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{key}.")
        else:
            yield key
