"""OpenAI, and Azure OpenAI with a key of one's own."""

from apiproxy.providers.base import Credential, Probe, Provider, SecretSource
from apiproxy.providers.blueprint import (
    Blueprint,
    Given,
    Upstream,
    Variable,
    parse_base_path,
)
from apiproxy.providers.dialects import OpenAIDialect

_HOST = "api.openai.com"

VARIABLES = (
    Variable(
        name="OPENAI_API_KEY",
        key="key",
        doc="Sent as `Authorization: Bearer …`.",
        secret=True,
    ),
    Variable(
        name="COPILOT_PROVIDER_API_KEY",
        doc="Used when OPENAI_API_KEY is absent and COPILOT_PROVIDER_TYPE is azure.",
        secret=True,
    ),
    Variable(
        name="OPENAI_API_TARGET",
        key="target",
        doc="Upstream host, host:port or https URL.",
        default=_HOST,
    ),
    Variable(
        name="OPENAI_API_BASE_PATH",
        key="base_path",
        doc="Put in front of every path that does not begin with it.",
        default="/v1 on api.openai.com",
    ),
    Variable(
        name="AWF_OPENAI_AUTH_HEADER",
        key="header",
        doc="Header that carries the bare key, instead of `Authorization`.",
    ),
    Variable(
        name="COPILOT_PROVIDER_TYPE",
        doc="`azure` takes key and target from the COPILOT_PROVIDER_ variables.",
    ),
    Variable(
        name="COPILOT_PROVIDER_BASE_URL",
        doc="With azure: host and base path unless the OPENAI_ variables set them.",
    ),
    Variable(
        name="AWF_AUTH_TYPE",
        doc="`github-oidc` keeps azure keys out of the `api-key` header.",
    ),
)


def build(given: Given) -> Provider:
    """Make the provider."""
    azure = given.text("COPILOT_PROVIDER_TYPE").lower() == "azure"
    upstream, base_path = _upstream(given, azure)
    return Provider(
        name="openai",
        title="OpenAI",
        port=given.port,
        socket=given.socket,
        host=upstream.host,
        host_port=upstream.port,
        base_path=base_path,
        dialect=OpenAIDialect(),
        credential=_credential(given, azure),
        settings=("OPENAI_API_KEY",),
        probe=Probe(b"GET", b"/v1/models") if upstream == Upstream(_HOST) else None,
    )


def _upstream(given: Given, azure: bool) -> tuple[Upstream, bytes]:
    upstream = given.target("OPENAI_API_TARGET")
    base_path = given.base_path("OPENAI_API_BASE_PATH")
    if azure:
        byok, byok_path = byok_upstream(given)
        upstream = upstream or byok
        base_path = byok_path if base_path is None else base_path
    upstream = upstream or Upstream(_HOST)
    if base_path is None:
        base_path = b"/v1" if upstream.host == _HOST else b""
    return upstream, base_path


def byok_upstream(given: Given) -> tuple[Upstream | None, bytes | None]:
    """Host and base path from ``COPILOT_PROVIDER_BASE_URL``, where it has them."""
    upstream = given.target("COPILOT_PROVIDER_BASE_URL", with_path=True)
    if upstream is None or not upstream.path.strip("/"):
        return upstream, None
    return upstream, given.read(
        "COPILOT_PROVIDER_BASE_URL", lambda _: parse_base_path(upstream.path)
    )


def _credential(given: Given, azure: bool) -> Credential | None:
    source = given.secrets.get("OPENAI_API_KEY")
    if source is None and azure:
        source = given.secrets.get("COPILOT_PROVIDER_API_KEY")
    oidc = given.text("AWF_AUTH_TYPE").lower() == "github-oidc"
    if oidc:
        given.warn(
            "AWF_AUTH_TYPE", "asks for OIDC, which is not done; only keys are used"
        )
    bare = b"api-key" if azure and not oidc else b""
    name = given.header_name("AWF_OPENAI_AUTH_HEADER", bare)
    return None if source is None else _travelling(name, source)


def _travelling(name: bytes, source: SecretSource) -> Credential:
    if name:
        return Credential(name, b"", source)
    return Credential(b"Authorization", b"Bearer ", source)


BLUEPRINT = Blueprint(
    name="openai", title="OpenAI", port=10000, variables=VARIABLES, build=build
)
