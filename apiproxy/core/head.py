"""The head of an HTTP/1.1 message (RFC 9112, sections 2 to 6), read strictly.

One grammar serves both directions. It refuses what request smugglers send and normalises
nothing: bare LF, obs-fold, white space around names, control characters, doubled or signed
lengths, lists of transfer codings. Two regular expressions say what a field line and a
start line may be; what they let through is then only split, never searched again. How a line
is split can be looked up instead (``core.familiar``); the grammar is the same.

A library parser (llhttp) was weighed and left: it cannot say where a message ended, takes
``Transfer-Encoding: ,chunked`` and doubled spaces in the request line, and has a closed list
of methods; on heads of usual size it is no faster.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from apiproxy.core.errors import (
    HeadTooLarge,
    MalformedRequest,
    UpstreamMalformed,
)
from apiproxy.core.values import Fields

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"++):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)")
_REQUEST_LINE = re.compile(
    rb"(" + _TOKEN + rb"{1,40}) ([\x21-\x7e]++) HTTP/1\.([01])\r\n"
)
_STATUS_LINE = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*+))?\r\n"
)
_TOKEN_START = re.compile(_TOKEN)
_LONGEST_LENGTH = 18
"""Digits of a length; more would be more than any disk holds."""

END = b"\r\n\r\n"

_MAX_ANSWER_FIELDS = 500

CHUNKED = -1
UNTIL_CLOSE = -2


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A request head as received.

    Attributes:
        method: as sent.
        target: the request target, visible ASCII only.
        minor: 0 or 1, of HTTP/1.x.
        fields: all lines, in order, repeats kept, values trimmed.
    """

    method: bytes
    target: bytes
    minor: int
    fields: Fields

    def __repr__(self) -> str:
        return f"<RequestHead {self.method.decode()} {len(self.fields)} lines>"


class AnswerHead(msgspec.Struct, frozen=True, gc=False):
    """A status line and its fields as received (see ``RequestHead``)."""

    status: int
    reason: bytes
    minor: int
    fields: Fields


def refuse_partial_head(start: bytes | bytearray, limit: int) -> None:
    """Look at the beginning of a request head that is not complete yet.

    Raises:
        HeadTooLarge: it is over ``limit`` bytes already.
        MalformedRequest: it can never become a head, so waiting is pointless.
    """
    if len(start) > limit:
        raise HeadTooLarge
    if start and start != b"\r" and _TOKEN_START.match(start) is None:
        raise MalformedRequest("This is not an HTTP request.")
    # Counted, not searched for by an expression: this is done again for each piece, and ten
    # times faster.
    if start.count(b"\n") != start.count(b"\r\n"):
        raise MalformedRequest("A line of the head ends in a bare LF.")


def parse_request(
    head: bytes, max_fields: int, split: "SplitLine | None" = None
) -> RequestHead:
    """Parse a whole request head, its empty line excluded but the last CRLF kept.

    Args:
        head: its bytes.
        max_fields: how many lines it may have.
        split: how a line is split; ``split_line`` if not given.

    Raises:
        MalformedRequest, HeadTooLarge: as their names say.
    """
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise MalformedRequest("The request line is not well-formed.")
    if head.count(b"\r\n") > max_fields + 1:  # before anything is done for each of them
        raise HeadTooLarge(
            "The request has too many header lines;"
            " APIPROXY_MAX_HEADER_FIELDS sets the limit."
        )
    fields = _split(head, line.end(), split or split_line)
    if fields is None:
        raise MalformedRequest("A header line is not well-formed.")
    method, target, minor = line.groups()
    return RequestHead(method, target, minor == b"1", fields)


def parse_answer(head: bytes, split: "SplitLine | None" = None) -> AnswerHead:
    """Parse a whole answer head (see ``parse_request``).

    It may have ``_MAX_ANSWER_FIELDS`` lines.

    Raises:
        UpstreamMalformed: it is not one.
    """
    line = _STATUS_LINE.match(head)
    if head.count(b"\r\n") > _MAX_ANSWER_FIELDS + 1:
        raise UpstreamMalformed("The provider's answer has too many header lines.")
    fields = None if line is None else _split(head, line.end(), split or split_line)
    if line is None or fields is None:
        raise UpstreamMalformed
    minor, status, reason = line.groups()
    return AnswerHead(int(status), reason or b"", minor == b"1", fields)


def _split(head: bytes, start: int, split: "SplitLine") -> Fields | None:
    """The fields from ``start`` to the end; None if any line is not one."""
    if start == len(head):
        return []
    if not head.endswith(b"\r\n"):
        return None
    try:
        return list(map(split, head[start:-2].split(b"\r\n")))
    except NotALine:
        return None


SplitLine = Callable[[bytes], tuple[bytes, bytes]]
"""``split_line``, or something that remembers what it gave."""


class NotALine(ValueError):
    """This is no header line."""


def split_line(line: bytes) -> tuple[bytes, bytes]:
    """Name and value of a header line, which has no CRLF.

    Raises:
        NotALine: it is none.
    """
    found = _FIELD_LINE.fullmatch(line)
    if found is None:
        raise NotALine
    return found[1], found[2].rstrip(b" \t")


def request_length(minor: int, special: Mapping[bytes, list[bytes]]) -> int:
    """How the body of a request is framed (RFC 9112, section 6.3).

    Args:
        minor: the HTTP minor version.
        special: values of the framing fields by lower-case name.

    Returns:
        Bytes, or ``CHUNKED``.

    Raises:
        MalformedRequest: more than one answer is possible, or none.
    """
    codings = special.get(b"transfer-encoding")
    lengths = special.get(b"content-length")
    if codings is not None:
        if lengths is not None or minor == 0:
            raise MalformedRequest("Transfer-Encoding is not allowed here.")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise MalformedRequest("The only transfer coding understood is chunked.")
        return CHUNKED
    if lengths is None:
        return 0
    if len(lengths) != 1 or not _is_length(lengths[0]):
        raise MalformedRequest("Content-Length must be one decimal number.")
    return int(lengths[0])


def _is_length(value: bytes) -> bool:
    """Whether these are decimal digits, not too many (bytes know no others than ASCII)."""
    return value.isdigit() and len(value) <= _LONGEST_LENGTH


def answer_length(
    method: bytes, status: int, minor: int, special: Mapping[bytes, list[bytes]]
) -> int:
    """How the body of an answer is framed (RFC 9112, section 6.3).

    Returns:
        Bytes, ``CHUNKED`` or ``UNTIL_CLOSE``.

    Raises:
        UpstreamMalformed: more than one answer is possible, or none.
    """
    codings = special.get(b"transfer-encoding")
    lengths = special.get(b"content-length")
    if lengths is not None and (
        lengths.count(lengths[0]) != len(lengths) or not _is_length(lengths[0])
    ):
        raise UpstreamMalformed("The provider's answer has no single length.")
    if status == 204 and lengths is not None and int(lengths[0]):
        # Passed on, it would make an agent wait for a body that never comes.
        raise UpstreamMalformed("The provider's answer has a length but no body.")
    if status in (204, 304) or status < 200 or method == b"HEAD":
        return 0
    if codings is not None:
        chunked = len(codings) == 1 and codings[0].lower() == b"chunked"
        if not chunked or lengths is not None or minor == 0:
            raise UpstreamMalformed("The provider's answer has no single framing.")
        return CHUNKED
    return UNTIL_CLOSE if lengths is None else int(lengths[0])
