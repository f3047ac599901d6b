"""The way out: the egress proxy, and which hosts are reached without it.

``NO_PROXY`` never had a standard. Where its readers differ we take the reading that goes
around the proxy less often: ``.example.com`` means the hosts below that name and not the name
itself, and an address range only matches hosts that are written as addresses, because we
resolve no names.
"""

import base64
import ipaddress
import re
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

from apiproxy.core.values import Secret

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_HOST_PORT = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_URL = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?:(?P<user>[^/?#]*)@)?(?P<host>[^/?#@]*)(?P<rest>.*)",
    re.DOTALL,
)

_DEFAULT_PORTS = {"http": 3128, "https": 443}


@frozen
class Url:
    """A URL taken apart.

    Attributes:
        scheme: lower case; empty when it was left out.
        user: user information as written, possibly secret; None when there is none.
        host: lower case, IPv6 without brackets.
        port: None when it was left out.
        rest: path, query and fragment as written.
    """

    scheme: str
    user: str | None = field(repr=False)
    host: str
    port: int | None
    rest: str


def bracketed(host: str) -> str:
    """A host as it stands before a port: IPv6 in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def split_url(text: str) -> Url:
    """Take a URL, ``host:port`` or host apart.

    Raises:
        ValueError: says what is expected, and never repeats the text.
    """
    match = _URL.fullmatch(text)
    assert match is not None  # every part may be empty, so everything matches
    host, port = split_host_port(match["host"])
    return Url(
        (match["scheme"] or "").lower(), match["user"], host, port, match["rest"]
    )


def split_host_port(text: str) -> tuple[str, int | None]:
    """Take ``host``, ``host:port`` or ``[IPv6]:port`` apart.

    Returns:
        The host in lower case without brackets, and the port or None.

    Raises:
        ValueError: says what is expected, and never repeats the text.
    """
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError("is not a host, host:port or URL")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 1 <= port <= 65535:
        raise ValueError("has a port that is not between 1 and 65535")
    if match["six"] is not None:
        return _canonical_ipv6(match["six"]), port
    if len(match["name"]) > 253 or _NAME.fullmatch(match["name"]) is None:
        raise ValueError("has no valid host name")
    return match["name"].lower(), port


def _canonical_ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError("has no valid IPv6 address in its brackets") from None


@frozen(kw_only=True)
class EgressProxy:
    """The HTTP proxy that all upstream connections tunnel through.

    Attributes:
        host: name or address, IPv6 without brackets.
        port: TCP port.
        tls: whether the proxy itself is spoken to over TLS.
        authorization: value of ``Proxy-Authorization``; None when it wants none.
    """

    host: str
    port: int
    tls: bool = False
    authorization: Secret | None = None

    @property
    def secrets(self) -> list[Secret]:
        """The credential in each form in which it could be seen."""
        if self.authorization is None:
            return []
        _, _, encoded = self.authorization.reveal().partition(b" ")
        _, _, password = base64.b64decode(encoded).partition(b":")
        return [self.authorization, Secret(encoded), Secret(password)]

    @property
    def shown(self) -> str:
        """Its URL as anybody may see it, without the credential."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{bracketed(self.host)}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "EgressProxy":
        """Read the value of ``HTTPS_PROXY``; without a scheme it means ``http``.

        Raises:
            ValueError: says what is expected, and never repeats the text.
        """
        url = split_url(text)
        scheme = url.scheme or "http"
        if scheme not in _DEFAULT_PORTS:
            raise ValueError("must be an http:// or https:// URL")
        if url.rest not in ("", "/"):
            raise ValueError("must end after the port; a proxy has no path")
        return cls(
            host=url.host,
            port=url.port or _DEFAULT_PORTS[scheme],
            tls=scheme == "https",
            authorization=None if url.user is None else _basic(url.user),
        )


def _basic(user: str) -> Secret:
    """The value of RFC 7617 for percent-encoded ``user:password``."""
    name, _, password = user.partition(":")
    pair = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return Secret(b"Basic " + base64.b64encode(pair))


@frozen
class _Rule:
    """One entry: a name, the names below it, or a range; None matches anything."""

    name: str | None = None
    below: str | None = None
    network: _Network | None = None
    port: int | None = None

    def matches(self, host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        address = _address(host)
        if self.network is not None:
            return address is not None and address in self.network
        if self.below is None:
            return True
        below = address is None and host.endswith(self.below)
        return below or host == self.name


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@frozen
class NoProxy:
    """Which hosts are reached directly."""

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "NoProxy":
        """Read the value of ``NO_PROXY``: entries between commas or spaces.

        Raises:
            ValueError: an entry makes no sense.
        """
        return cls(tuple(_rules(re.split(r"[,\s]+", text.strip()))))

    def bypasses(self, host: str, port: int) -> bool:
        """Whether this host (IPv6 without brackets) is reached without the proxy."""
        host = host.lower()
        return any(rule.matches(host, port) for rule in self.rules)


def _rules(entries: Iterable[str]) -> Iterable[_Rule]:
    for entry in filter(None, entries):
        yield _Rule() if entry == "*" else _network(entry) or _name(entry)


def _network(entry: str) -> _Rule | None:
    try:
        return _Rule(network=ipaddress.ip_network(entry.strip("[]"), strict=False))
    except ValueError:
        return None


def _name(entry: str) -> _Rule:
    below_only = entry.startswith((".", "*."))
    host, port = split_host_port(entry.removeprefix("*").removeprefix("."))
    address = _network(host)
    if address is not None:
        return _Rule(network=address.network, port=port)
    return _Rule(name=None if below_only else host, below="." + host, port=port)
