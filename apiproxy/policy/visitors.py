"""Who may come: requests that a web page has sent are told from those of an agent.

A page on the Internet can have a browser on this host, or in its network, send us requests. It
does so in two ways:

- It has its own name point at our address (DNS rebinding). The browser then takes us for the
  page's own server and shows it our answers. But the request says that name in ``Host``.
- It sends them across origins: simple requests, whose answers it cannot read but which cost
  money, and WebSockets, which it can use in full. The browser then says ``Origin``, or at
  least ``Sec-Fetch-Site``; agents say neither.

So a request must name a host that we go by. That is never a name somebody else can own: the
loopback's names, any IP address (a page's origin is an address only if the page came from
there), and what the operator lists. And what comes from a page is refused unless its origin is
listed. No answer of ours ever has a CORS header.
"""

import ipaddress
import re
from collections.abc import Iterable

from apiproxy.core.errors import HostRefused, OriginRefused, ProxyError
from apiproxy.core.headers import Special
from apiproxy.core.memo import Memo

_PORT = re.compile(r":[0-9]{0,5}\Z", re.ASCII)
_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,253}[a-z0-9_])?", re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@]+", re.ASCII)
_FROM_ELSEWHERE = (b"cross-site", b"same-site")


class Visitors:
    """Those who may come.

    Attributes:
        hosts: names we go by beside the usual ones; with ``.`` in front all names below.
        origins: web origins that may send requests, in lower case.
        any_host: whether every name will do.
        any_origin: whether every page may.
    """

    def __init__(self, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        """Make it.

        Args:
            hosts: as ``parse_host`` gives them.
            origins: as ``parse_origin`` gives them.
        """
        self.hosts = frozenset(hosts)
        self.origins = frozenset(origins)
        self.any_host = "*" in self.hosts
        self.any_origin = "*" in self.origins
        self._suffixes = tuple(host for host in self.hosts if host.startswith("."))
        self._known = Memo(self._goes_by)

    def refusal(self, special: Special) -> ProxyError | None:
        """Why this request is not let in; None if it is.

        Args:
            special: values of the lines that are looked at, by lower-case name.
        """
        # A browser always says a host; only HTTP/1.0 may leave it out.
        for host in special.get(b"host", ()):
            if not self._known[host]:
                return HostRefused()
        if b"origin" in special or b"sec-fetch-site" in special:
            return self._page_refusal(special)
        return None

    def _page_refusal(self, special: Special) -> ProxyError | None:
        origins = special.get(b"origin")
        if self.any_origin:
            return None
        if origins is not None:
            known = all(_text(origin) in self.origins for origin in origins)
            return None if known else OriginRefused()
        sites = special[b"sec-fetch-site"]
        elsewhere = any(site.strip().lower() in _FROM_ELSEWHERE for site in sites)
        return OriginRefused() if elsewhere else None

    def _goes_by(self, host: bytes) -> bool:
        """Whether we go by this name or address, as it stands in ``Host``."""
        if self.any_host:
            return True
        name = _PORT.sub("", _text(host)).removesuffix(".")
        return (
            name == "localhost"
            or name.endswith(".localhost")  # resolvers answer it with the loopback
            or name in self.hosts
            or name.endswith(self._suffixes)
            or _is_address(name)
        )

    def __repr__(self) -> str:
        return f"<Visitors {len(self.hosts)} hosts, {len(self.origins)} origins>"


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip().lower()


def _is_address(name: str) -> bool:
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
        kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]
        kind = ipaddress.IPv6Address
    else:
        kind = ipaddress.IPv4Address
    try:
        kind(name)
    except ValueError:
        return False
    return True


def parse_host(text: str) -> str:
    """One entry of the list of hosts: a name, ``.suffix`` (or ``*.suffix``), or ``*``.

    Raises:
        ValueError: the rest of a sentence that begins with the setting's name.
    """
    name = text.strip().lower().removesuffix(".").removeprefix("*.")
    if text.strip().startswith("*."):
        name = "." + name
    if name != "*" and _NAME.fullmatch(name.removeprefix(".")) is None:
        raise ValueError(
            "must be host names without scheme and port, with commas between them"
        )
    return name


def parse_origin(text: str) -> str:
    """One entry of the list of origins: ``https://host:port``, ``null`` or ``*``.

    Raises:
        ValueError: the rest of a sentence that begins with the setting's name.
    """
    origin = text.strip().lower().removesuffix("/")
    if origin not in ("*", "null") and _ORIGIN.fullmatch(origin) is None:
        raise ValueError(
            "must be origins such as https://example.com, with commas between them"
        )
    return origin
