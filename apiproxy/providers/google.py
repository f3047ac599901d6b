"""What Google's two providers have in common: the header and the shape of errors."""

import re

from apiproxy.providers.base import Credential, Probe, Provider
from apiproxy.providers.blueprint import Blueprint, Given, Upstream, Variable
from apiproxy.providers.dialects import GeminiDialect

_LIVE = re.compile(
    rb"//ws/google\.(?:ai\.generativelanguage|cloud\.aiplatform)\.v[0-9a-z]+"
    rb"\.[A-Za-z]+[./]Bidi[A-Za-z]+"
)
"""WebSockets as ``@google/genai`` for Node asks for them; documented with one slash.

Google's servers take both spellings, or that SDK would not work with them at all.
"""


def google(
    name: str, title: str, port: int, host: str, key: str, probe: bytes
) -> Blueprint:
    """The blueprint of one.

    Args:
        name: of the provider; its variables are ``<NAME>_API_TARGET`` and so on.
        title: for people.
        port: to listen on by default.
        host: upstream by default.
        key: name of the variable that holds the key.
        probe: path of a GET that tells whether the key is accepted.
    """
    target, base_path = f"{name.upper()}_API_TARGET", f"{name.upper()}_API_BASE_PATH"

    def build(given: Given) -> Provider:
        upstream = given.target(target) or Upstream(host)
        source = given.secrets.get(key)
        return Provider(
            name=name,
            title=title,
            port=given.port,
            socket=given.socket,
            host=upstream.host,
            host_port=upstream.port,
            base_path=given.base_path(base_path) or b"",
            dialect=GeminiDialect(),
            credential=(
                None if source is None else Credential(b"x-goog-api-key", b"", source)
            ),
            settings=(key,),
            probe=Probe(b"GET", probe) if upstream == Upstream(host) else None,
            doubled=_LIVE,
        )

    return Blueprint(
        name=name,
        title=title,
        port=port,
        variables=_variables(key, target, base_path, host),
        build=build,
    )


def _variables(
    key: str, target: str, base_path: str, host: str
) -> tuple[Variable, ...]:
    return (
        Variable(name=key, key="key", doc="Sent as `x-goog-api-key`.", secret=True),
        Variable(
            name=target,
            key="target",
            doc="Upstream host, host:port or https URL.",
            default=host,
        ),
        Variable(
            name=base_path,
            key="base_path",
            doc="Put in front of every path that does not begin with it.",
        ),
    )
