"""The log: one JSON object per line.

``LineLog`` makes lines of levels, events and fields; where they go is somebody else's
business (``sink``). What may not be in a line is kept out three times: callers have no
header, body or query to give, a ``Secret`` prints as stars, and ``Redaction`` takes known
values out of what is left.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from time import gmtime, strftime
from typing import TypeAlias

import msgspec
from msgspec import UNSET

from apiproxy.core.values import Answer, Ask, Secret
from apiproxy.telemetry.redaction import Redaction

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""Names of the levels, and their order."""

Shorten: TypeAlias = Callable[[str, int], str]
"""Cuts a text to so many characters, and hides secrets first, of which a half would not be
found any more: ``LineLog.shorten``."""

LONGEST_TEXT = 16 * 1024
"""Characters of one field; what is longer is cut."""

_ENDINGS = tuple(f"{milliseconds:03d}Z" for milliseconds in range(1000))
_DEEPEST = 4
_FIXED = ("timestamp", "level", "event")
_PLAIN = frozenset((str, int, float, bool, type(None)))

# JSON escapes the C0 controls. These others can also move a terminal's cursor or turn the
# direction of a line around.
_DELETE = 0x7F
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class LineLog:
    """Makes JSON lines. Nothing in here raises: a log must not break what it reports on.

    Attributes:
        stamp: makes the timestamp of this moment, or of one that is not long past.
        lost: lines that could not be made or written.
    """

    def __init__(
        self, write: Callable[[bytes], None], *, level: str, now: Callable[[], float]
    ) -> None:
        """Make a log.

        Args:
            write: takes one line, newline included.
            level: the lowest level that is written, one of ``LEVELS``.
            now: POSIX seconds, for the timestamp.
        """
        self.lost = 0
        self._write = write
        self.set_level(level)
        self.stamp = Stamp(now)
        self._redaction: Redaction | None = None

    def redact(self, secrets: Iterable[Secret | bytes]) -> None:
        """Look for these values, and still for the latest earlier ones, in every line."""
        self._redaction = Redaction(secrets, self._redaction) or None

    def set_level(self, level: str) -> None:
        """Write lines of this level and above from now on; one of ``LEVELS``."""
        self._threshold = LEVELS[level]

    def wants(self, level: str) -> bool:
        """Whether a line of this level would be written."""
        return LEVELS.get(level, 100) >= self._threshold

    def log(self, level: str, event: str, /, **fields: object) -> None:
        """Write one line.

        Args:
            level: one of ``LEVELS``; an unknown one is written always.
            event: what happened, in snake case.
            fields: anything. Bytes become Latin-1 text, what JSON does not know its repr;
                fields called like a fixed one get ``_`` behind their name.
        """
        if self.wants(level):
            try:
                line: dict[str, object] = {
                    "timestamp": self.stamp(),
                    "level": level,
                    "event": event,
                }
                for key, value in fields.items():
                    if value is not UNSET:
                        name = key + "_" if key in _FIXED else key
                        line[name] = self._plain(value, 0)
                self._send(_encode(line))
            except Exception:
                self.lost += 1

    def put(self, level: str, line: msgspec.Struct) -> None:
        """Write one line that is complete, in less time.

        Args:
            level: its level, one of ``LEVELS``.
            line: timestamp (from ``stamp``), level, event and fields, in this order.
        """
        if self.wants(level):
            try:
                self._send(_encode(line))
            except Exception:  # A lone surrogate: the long way takes it.
                fields = msgspec.structs.asdict(line)
                event = fields.pop("event")
                del fields["timestamp"], fields["level"]
                self.log(level, event, **fields)

    def shorten(self, text: str, longest: int) -> str:
        """The text, cut if it is longer; what is cut is redacted before.

        Half a secret would not be found afterwards.
        """
        if len(text) <= longest:
            return text
        if self._redaction is not None:
            text = self._redaction.text(text)
        return text[:longest] + "…"

    def _send(self, line: bytes) -> None:
        if self._redaction is not None:
            line = self._redaction.clean(line)
        if _DELETE in line or not line.isascii():
            line = _UNSAFE.sub(_escape, line.decode()).encode()
        self._write(line + b"\n")

    def _plain(self, value: object, depth: int) -> object:
        """The value as msgspec should see it; not everything it can encode may be shown."""
        if type(value) not in _PLAIN:
            if isinstance(value, bytes | bytearray | memoryview):
                value = bytes(value).decode("latin-1")
            elif isinstance(value, Mapping) and depth < _DEEPEST:
                return {
                    str(self._plain(key, _DEEPEST)): self._plain(item, depth + 1)
                    for key, item in value.items()
                }
            elif isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
                return [self._plain(item, depth + 1) for item in value]
            else:
                value = _shown(value)
        if isinstance(value, str):
            text = value.encode("utf-8", "backslashreplace").decode()
            return self.shorten(text, LONGEST_TEXT)
        return value

    def __repr__(self) -> str:
        return f"<LineLog from {self._threshold} up, {self.lost} lost>"


class Stamp:
    """RFC 3339 in UTC with milliseconds; the date is made once a second."""

    __slots__ = ("_now", "_prefix", "_second")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = 0
        self._prefix = ""

    def __call__(self, ago: float = 0.0) -> str:
        """The timestamp of the moment so many seconds ago."""
        milliseconds = int((self._now() - ago) * 1000) - self._second
        if not 0 <= milliseconds < 1000 or not self._prefix:
            second, milliseconds = divmod(self._second + milliseconds, 1000)
            self._prefix = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
            self._second = second * 1000
        return self._prefix + _ENDINGS[milliseconds]


def _shown(value: object) -> str:
    """Stars for a secret, no more than the type for what holds header values, else repr."""
    if isinstance(value, Ask | Answer):
        return f"<{type(value).__name__}>"
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}, whose repr broke>"


_encode = msgspec.json.Encoder(enc_hook=_shown).encode


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
