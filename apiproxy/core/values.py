"""The values that pass between the floors: what was asked, what was answered, a secret."""

import hmac
from collections.abc import Sequence
from typing import NoReturn, TypeAlias

import msgspec

Fields: TypeAlias = list[tuple[bytes, bytes]]
"""Header lines in the order and case they were received: name, value; repeats kept."""


class Secret:
    """Bytes that must not be seen. Stars everywhere; one way out, which a grep can find."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a hash would be compared in variable time

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The value itself. Every caller of this is a place to review."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __repr__(self) -> str:
        return "‹secret›"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What the agent asks of the provider, with no credential in it.

    Attributes:
        method: as sent, upper case by convention.
        target: path and query exactly as they will be sent upstream, base path and all.
        path: the target without its query.
        fields: what will be sent upstream but for the credential, our request id, Host
            and the framing fields.
        length: bytes of body announced; 0 for none, None when chunked.
        upgrade: whether this asks for a WebSocket.
    """

    method: bytes
    target: bytes
    path: bytes
    fields: Fields
    length: int | None = 0
    upgrade: bool = False

    def __repr__(self) -> str:
        return f"<Ask {self.method.decode()} {len(self.fields)} lines>"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The head of what the provider answered.

    Attributes:
        status: 200 to 599, or 101.
        reason: the reason phrase as received, possibly empty.
        fields: all header lines as received.
    """

    status: int
    reason: bytes
    fields: Fields

    def __repr__(self) -> str:
        return f"<Answer {self.status} {len(self.fields)} lines>"


def first(fields: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first line called ``name`` (given in lower case), or None."""
    for key, value in fields:
        if key.lower() == name:
            return value
    return None


def joined(fields: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The values of all lines called ``name`` (given in lower case); empty for none.

    Of a list, lines in a row are one line (RFC 9110, section 5.3).
    """
    found = b""
    for key, value in fields:
        if key.lower() == name:
            found = found + b", " + value if found else value
    return found
