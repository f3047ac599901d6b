"""The tokens of callers: made, narrowed offline, and verified by what a list holds of them.

A token is text that looks like a provider's key, because clients check that: ``sk-…``,
``sk-ant-…``, ``ghu_…``, ``AIza…``. Behind the prefix stand 208 bits of chance. The list of
callers has a *verifier* of it, which is not the token::

    sha256:DIGEST              tells that a token is this one
    sha256:DIGEST chain:KEY    the same, and verifies tokens that were narrowed from it

Whoever holds a token can make a narrower one for a sub-agent, without asking anybody. Each
*caveat* takes something away, and they are chained by HMAC-SHA256 (as in macaroons)::

    KEY    = HMAC(token, "apiproxy chain")
    sig(0) = HMAC(KEY, id)               id: the first 8 bytes of the token's digest
    sig(n) = HMAC(sig(n-1), caveat(n))
    narrowed token = prefix + "apxn" + hex(id, caveats, sig(n))

To leave a caveat out one would need a signature before it, which the holder of a narrowed
token does not have; and a caveat that is not understood refuses the token. So a token can be
narrowed and never widened.

The digest alone is of no use to a thief. With ``chain`` he can make narrowed tokens of that
caller, so a list with chains in it is kept like a key; ``apiproxy token new --no-narrowing``
makes a verifier without one.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES = 26

LOOKS: Mapping[str, tuple[str, int]] = {
    "openai": ("sk-", 48),
    "anthropic": ("sk-ant-api03-", 95),
    "copilot": ("ghu_", 36),
    "gemini": ("AIza", 35),
    "vertex": ("AIza", 35),
    "plain": ("", 36),
}
"""Prefix, and how many letters stand behind it, for what is accepted by whose clients."""

_PREFIX = re.compile(
    rb"sk-ant-(?:api03-)?|sk-(?:proj-)?|gh[a-z]_|github_pat_|AIza|", re.ASCII
)
_NARROWED = re.compile(rb"apxn((?:[0-9a-f]{2}){41,2048})\Z")
_DIGEST, _ID = 32, 8

MAX_TOKEN = 4200
"""Bytes of the longest token that is looked at."""

_LEAST = 16
_VERIFIER = re.compile(r"sha256:([0-9a-f]{64})(?:\s+chain:([0-9a-f]{64}))?", re.ASCII)
_MAX_CAVEATS = 16


def make(look: str, random: Callable[[int], bytes]) -> bytes:
    """A new token.

    Args:
        look: one of ``LOOKS``.
        random: gives so many bytes of chance.
    """
    prefix, length = LOOKS[look]
    number = int.from_bytes(random(_SECRET_BYTES), "big")
    letters = []
    while number:
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return (prefix + "".join(reversed(letters)).rjust(length, "0")).encode("ascii")


@frozen
class Verifier:
    """What a list holds of a token.

    Attributes:
        digest: SHA-256 of the token.
        chain: the key that verifies what was narrowed from it; None for nothing may be.
    """

    digest: bytes
    chain: bytes | None = None

    @classmethod
    def of(cls, token: bytes, *, narrowing: bool = True) -> "Verifier":
        """That of a token."""
        return cls(_sha256(token), _chain_key(token) if narrowing else None)

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Read one.

        Raises:
            ValueError: it is none.
        """
        found = _VERIFIER.fullmatch(text.strip())
        if found is None:
            raise ValueError("must be sha256:DIGEST as apiproxy token prints it")
        chain = found[2] and bytes.fromhex(found[2])
        return cls(bytes.fromhex(found[1]), chain or None)

    @property
    def id(self) -> bytes:
        """By which narrowed tokens name it."""
        return self.digest[:_ID]

    def text(self) -> str:
        """As it is written in a list."""
        chain = "" if self.chain is None else f" chain:{self.chain.hex()}"
        return f"sha256:{self.digest.hex()}{chain}"

    def __repr__(self) -> str:
        return f"<Verifier {self.id.hex()}>"  # a chain is a key


def digest(token: bytes) -> bytes:
    """By which a token is found in a list; tells nothing of it."""
    return _sha256(token)


@frozen(repr=False)
class Narrowed:
    """A narrowed token, taken apart and not verified yet.

    Attributes:
        id: of the verifier of the token that it was narrowed from.
        caveats: in the order in which they were added.
        signature: of the last one.
        prefix: what makes it look like a provider's key.
    """

    id: bytes
    caveats: tuple[bytes, ...]
    signature: bytes
    prefix: bytes = b""

    @classmethod
    def parse(cls, token: bytes) -> "Narrowed | None":
        """Take a token apart; None if it is not a narrowed one."""
        found = _NARROWED.search(token) if len(token) <= MAX_TOKEN else None
        if found is None:
            return None
        data = bytes.fromhex(found[1].decode("ascii"))
        caveats = _split(data[_ID:-_DIGEST])
        if caveats is None:
            return None
        return cls(data[:_ID], caveats, data[-_DIGEST:], token[: found.start()])

    def verified(self, chain: bytes) -> bool:
        """Whether it was made from the token of this chain key; in constant time."""
        signature = _hmac(chain, self.id)
        for caveat in self.caveats:
            signature = _hmac(signature, caveat)
        return hmac.compare_digest(signature, self.signature)

    def with_caveats(self, caveats: Sequence[bytes]) -> "Narrowed":
        """One that may do less."""
        signature = self.signature
        for caveat in caveats:
            signature = _hmac(signature, caveat)
        return Narrowed(self.id, (*self.caveats, *caveats), signature, self.prefix)

    def token(self) -> bytes:
        """As it is sent."""
        lengths = [bytes((len(each),)) + each for each in self.caveats]
        data = b"".join([self.id, *lengths, self.signature])
        return self.prefix + b"apxn" + data.hex().encode("ascii")

    def __repr__(self) -> str:
        return f"<Narrowed {self.id.hex()} {len(self.caveats)} caveats>"


def narrow(token: bytes, caveats: Sequence[bytes]) -> bytes:
    """A token that may do less than this one.

    Args:
        token: a whole one, or one that was narrowed already.
        caveats: what to take away; see ``policy.caveats``.

    Raises:
        ValueError: there are too many, or the token cannot be one.
    """
    if len(token) < _LEAST or any(not 0 < len(each) < 256 for each in caveats):
        raise ValueError("the token is too short to be one, or a caveat too long")
    narrowed = Narrowed.parse(token)
    if narrowed is None:
        found = _PREFIX.match(token)
        assert found is not None  # it matches nothing, too
        id = _sha256(token)[:_ID]
        narrowed = Narrowed(id, (), _hmac(_chain_key(token), id), found[0])
    if len(narrowed.caveats) + len(caveats) > _MAX_CAVEATS:
        raise ValueError(f"a token can have {_MAX_CAVEATS} caveats, and no more")
    made = narrowed.with_caveats(caveats).token()
    if len(made) > MAX_TOKEN:
        raise ValueError("the token would become too long")
    return made


def _split(data: bytes) -> tuple[bytes, ...] | None:
    """The caveats, each of which has its length in front; None if they do not add up."""
    caveats: list[bytes] = []
    while data:
        length = data[0]
        if not 0 < length < len(data) or len(caveats) >= _MAX_CAVEATS:
            return None
        caveats.append(data[1 : length + 1])
        data = data[length + 1 :]
    return tuple(caveats)


def _chain_key(token: bytes) -> bytes:
    return _hmac(token, b"apiproxy chain")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
