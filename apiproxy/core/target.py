"""The request target: refused, or brought into its one spelling.

Whoever decides about a request and whoever sends it must mean the same path. So the target is
canonicalised once, here; policy then decides on exactly the bytes that go upstream. Only what
every server agrees on is changed: escapes of characters that need none are undone, and dot
segments are resolved. All else stays byte for byte, or is refused: what a server might
take for a second host, for a dot segment or for an escape that was not there before.

Two slashes at the start are what URL parsers read a host after. Some SDK writes them all the
same, so a provider may name whole paths of its own that lose one of the two. The rest is then
judged as if the agent had sent it: no target gets upstream that would not without this.

The target never meets the host name in one string, so it cannot change the host; that it
could not do so either way is a property test.
"""

import re
from urllib.parse import unquote_to_bytes

from apiproxy.core.errors import BadTarget

# A path that is in its only spelling already: no query, no escape, no segment that begins
# with a dot, no doubled slash at the start. One match decides, for most requests there are.
_PLAIN = re.compile(rb"(?!//)(?:/(?!\.)[!-\"$&-.0->@-\[\]-~]*+)++")

# Visible ASCII except "#" and the backslash, after exactly one slash.
_ORIGIN_FORM = re.compile(rb"/(?!/)[!\"$-\[\]-~]*+")

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)

# A broken escape right before a good one: undoing the second could complete the first
# (%2%65 would become %2e).
_BROKEN_THEN_GOOD = re.compile(rb"%[0-9A-Fa-f]?%[0-9A-Fa-f]{2}")

# Dots that are a segment only for servers that decode slashes or cut path parameters.
_HIDDEN_DOTS = re.compile(
    rb"(?:/|%2[Ff]|%5[Cc])\.\.?(?:$|/|;|%2[Ff]|%5[Cc]|%3[Bb]|%00)"
)

CREDENTIAL_KEYS = frozenset(
    {
        b"access-token",
        b"api-key",
        b"apikey",
        b"auth-token",
        b"authorization",
        b"bearer-token",
        b"id-token",
        b"key",
        b"oauth-token",
        b"ocp-apim-subscription-key",
        b"subscription-key",
        b"token",
        b"x-api-key",
    }
)
"""Query keys in which some provider takes a credential; lower case, ``-`` for ``_``."""

# Signatures of AWS and Google, and what makes Google's front ends read headers, or another
# method, out of the query.
_CREDENTIAL_PREFIXES = (b"x-amz-", b"x-goog-", b"$http")

_SUSPECT = re.compile(rb"key|token|authorization|x[-_]amz|x[-_]goog|\$http|[%+]", re.I)
_SEPARATOR = re.compile(rb"([&;])")
_AROUND_KEY = bytes(range(0x21))


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """The path, and the query with its ``?`` or nothing."""
    path, mark, query = target.partition(b"?")
    return path, mark + query


def upstream_target(
    target: bytes, base_path: bytes, doubled: re.Pattern[bytes] | None = None
) -> bytes:
    """The target to send upstream.

    Args:
        target: as the agent sent it.
        base_path: prefix, canonical, without a slash at its end; empty for none.
        doubled: paths that may begin with two slashes, of which one is dropped.

    Raises:
        BadTarget: it is not origin-form, or might be read in more than one way.
    """
    if _PLAIN.fullmatch(target) is not None:
        return _below(base_path, target)
    if doubled is not None and doubled.fullmatch(split_target(target)[0]) is not None:
        target = target[1:]
    if _ORIGIN_FORM.fullmatch(target) is None:
        raise BadTarget
    path, query = split_target(target)
    return _below(base_path, canonical_path(path)) + without_credentials(query)


def canonical_path(path: bytes) -> bytes:
    """The one spelling of a path.

    Raises:
        BadTarget: it has none.
    """
    if _ORIGIN_FORM.fullmatch(path) is None:
        raise BadTarget
    if b"%" in path:
        path = _undo_needless_escapes(path)
    if b"/." in path:
        path = _resolve_dots(path)
    if path.startswith(b"//") or _HIDDEN_DOTS.search(path) is not None:
        raise BadTarget("The request target hides a host or a dot segment.")
    return path


def _undo_needless_escapes(path: bytes) -> bytes:
    if _BROKEN_THEN_GOOD.search(path) is not None:
        raise BadTarget("The request target has a broken percent-escape.")
    return _ESCAPE.sub(_undo, path)


def _undo(escape: re.Match[bytes]) -> bytes:
    code = int(escape[1], 16)
    return bytes((code,)) if code in _UNRESERVED else escape[0]


def _resolve_dots(path: bytes) -> bytes:
    """RFC 3986, section 5.2.4; empty segments count as segments."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def _below(base_path: bytes, path: bytes) -> bytes:
    if base_path in (b"", b"/") or path == base_path:
        return path
    return path if path.startswith(base_path + b"/") else base_path + path


def without_credentials(query: bytes) -> bytes:
    """The query without parameters that carry a credential.

    Args:
        query: with its ``?``, or empty.

    Returns:
        The others byte for byte and in order; empty if none is left.
    """
    if _SUSPECT.search(query) is None:
        return query if query != b"?" else b""
    parts = _SEPARATOR.split(query[1:])
    kept = [
        (separator, parameter)
        for separator, parameter in zip([b"", *parts[1::2]], parts[::2], strict=True)
        if not _is_credential(parameter)
    ]
    text = b"".join([separator + parameter for separator, parameter in kept])
    if kept and kept[0][0]:
        text = text[1:]
    return b"?" + text if text else b""


def _is_credential(parameter: bytes) -> bool:
    key = parameter.partition(b"=")[0]
    if b"%" in key or b"+" in key:
        key = unquote_to_bytes(key.replace(b"+", b" ")).strip(_AROUND_KEY)
    # Some frameworks read ``key[]`` as a list called ``key``.
    key = key.lstrip(b"?").partition(b"[")[0].lower().replace(b"_", b"-")
    return key in CREDENTIAL_KEYS or key.startswith(_CREDENTIAL_PREFIXES)
