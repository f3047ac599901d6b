"""How much JSON weighs once it is made into objects.

A value may take two bytes as text and a hundred in memory, so a body within every bound on
bytes can still fill the memory, and keep its parser busy for seconds: ``[[],[],[],...]``.
Before anything is made of a whole text, its values are counted, which costs a few looks over
the bytes. A text of nothing but quotes or escapes has few values and is slow to look through
all the same, so those are counted, too.
"""

import re
from collections.abc import Iterable

import msgspec

MOST_VALUES = 100_000
"""Values of which objects are made, about: some 15 MB. A million tokens of conversation are
a fifth of that."""

MOST_SIGNS = 2_000_000
"""Quotes and backslashes of a text that is looked through. Thirty megabytes of Python in a
conversation have as many, or sixteen of JSON."""

_SMALL = 16 * 1024
"""Bytes of a member that is left."""

LONG = 4096
"""Bytes of a string that stays whole; see ``shortened``."""

# Neither an escape nor a letter is cut in two.
_BEGINNING = re.compile(
    rb'"(?:[^"\\\x80-\xff]|\\u[0-9a-fA-F]{4}|\\[^u]|[\xc0-\xff][\x80-\xbf]*+){0,1000}'
)

# The closing quote is optional, so that every match succeeds and no byte is looked at twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def is_dense(text: bytes) -> bool:
    """Whether there are more than ``MOST_SIGNS`` in a text, be it JSON or not.

    Args:
        text: in UTF-8.
    """
    return text.count(b'"') + text.count(b"\\") > MOST_SIGNS


def is_heavy(text: bytes) -> bool:
    """Whether there are more than ``MOST_VALUES`` in a text, or it is dense.

    Args:
        text: in UTF-8; JSON or not.
    """
    if is_dense(text):
        return True
    if _marks(text, 0, len(text)) <= MOST_VALUES:
        return False
    # Prose has commas and brackets, too. So many strings are too many values themselves.
    values = at = 0
    for string in _STRING.finditer(text):
        values += _marks(text, at, string.start()) or 1
        at = string.end()
        if values > MOST_VALUES:
            return True
    return values + _marks(text, at, len(text)) > MOST_VALUES


def shortened(text: bytes) -> bytes:
    """A text in which each string of more than ``LONG`` bytes has only its beginning left.

    Pictures and long prose are most of a large body, and nothing is decided by them.

    Args:
        text: in UTF-8, and not dense; JSON or not.
    """
    return _STRING.sub(_beginning, text) if len(text) > LONG else text


def _beginning(string: re.Match[bytes]) -> bytes:
    found = string[0]
    if len(found) <= LONG:
        return found
    begin = _BEGINNING.match(found)
    return b'""' if begin is None else begin[0] + b'"'


class Lightener:
    """Takes from an object what makes it heavy, and leaves what is told in few words."""

    def __init__(self, names: Iterable[str]) -> None:
        """Make one.

        Args:
            names: the members that matter, in the object and in objects within it.
        """
        self._names = tuple(dict.fromkeys(names))
        places = [f"at{number}" for number in range(len(self._names))]
        kind = msgspec.Raw | msgspec.UnsetType
        members = msgspec.defstruct(
            "_Members",
            [(place, kind, msgspec.UNSET) for place in places],
            rename=dict(zip(places, self._names, strict=True)),
        )
        self._decode = msgspec.json.Decoder(members).decode

    def lighten(self, data: bytes, depth: int = 2) -> bytes:
        """An object with those of its members that are small.

        Args:
            data: the object.
            depth: how often a large member that is an object is lightened itself.

        Raises:
            DecodeError: it is none.
        """
        kept = []
        raws = msgspec.structs.astuple(self._decode(data))
        for name, raw in zip(self._names, raws, strict=True):
            value = b"" if raw is msgspec.UNSET else bytes(raw).strip()
            if len(value) > _SMALL:
                lighter = depth and value.startswith(b"{")
                value = self.lighten(value, depth - 1) if lighter else b""
            if value:
                kept.append(b'"%b":%b' % (name.encode(), value))
        return b"{" + b",".join(kept) + b"}"


def _marks(text: bytes, begin: int, end: int) -> int:
    """How many values there can be: each begins a list or an object, or follows a comma."""
    return sum(text.count(mark, begin, end) for mark in (b",", b"[", b"{"))
