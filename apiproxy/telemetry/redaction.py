"""The second net: a secret that got into a log line all the same is taken out by value.

The first net is that a ``Secret`` prints as stars and that no module hands a header, a body
or a query to the log. This one knows the values themselves, in every spelling in which they
travel: as they are, percent-encoded, and inside base64, where three bytes become four
characters and so the same secret has three spellings, by how many bytes stand before it.

It has to be cheap, because it looks at every line and nearly always finds nothing. *Detection*
has two steps. A search for whole secrets would start at ``s`` or ``A`` and stumble over every
word; instead, each spelling is represented by a short piece of it that begins at its rarest
byte. Lines consist of lower-case words, digits and punctuation, a key has an ``X`` or a ``Q``
somewhere. So the line is searched for each of the few bytes that begin a piece, which takes
longer to call than to do, and mostly there is none. If there is, a compiled search for the
pieces takes three nanoseconds for each byte of the line. *Removal* is slow and careful, and
happens once in a blue moon: the line is decoded, each string in it is rewritten, and it is
encoded again, so that the result is valid JSON whatever the secret is made of.
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote_from_bytes

import msgspec

from apiproxy.core.values import Secret

REMEMBERED = 16
"""How many secrets that were replaced are still looked for."""

STARS = "‹secret›"

SHORTEST = 6
"""Bytes a secret must have to be looked for; shorter ones are in many a line by chance."""

_PIECE = 8
_RAREST_FIRST = (
    b"%XQJKWYVUBNMHFDLRIGACEOPSTZ+~$*!&;@=zqjxwvybfgh/pumldkcrnatosie9876543210-_. "
)
_RARITY = {byte: rank for rank, byte in enumerate(_RAREST_FIRST)}

_encode = msgspec.json.Encoder().encode


class Redaction:
    """Takes given secrets out of encoded log lines."""

    def __init__(
        self, secrets: Iterable[Secret | bytes], earlier: "Redaction | None" = None
    ) -> None:
        """Prepare the search.

        Args:
            secrets: the values to look for; those under ``SHORTEST`` bytes are left out.
            earlier: whose secrets are looked for, too, the latest ``REMEMBERED`` of them.
                A secret that was replaced is a secret still.
        """
        values = list(dict.fromkeys(map(_value, secrets)))
        old = [] if earlier is None else earlier._values
        values += [value for value in old if value not in values][:REMEMBERED]
        self._values: list[bytes] = values
        found = {text for value in values for text in _spellings(value)}
        # Longest first, so that a secret goes as a whole before another that is part of it.
        texts = sorted(found, key=lambda text: (-len(text), text))
        pieces = sorted({_piece(_encode(text)[1:-1]) for text in texts})
        self._size = len(texts)
        self._begins = bytes({piece[0] for piece in pieces})
        self._search = re.compile(b"|".join(map(re.escape, pieces)) or b"(?!)").search
        self._sub = re.compile("|".join(map(re.escape, texts)) or "(?!)").sub

    def __bool__(self) -> bool:
        return self._size > 0

    def __repr__(self) -> str:
        return f"<Redaction of {self._size} spellings>"

    def clean(self, line: bytes) -> bytes:
        """The line without any secret.

        Args:
            line: one JSON object as ``msgspec`` encodes it, with or without a newline.

        Returns:
            The line itself if nothing was found; else a new one, without a newline.
        """
        for byte in self._begins:
            if byte in line:
                return self._searched(line)
        return line

    def _searched(self, line: bytes) -> bytes:
        if self._search(line) is None:
            return line
        return _encode(self._without(msgspec.json.decode(line)))

    def text(self, text: str) -> str:
        """The text without any secret; for text that will be cut, which cuts a secret too."""
        return self._sub(STARS, text)

    def _without(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self._without(key): self._without(item) for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._without(item) for item in value]
        if value is None or isinstance(value, bool):
            return value
        # A secret of digits may be in a number.
        text = _encode(value).decode("ascii")
        return STARS if self._sub("", text) != text else value


def _value(secret: Secret | bytes) -> bytes:
    return secret.reveal() if isinstance(secret, Secret) else secret


def _spellings(secret: bytes) -> Iterator[str]:
    """How the secret may look in decoded text."""
    if len(secret) < SHORTEST:
        return
    plain = {secret.decode("latin-1"), secret.decode("utf-8", "replace")}
    yield from plain
    yield from (repr(text)[1:-1] for text in plain)
    yield repr(secret)[2:-1]
    yield from _percent(secret)
    yield from _cases("".join(f"%{byte:02X}" for byte in secret))
    for shift in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            core = _core(encode(b"\0" * shift + secret), shift, shift + len(secret))
            yield core.decode("ascii")
            yield from _percent(core)


def _percent(text: bytes) -> Iterator[str]:
    yield from _cases(quote_from_bytes(text))
    yield from _cases(quote_from_bytes(text, safe=""))
    yield from _cases(quote_from_bytes(text, safe="").replace("%20", "+"))
    yield from _cases(quote_from_bytes(text, safe="!#$&'()*+,/:;=?@[]~"))


def _cases(escaped: str) -> tuple[str, str]:
    return escaped, re.sub("%..", lambda match: match[0].lower(), escaped)


def _core(encoded: bytes, start: int, end: int) -> bytes:
    """The characters that depend on the bytes from start to end alone."""
    return encoded[-(-start * 8 // 6) : end * 8 // 6]


def _piece(spelling: bytes) -> bytes:
    """The part of a spelling to search for: short, and rare from its first byte."""
    starts = range(max(1, len(spelling) - _PIECE + 1))
    start = min(starts, key=lambda i: _RARITY.get(spelling[i], len(_RARITY)))
    return spelling[start : start + _PIECE]
