"""Edits of a JSON body as splices: a few bytes go in, and all others stay as they were.

A body that is parsed and written again is another body: white space, numbers, escapes and
double keys change, and with them a signature, a cache, or what the agent meant. So the place
is found in the bytes, and only there something is put in.

The place is found as a parser would find it: of double keys the last one counts, keys may be
written with escapes, and brackets in strings are text. Only objects and arrays on the way to
the place are read item by item. What lies beside the way is checked for balance and for
strings that end, and is otherwise as good or bad as it was sent; whoever needs to know that a
body is JSON parses it. Time is linear in the body, and nesting is bounded.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_DEPTH = 64
"""Objects and arrays within one another."""

_SPACE = rb"[ \t\r\n]*+"
_TEXT = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'

_VALUE_AHEAD = re.compile(_SPACE)
_KEY_AHEAD = re.compile(_SPACE + rb"(" + _TEXT + rb")" + _SPACE + rb":" + _SPACE)
_SEPARATOR_AHEAD = re.compile(_SPACE + rb"([,\]}])")
_NOTHING_AHEAD = re.compile(_SPACE + rb"\Z")
_SCALAR = re.compile(
    _TEXT + rb"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
    rb"|true|false|null"
)
# A step fails at a string that does not end, and then all is wrong anyway; see json_items.
_WITHIN = re.compile(
    rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+', re.DOTALL
)
"""All up to a bracket, or up to a string that does not end."""

_CLOSING = {b"{": b"}", b"[": b"]"}

Path = Sequence[str]


class SpliceError(ValueError):
    """This is not JSON, or is nested too deep, or has no such place."""


class Span(NamedTuple):
    """Where a value stands in a body.

    Attributes:
        begin: offset of its first byte.
        end: offset after its last byte.
    """

    begin: int
    end: int


def find(body: bytes, path: Path) -> Span | None:
    """Where a value stands.

    Args:
        body: a JSON text.
        path: the keys that lead to it from the outermost object; none for the whole value.

    Returns:
        None if a key is missing, or leads through something that is no object.

    Raises:
        SpliceError: this is not JSON, or is nested too deep.
    """
    begin = _skip(_VALUE_AHEAD, body, 0)
    if not path or not body.startswith(b"{", begin):
        span = Span(begin, _end_of_value(body, begin, 0))
        _check_end(body, span.end)
        return None if path else span
    found = None
    for depth, key in enumerate(path):
        if not body.startswith(b"{", begin):
            return None
        found = None
        wanted = key.encode()
        for name, value in _children(body, begin, depth):
            if name == wanted:
                found = value
        if found is None:
            return None
        begin = found.begin
    return found


def items(body: bytes, span: Span) -> Iterator[Span]:
    """Where the items of an array stand, one by one.

    Args:
        body: a JSON text.
        span: where the array stands.

    Raises:
        SpliceError: there is no array, or it is broken; perhaps after some items.
    """
    if not body.startswith(b"[", span.begin):
        raise SpliceError("no array")
    for _, item in _children(body, span.begin, 1):
        yield item


def replace(body: bytes, span: Span, value: bytes) -> bytes:
    """Put another value in the place of one."""
    return b"".join((body[: span.begin], value, body[span.end :]))


def insert_member(body: bytes, path: Path, key: str, value: bytes) -> bytes:
    """Put a member at the end of an object.

    A member of the same key that is there stays, but does not count any more; ``replace``
    its value instead where there may be one.

    Args:
        body: a JSON text.
        path: the keys that lead to the object.
        key: of the new member.
        value: of the new member, a JSON text.

    Raises:
        SpliceError: this is not JSON, or there is no such object.
    """
    member = json.dumps(key).encode() + b":" + value
    return _append(body, _container(body, path, b"{"), member, len(path))


def insert_item(body: bytes, path: Path, index: int, value: bytes) -> bytes:
    """Put an item into an array.

    Args:
        body: a JSON text.
        path: the keys that lead to the array.
        index: how many items stand before the new one.
        value: the new item, a JSON text.

    Raises:
        SpliceError: this is not JSON, or there is no such array, or it has fewer items.
    """
    span = _container(body, path, b"[")
    before = 0
    for item in items(body, span):
        if before == index:
            return replace(body, Span(item.begin, item.begin), value + b",")
        before += 1
    if before != index:
        raise SpliceError("no such index")
    return _append(body, span, value, len(path))


def _container(body: bytes, path: Path, bracket: bytes) -> Span:
    """Where an object or array stands; of the whole text only its beginning is looked at."""
    whole = Span(_skip(_VALUE_AHEAD, body, 0), len(body))
    span = find(body, path) if path else whole
    if span is None or not body.startswith(bracket, span.begin):
        raise SpliceError("no such object or array")
    return span


def _append(body: bytes, span: Span, text: bytes, depth: int) -> bytes:
    """Put this after the last item or member, or into nothing."""
    at = span.begin + 1
    for _, last in _children(body, span.begin, depth):
        at = last.end
    if at > span.begin + 1:
        text = b"," + text
    return replace(body, Span(at, at), text)


def _children(body: bytes, at: int, depth: int) -> Iterator[tuple[bytes, Span]]:
    """The members of an object, or the items of an array, that begins here.

    At depth 0 there may be nothing but white space after it.
    """
    bracket = body[at : at + 1]
    closing = _CLOSING[bracket]
    ahead = _KEY_AHEAD if bracket == b"{" else _VALUE_AHEAD
    at += 1
    separator = _SEPARATOR_AHEAD.match(body, at)
    over = separator is not None and separator[1] == closing
    while not over:
        found = ahead.match(body, at)
        if found is None:
            raise SpliceError("no key")
        begin = found.end()
        at = _end_of_value(body, begin, depth + 1)
        yield _name(found[1]) if ahead is _KEY_AHEAD else b"", Span(begin, at)
        separator = _SEPARATOR_AHEAD.match(body, at)
        if separator is None or separator[1] not in (b",", closing):
            raise SpliceError("no end of a value")
        over = separator[1] == closing
        at = separator.end()
    if not depth and separator is not None:
        _check_end(body, separator.end())


def _name(key: bytes) -> bytes:
    """A key as it is meant, in UTF-8."""
    if b"\\" not in key:
        return key[1:-1]
    try:
        name: str = json.loads(key.decode())
    except ValueError as error:
        raise SpliceError("broken key") from error
    return name.encode(errors="surrogatepass")


def _end_of_value(body: bytes, at: int, depth: int) -> int:
    """Where the value that begins here ends; ``depth`` is that of what it stands in."""
    if body[at : at + 1] not in _CLOSING:
        scalar = _SCALAR.match(body, at)
        if scalar is None:
            raise SpliceError("no value")
        return scalar.end()
    awaited: list[bytes] = []
    while True:
        byte = body[at : at + 1]
        at += 1
        if byte in _CLOSING:
            awaited.append(_CLOSING[byte])
            if depth + len(awaited) > MAX_DEPTH:
                raise SpliceError("nested too deep")
        elif byte != awaited.pop():
            raise SpliceError("no balance")
        elif not awaited:
            return at
        at = _skip(_WITHIN, body, at)


def _check_end(body: bytes, at: int) -> None:
    if _NOTHING_AHEAD.match(body, at) is None:
        raise SpliceError("more than one value")


def _skip(run: re.Pattern[bytes], body: bytes, at: int) -> int:
    found = run.match(body, at)
    assert found is not None  # These patterns may also match nothing.
    return found.end()
