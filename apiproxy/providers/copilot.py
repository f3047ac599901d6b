"""GitHub Copilot: which of two credentials, to which host, in which scheme.

Two kinds of credential are understood: a key of one's own for a provider behind Copilot
(BYOK), which wins, and a GitHub token. The GitHub token goes to GitHub's hosts or to the one
in ``COPILOT_API_TARGET``; never to one that is only named as the BYOK provider's.
"""

import re
from urllib.parse import urlsplit

from apiproxy.providers.base import Credential, Probe
from apiproxy.providers.blueprint import (
    Blueprint,
    Given,
    Upstream,
    Variable,
    parse_header_value,
)
from apiproxy.providers.copilot_rules import CopilotProvider, is_copilot_host
from apiproxy.providers.dialects import CopilotDialect
from apiproxy.providers.extra_headers import extra_headers
from apiproxy.providers.openai import byok_upstream

_BYOK, _GITHUB = "COPILOT_PROVIDER_API_KEY", "COPILOT_GITHUB_TOKEN"
_HOST = "api.githubcopilot.com"
_ENTERPRISE_HOST = "api.enterprise.githubcopilot.com"
_PROBE = Probe(b"GET", b"/models", b"", ((b"X-GitHub-Api-Version", b"2026-07-01"),))
_PLACEHOLDERS = frozenset({"ghu_" + 36 * "a", "dummy-byok-key-for-offline-mode"})

_SCHEME = re.compile(r"(?:bearer|token)\s+", re.IGNORECASE)
_TOKEN_HOST = re.compile(
    r"api\.(?:enterprise|business)\.githubcopilot\.com|copilot-api\.[^.]+\.ghe\.com"
)
_RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


def clean_token(text: str) -> str:
    """A credential without the scheme that people paste along with it."""
    text = text.strip()
    return _SCHEME.sub("", text, count=1).strip() if _SCHEME.match(text) else text


def clean_key(text: str) -> str:
    """The same; a well-known placeholder counts as absent."""
    text = clean_token(text)
    return "" if text in _PLACEHOLDERS else text


VARIABLES = (
    Variable(
        name=_BYOK,
        key="key",
        doc="Key for a provider of one's own; wins over the GitHub token.",
        secret=True,
        clean=clean_key,
    ),
    Variable(
        name=_GITHUB,
        key="github_token",
        doc="GitHub token.",
        secret=True,
        clean=clean_token,
    ),
    Variable(
        name="COPILOT_API_TARGET",
        key="target",
        doc="Upstream host, host:port or https URL.",
        default=f"{_HOST}, or by GITHUB_SERVER_URL",
    ),
    Variable(
        name="COPILOT_API_BASE_PATH",
        key="base_path",
        doc="Put in front of every path that does not begin with it.",
    ),
    Variable(
        name="COPILOT_PROVIDER_BASE_URL",
        doc="Upstream and base path of one's own provider, unless the two above are set.",
    ),
    Variable(
        name="COPILOT_INTEGRATION_ID",
        key="integration_id",
        doc="Sent to GitHub unless the agent says who it is.",
        default="agentic-workflows",
    ),
    Variable(
        name="AWF_BYOK_EXTRA_HEADERS",
        doc="JSON object of headers for one's own provider; never sent to GitHub.",
        private=True,
    ),
    Variable(
        name="AWF_PROVIDER_SESSION_ID",
        key="session_id",
        doc="Sent to one's own provider as `x-session-id`.",
        private=True,
    ),
    Variable(
        name="AWF_PLATFORM_TYPE",
        doc="`ghes` sends the GitHub token as `token …`, anything else as `Bearer …`.",
    ),
    Variable(
        name="GITHUB_SERVER_URL",
        doc="Tells GitHub.com, Enterprise Cloud and Enterprise Server apart.",
    ),
    Variable(name="GITHUB_RUN_ID", doc="Ties the requests of one run together."),
    Variable(name="GITHUB_RUN_ATTEMPT", doc="Counts its attempts.", default="1"),
)


def build(given: Given) -> CopilotProvider:
    """Make the provider."""
    upstream, base_path, byok_only = _upstream(given)
    github = _github_credential(given, upstream.host)
    byok = _byok_credential(given)
    on_github = is_copilot_host(upstream.host)
    extra = extra_headers(given)
    return CopilotProvider(
        name="copilot",
        title="GitHub Copilot",
        port=given.port,
        socket=given.socket,
        host=upstream.host,
        host_port=upstream.port,
        base_path=base_path,
        dialect=CopilotDialect(),
        credential=byok or github,
        models_credential=None if byok_only else github,
        settings=(_GITHUB, _BYOK),
        extra=[] if on_github or byok is None else extra,
        integration_id=_integration_id(given),
        interaction_id=_interaction_id(given),
        probe=_PROBE if upstream.host == _HOST and github is not None else None,
    )


def _upstream(given: Given) -> tuple[Upstream, bytes, bool]:
    """Host, base path, and whether that host is only known as the BYOK provider's."""
    base_path = given.base_path("COPILOT_API_BASE_PATH")
    upstream = given.target("COPILOT_API_TARGET")
    if upstream is None and _BYOK in given.secrets:
        byok, byok_path = byok_upstream(given)
        if byok is not None:
            return byok, (byok_path or b"") if base_path is None else base_path, True
    host = derived_host(_server_host(given))
    return upstream or Upstream(host), base_path or b"", False


def derived_host(server: str) -> str:
    """The Copilot host that belongs to a GitHub server; empty for none named."""
    if server in ("", "github.com"):
        return _HOST
    if server.endswith(".ghe.com"):
        return f"copilot-api.{server}"
    return _ENTERPRISE_HOST


def _server_host(given: Given) -> str:
    """The host in ``GITHUB_SERVER_URL``; empty when it is unset or not a URL."""
    try:
        return urlsplit(given.text("GITHUB_SERVER_URL")).hostname or ""
    except ValueError:
        return ""


def _byok_credential(given: Given) -> Credential | None:
    source = given.secrets.get(_BYOK)
    return None if source is None else Credential(b"Authorization", b"Bearer ", source)


def _github_credential(given: Given, host: str) -> Credential | None:
    source = given.secrets.get(_GITHUB)
    if source is None:
        return None
    platform = given.text("AWF_PLATFORM_TYPE").lower()
    scheme = github_scheme(host, platform, _server_host(given))
    return Credential(b"Authorization", scheme, source)


def github_scheme(host: str, platform: str, server: str) -> bytes:
    """How a GitHub token is announced.

    Args:
        host: upstream.
        platform: ``AWF_PLATFORM_TYPE`` in lower case; empty for unset.
        server: host of the GitHub server; empty for unset.
    """
    if _TOKEN_HOST.fullmatch(host):
        return b"token "
    if platform:
        return b"token " if platform == "ghes" else b"Bearer "
    cloud = server in ("", "github.com") or server.endswith(".ghe.com")
    return b"Bearer " if cloud else b"token "


def _integration_id(given: Given) -> bytes:
    value = given.read("COPILOT_INTEGRATION_ID", parse_header_value)
    return value or b"agentic-workflows"


def _interaction_id(given: Given) -> bytes:
    run = given.text("GITHUB_RUN_ID")
    text = f"{run}-{given.text('GITHUB_RUN_ATTEMPT') or '1'}"
    if not run or _RUN_ID.fullmatch(text) is None:
        text = given.new_id()
    return text.encode("ascii")


BLUEPRINT = Blueprint(
    name="copilot",
    title="GitHub Copilot",
    port=10002,
    variables=VARIABLES,
    build=build,
)
