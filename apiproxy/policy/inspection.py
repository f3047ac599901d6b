"""What a request has the provider do for it, outside of our sight: its hosted tools.

A body is judged by all that any reader could find in it:

- Of a key that stands there twice some readers take the first and some the last: all count.
- Keys and types are compared without case, ``_`` and ``-``, with escapes undone, because some
  readers do so (and Google's take both ``fileUri`` and ``file_uri``).
- They are looked for at every depth, not only where they belong.
- A body that cannot be read, or has too many values to be, is denied if anything is.

The price is that a request may be taken for more than it is, where a conversation quotes one.
What stands in a text is never looked at, nor the arguments of a call of the agent's own tool.

``inspect`` costs a search over the bytes for nearly all bodies that have nothing of the kind,
and parsing for the others.
"""

import codecs
import json
import re
import string
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from attrs import frozen

from apiproxy.core.json_weight import is_dense, is_heavy, shortened

KINDS = (
    "mcp",
    "web_search",
    "web_fetch",
    "code",
    "url",
    "webhook",
    "background",
    "batch",
    "upload",
    "unreadable",
)
"""``url`` is a picture or file that the provider fetches, ``code`` also a container."""

_MOST_BYTES = 32 * 1024 * 1024
_MOST_PARSED = 4 * 1024 * 1024  # once long strings are shortened
_PIECE = 1024 * 1024
_MOST_USES = 256

_TYPES = (
    ("mcp", "mcp"),
    ("websearch", "web_search"),
    ("webfetch", "web_fetch"),
    ("urlcontext", "web_fetch"),
    ("codeinterpreter", "code"),
    ("codeexecution", "code"),
    ("container", "code"),
)
"""How the type of a tool begins (versions stand behind), and its kind."""

_SWITCHES = {
    "googlesearch": "web_search",
    "googlesearchretrieval": "web_search",
    "enterprisewebsearch": "web_search",
    "googlemaps": "web_search",
    "websearchoptions": "web_search",
    "urlcontext": "web_fetch",
    "codeexecution": "code",
    "codeinterpreter": "code",
    "container": "code",
    "containerid": "code",
    "mcpservers": "mcp",
    "connectorid": "mcp",
    "background": "background",
}
"""Keys that ask for something by being there, unless their value is nothing."""

_ADDRESSES = {
    "serverurl": "mcp",
    "imageurl": "url",
    "fileurl": "url",
    "fileuri": "url",
    "externalapi": "web_fetch",
    "videourl": "url",
    "audiourl": "url",
    "documenturl": "url",
    "webhook": "webhook",
    "webhookurl": "webhook",
    "webhooks": "webhook",
    "webhookconfig": "webhook",
    "callbackurl": "webhook",
    "notificationurl": "webhook",
}
"""Keys whose value is an address, or an object or list with some in it."""

_WORDS = sorted({*(word for word, _ in _TYPES), *_SWITCHES, *_ADDRESSES, "url", "uri"})
# By their first letters, so that a body of nothing but quotes takes a second, and not ten.
_SUSPECT = re.compile(
    b'"(?:%b)'
    % b"|".join(
        b"%b(?:%b)" % (first.encode(), "|".join(word[1:] for word in words).encode())
        for first, words in groupby(_WORDS, key=itemgetter(0))
    )
    + rb"|\\u(?:00[2-7]|017f|212a)"  # letters that are written as escapes
)
"""What may matter, in a text as ``_squeezed`` has it."""

_LOWER = bytes.maketrans(
    string.ascii_uppercase.encode(), string.ascii_lowercase.encode()
)
_LETTERS = (("\u017f".encode(), b"s"), ("\u212a".encode(), b"k"))
"""What is not ASCII, and is when its case is folded."""

_TOLD = re.compile("call|result|output|error|approval|listtools|toolset")
"""Types of what was done before, which a conversation repeats."""

_STRICT = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+)(?::[0-9]{1,5})?(?:[/?#].*)?\Z")
_LOCAL = re.compile(r"\s*data\s*:", re.IGNORECASE)
_SQUEEZE = str.maketrans("", "", "_- ")


@frozen
class ToolUse:
    """One thing that a provider is asked to do.

    Attributes:
        kind: one of ``KINDS``.
        host: where it goes, lower case; ``?`` if that cannot be told for sure, empty if the
            kind has no host.
    """

    kind: str
    host: str = ""

    def __str__(self) -> str:
        return f"{self.kind} at {self.host}" if self.host else self.kind


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, repeats and all."""


def inspect(body: bytes) -> list[ToolUse]:
    """What a JSON body, or a text message of a WebSocket, asks for; each once.

    Args:
        body: without content coding. It is not changed.
    """
    start = body.lstrip()[:2]
    if not start:
        return []
    if start == b"--":  # a form, which is no JSON for anybody
        return [ToolUse("upload")]
    if len(body) > _MOST_BYTES:
        return [ToolUse("unreadable")]
    try:
        plain = _in_utf8(body)
        if is_dense(plain):
            return [ToolUse("unreadable")]
        if _SUSPECT.search(_squeezed(plain)) is None:
            return []
        short = b"" if is_heavy(plain) else shortened(plain)
        if not short or len(short) > _MOST_PARSED:
            return [ToolUse("unreadable")]
        # Any: whatever JSON there is.
        value: Any = json.loads(short.decode(), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return [ToolUse("unreadable")]
    found: dict[ToolUse, None] = {}
    for use in _walk(value):
        found[use] = None
        if len(found) >= _MOST_USES:
            break
    return list(found)


def _in_utf8(body: bytes) -> bytes:
    """A text as UTF-8 has it.

    It is looked at in pieces, because Python's own text may take four times as much.

    Raises:
        ValueError: it is not in the encoding that a parser would take it to be in.
    """
    encoding = json.detect_encoding(body)
    if encoding == "utf-8" and body.isascii():
        return body
    pieces = (body[at : at + _PIECE] for at in range(0, len(body), _PIECE))
    texts = codecs.iterdecode(pieces, encoding)
    if encoding == "utf-8":
        for _ in texts:  # only to see that it is
            pass
        return body
    return b"".join(text.encode() for text in texts)


def _squeezed(text: bytes) -> bytes:
    """A text in UTF-8 without case, ``_``, ``-`` and spaces; see ``_plain``."""
    if not text.isascii():
        for letter, plain in _LETTERS:
            text = text.replace(letter, plain)
    return text.translate(_LOWER, b"_- ")


def inspect_request(method: bytes, path: bytes) -> list[ToolUse]:
    """What a request asks for by its path alone: batches, uploads, containers.

    Args:
        method: of the request.
        path: as it will be sent, without the query.
    """
    if method.upper() in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
        return []
    loose = path.lower().replace(b"_", b"-") + b"/"
    return [ToolUse(kind) for kind, pattern in _PATHS if pattern.search(loose)]


_PATHS = (
    ("batch", re.compile(rb"/batches/|:batch[a-z]+content/|/batchpredictionjobs/")),
    ("upload", re.compile(rb"/files/|/uploads/|/upload/|:upload[a-z]*/")),
    ("code", re.compile(rb"/containers/")),
    ("webhook", re.compile(rb"/webhooks?/|/webhook-endpoints/")),
    ("web_search", re.compile(rb"/web-search/|/search/web/")),
)


def _walk(value: object) -> Iterator[ToolUse]:
    """All uses in a value; without recursion, because it may be deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, _Pairs):
            yield from _of_object(one)
            skipped = _NOTHING if one is value else _arguments(one)
            waiting += [member for key, member in one if key not in skipped]
        elif isinstance(one, list):
            waiting += one


def _arguments(pairs: _Pairs) -> frozenset[str]:
    """The keys under which a call of the agent's own tool has its arguments.

    None if any key stands there twice, or if they are no object: then it may be something
    else, such as a request with a member that its provider does not know.
    """
    members = dict(pairs)
    own = len(members) == len(pairs) and members.get("type") == "tool_use"
    return _CALLED if own and isinstance(members.get("input"), _Pairs) else _NOTHING


_CALLED, _NOTHING = frozenset({"input"}), frozenset[str]()


def _of_object(pairs: _Pairs) -> Iterator[ToolUse]:
    urls = []
    types = []
    for key, value in pairs:
        name = _plain(key)
        if name == "type" and isinstance(value, str):
            types.append(_plain(value))
        elif name in _ADDRESSES:
            yield from (ToolUse(_ADDRESSES[name], host) for host in _hosts(value))
        elif name in _SWITCHES and not _is_nothing(value):
            yield from _switched(_SWITCHES[name], name, value)
        elif name in ("url", "uri") and isinstance(value, str):
            urls.append(value)
    for kind in types:
        yield from _typed(kind, urls, pairs)


def _is_nothing(value: object) -> bool:
    """Whether this asks for nothing; an empty object, unlike an empty list, is a wish."""
    return (
        value is None
        or value is False
        or value == ""
        or (type(value) is list and not value)
    )


def _switched(kind: str, name: str, value: object) -> Iterator[ToolUse]:
    if name != "mcpservers":
        yield ToolUse(kind, "?" if kind == "mcp" else "")
        return
    hosts = list(_hosts(value))
    yield from (ToolUse(kind, host) for host in hosts or ["?"])


def _typed(kind: str, urls: list[str], pairs: _Pairs) -> Iterator[ToolUse]:
    """What an object asks for by its type."""
    for start, what in _TYPES:
        if kind.startswith(start) and _TOLD.search(kind[len(start) :]) is None:
            known = any(_ADDRESSES.get(_plain(key)) == what for key, _ in pairs)
            if what != "mcp":
                yield ToolUse(what)
            elif not known:
                yield ToolUse(what, "?")
    if kind in ("url", "image", "document", "file", "video", "audio"):
        yield from (ToolUse("url", host_of(url)) for url in urls if _is_remote(url))


def _hosts(value: object) -> Iterator[str]:
    """The hosts of all remote addresses in a value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) and _is_remote(one):
            yield host_of(one)
        elif isinstance(one, _Pairs):
            keys = ("url", "uri", "fileuri", "serverurl", "endpoint")
            waiting += [member for key, member in one if _plain(key) in keys]
        elif isinstance(one, list):
            waiting += one


def _is_remote(url: str) -> bool:
    return _LOCAL.match(url) is None and url.strip() != ""


def host_of(url: str) -> str:
    """The host of an address, if no reader could find another one in it; else ``?``."""
    found = _STRICT.match(url.lower())
    return "?" if found is None else found[1].removesuffix(".") or "?"


def _plain(text: str) -> str:
    return text.casefold().translate(_SQUEEZE)
