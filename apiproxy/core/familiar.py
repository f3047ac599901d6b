"""What one side says again and again: its header lines, and what becomes of them.

Each listener has one of these for its agents, and each pool one for its provider, so that no
listener knows another's lines, and new settings begin with nothing.

A line is kept in memory only if its name is in a list of those that say the same each time
and tell nobody's secret. Everything else, be it a credential, a link with a signature in it or
just a date, is split anew each time.
"""

from apiproxy.core.head import split_line
from apiproxy.core.headers import Kind
from apiproxy.core.memo import Memo

_REPEATING = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"accept-ranges",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"cache-control",
        b"cf-cache-status",
        b"connection",
        b"content-encoding",
        b"content-type",
        b"copilot-integration-id",
        b"editor-plugin-version",
        b"editor-version",
        b"host",
        b"keep-alive",
        b"openai-beta",
        b"openai-version",
        b"originator",
        b"pragma",
        b"server",
        b"strict-transport-security",
        b"transfer-encoding",
        b"user-agent",
        b"vary",
        b"via",
        b"x-app",
        b"x-content-type-options",
        b"x-frame-options",
        b"x-goog-api-client",
        b"x-xss-protection",
    }
)
_REPEATING_PREFIXES = (b"anthropic-beta", b"anthropic-version", b"x-stainless-")


def repeats(line: tuple[bytes, bytes]) -> bool:
    """Whether a line is likely to come again, and may stay in memory."""
    name = line[0].lower()
    return name in _REPEATING or name.startswith(_REPEATING_PREFIXES)


class Familiar:
    """The lines and names that one side has used before.

    Attributes:
        split: as ``head.split_line``.
        kind: what becomes of a line of this name.
    """

    __slots__ = ("_kinds", "_lines", "kind", "split")

    def __init__(self, kind: Kind) -> None:
        """Nothing is known yet.

        Args:
            kind: tells what becomes of a line; remembered for each name.
        """
        self._lines = Memo(split_line, keep=repeats)
        self._kinds = Memo(kind, longest=64)
        self.split = self._lines.__getitem__
        self.kind: Kind = self._kinds.__getitem__

    def __repr__(self) -> str:
        return f"<Familiar with {len(self._lines)} lines, {len(self._kinds)} names>"
