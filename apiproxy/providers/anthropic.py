"""Anthropic."""

from apiproxy.providers.base import Credential, Probe, Provider
from apiproxy.providers.blueprint import Blueprint, Given, Upstream, Variable
from apiproxy.providers.dialects import AnthropicDialect

_HOST = "api.anthropic.com"
_VERSION = (b"anthropic-version", b"2023-06-01")
_PROBE = Probe(
    b"POST", b"/v1/messages", b"{}", (_VERSION, (b"Content-Type", b"application/json"))
)

VARIABLES = (
    Variable(
        name="ANTHROPIC_API_KEY",
        key="key",
        doc="Sent as `x-api-key`.",
        secret=True,
    ),
    Variable(
        name="ANTHROPIC_API_TARGET",
        key="target",
        doc="Upstream host, host:port or https URL.",
        default=_HOST,
    ),
    Variable(
        name="ANTHROPIC_API_BASE_PATH",
        key="base_path",
        doc="Put in front of every path that does not begin with it.",
    ),
    Variable(
        name="AWF_ANTHROPIC_AUTH_HEADER",
        key="header",
        doc="Header that carries the bare key.",
        default="x-api-key",
    ),
)


def build(given: Given) -> Provider:
    """Make the provider."""
    upstream = given.target("ANTHROPIC_API_TARGET") or Upstream(_HOST)
    name = given.header_name("AWF_ANTHROPIC_AUTH_HEADER", b"x-api-key")
    source = given.secrets.get("ANTHROPIC_API_KEY")
    return Provider(
        name="anthropic",
        title="Anthropic",
        port=given.port,
        socket=given.socket,
        host=upstream.host,
        host_port=upstream.port,
        base_path=given.base_path("ANTHROPIC_API_BASE_PATH") or b"",
        dialect=AnthropicDialect(),
        credential=None if source is None else Credential(name, b"", source),
        settings=("ANTHROPIC_API_KEY",),
        defaults=[_VERSION],
        probe=_PROBE if upstream == Upstream(_HOST) else None,
    )


BLUEPRINT = Blueprint(
    name="anthropic", title="Anthropic", port=10001, variables=VARIABLES, build=build
)
