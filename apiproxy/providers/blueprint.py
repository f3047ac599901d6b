"""How a provider is made from settings: which it reads, and what it was given.

A provider's file lists the variables it understands and turns their values into a
``Provider``. Whether a value came from the environment, a file or TOML is not its business; a
value that makes no sense becomes a problem in a list, so that all are reported at once.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import field, frozen

from apiproxy.core.egress import split_url
from apiproxy.core.errors import BadTarget
from apiproxy.core.target import canonical_path
from apiproxy.providers.base import Provider, SecretSource

T = TypeVar("T")

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)

_NOT_OURS_TO_SET = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    }
)
"""Names whose meaning is fixed by HTTP or by us; no setting may redefine them."""


@frozen(kw_only=True)
class Variable:
    """One setting of a provider.

    Attributes:
        name: of the environment variable; empty for one that only TOML has.
        key: in the provider's TOML table, empty for none; for a secret, this key with
            ``_file`` after it names a file.
        doc: one line for the reference.
        default: as shown in the reference.
        secret: whether the value is one.
        private: whether secrets may stand in it, as in header lines; it then leaves the
            environment too.
        clean: what is done to the value first; an empty result means absent.
    """

    name: str = ""
    key: str = ""
    doc: str = ""
    default: str = ""
    secret: bool = False
    private: bool = False
    clean: Callable[[str], str] = str.strip

    @property
    def label(self) -> str:
        """What the provider's own file calls it."""
        return self.name or self.key


@frozen
class Text:
    """A value, and what to call the place it was found at."""

    value: str
    origin: str


@frozen
class Upstream:
    """Where a target points.

    Attributes:
        host: lower case, IPv6 without brackets.
        port: TCP port.
        path: what the URL had after the host, as written.
        extras: whether it had user information, a query or a fragment, which are dropped.
    """

    host: str
    port: int = 443
    path: str = ""
    extras: bool = False


@frozen(kw_only=True)
class Given:
    """What the settings say to one provider.

    Attributes:
        port: to listen on; None for none.
        socket: path to listen on; None for none.
        texts: values that are no secrets, by label.
        secrets: where to get those that are configured, by label.
        built: the providers before this one in the table, by name.
        new_id: makes an id that is not used twice.
        problems: grows by a sentence for each value that makes no sense.
        warnings: grows by a sentence for each thing that will surprise.
    """

    port: int | None = None
    socket: str | None = None
    texts: Mapping[str, Text] = field(factory=dict)
    secrets: Mapping[str, SecretSource] = field(factory=dict)
    built: Mapping[str, Provider] = field(factory=dict)
    new_id: Callable[[], str]
    problems: list[str] = field(factory=list)
    warnings: list[str] = field(factory=list)

    def text(self, label: str) -> str:
        """The value, or empty."""
        text = self.texts.get(label)
        return "" if text is None else text.value

    def read(self, label: str, parse: Callable[[str], T]) -> T | None:
        """The parsed value; None if there is none, or none that makes sense.

        Args:
            label: of the variable.
            parse: raises ValueError with the rest of a sentence that begins with the
                variable's name.
        """
        text = self.texts.get(label)
        if text is None:
            return None
        try:
            return parse(text.value)
        except ValueError as error:
            self.problems.append(f"{text.origin} {error}")
            return None

    def warn(self, label: str, sentence: str) -> None:
        """Say something about a value; the sentence begins with its name."""
        self.warnings.append(f"{self.texts[label].origin} {sentence}")

    def target(self, label: str, *, with_path: bool = False) -> Upstream | None:
        """Where a target points; what it has too much is dropped with a warning."""
        upstream = self.read(label, parse_target)
        if upstream is None:
            return None
        if upstream.path.strip("/") and not with_path:
            self.warn(label, "has a path, which is ignored; see the base path setting")
        if upstream.extras:
            self.warn(label, "has a user, query or fragment, which is ignored")
        return upstream

    def base_path(self, label: str) -> bytes | None:
        """A base path; None when there is none, ``b""`` when it says there is none."""
        return self.read(label, parse_base_path)

    def header_name(self, label: str, default: bytes) -> bytes:
        """A header name for a credential."""
        return self.read(label, parse_header_name) or default


@frozen(kw_only=True)
class Blueprint:
    """What has to be known to make a provider.

    Attributes:
        name: short, and part of variable names: ``openai``.
        title: for people.
        port: to listen on by default; None if there is no default.
        variables: the settings it reads.
        build: makes it. Must return one even if it has added problems.
    """

    name: str
    title: str
    port: int | None
    variables: tuple[Variable, ...] = ()
    build: Callable[[Given], Provider]


def parse_target(text: str) -> Upstream:
    """Read a target: a host, ``host:port`` or ``https`` URL.

    Raises:
        ValueError: the rest of a sentence that begins with the variable's name.
    """
    if "\\" in text:  # a slash for browsers, a letter of the user's name for others
        raise ValueError("must not have a backslash in it")
    url = split_url(text.strip())
    if url.scheme not in ("", "https"):
        raise ValueError("must be an https:// URL; upstream is always TLS")
    path, *more = re.split(r"[?#]", url.rest, maxsplit=1)
    extras = bool(more) or url.user is not None
    return Upstream(url.host, url.port or 443, path, extras)


def parse_base_path(text: str) -> bytes:
    """Read a base path: a slash is put in front, and one removed at the end.

    Raises:
        ValueError: the rest of a sentence that begins with the variable's name.
    """
    text = text.strip()
    path = (text if text.startswith("/") else "/" + text).encode()
    if path != b"/":
        path = path.removesuffix(b"/")
    if b"?" in path or not _is_canonical(path):
        raise ValueError(
            "must be a plain path: no query, dot segments or needless escapes"
        )
    return b"" if path == b"/" else path


def _is_canonical(path: bytes) -> bool:
    try:
        return canonical_path(path) == path
    except BadTarget:
        return False


def parse_header_name(text: str) -> bytes:
    """Read a header name that we may fill.

    Raises:
        ValueError: the rest of a sentence that begins with the variable's name.
    """
    name = text.strip()
    if _TOKEN.fullmatch(name) is None:
        raise ValueError("is not a valid header name")
    if name.lower() in _NOT_OURS_TO_SET:
        raise ValueError("names a header that cannot be set")
    return name.encode("ascii")


def parse_header_value(text: str) -> bytes:
    """Read a header value.

    Raises:
        ValueError: the rest of a sentence that begins with the variable's name.
    """
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise ValueError("has a control character in it")
    try:
        return text.strip().encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("has a character in it that a header cannot carry") from None
