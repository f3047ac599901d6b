"""How each agent is told to use apiproxy: variables, arguments, and files where it wants some.

Measured with the versions in docs/agents.md. What an agent would ask of its maker's other
services is switched off, because behind an allow-list it only waits for them.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

from apiproxy.core.egress import bracketed
from apiproxy.providers.table import BUILT_IN

PLACEHOLDER = "placeholder-apiproxy-has-the-key"
"""Stands where an agent insists on a key; apiproxy drops it."""

Urls = Callable[[str], str]
"""The base URL of a listener, by its name, without a slash at its end."""


@frozen
class File:
    """A file that an agent reads.

    Attributes:
        path: where it usually is, for people; ``~`` is their home.
        text: what has to stand in it.
        variable: names such a file in a place of one's own; empty if arguments say the same.
    """

    path: str
    text: str
    variable: str = ""


@frozen
class Lines:
    """What one agent needs for certain URLs.

    Attributes:
        variables: of its environment.
        defaults: more of them, for which the agent's own environment comes first.
        arguments: before those that the user gives it.
        files: what it reads.
    """

    variables: Mapping[str, str]
    defaults: Mapping[str, str] = field(factory=dict)
    arguments: Sequence[str] = ()
    files: Sequence[File] = ()


@frozen
class Recipe:
    """One agent.

    Attributes:
        name: for the command line.
        program: what is run; empty for an SDK, which is part of a program of the user's.
        title: for people.
        lines: makes what it needs.
    """

    name: str
    program: str
    title: str
    lines: Callable[[Urls], Lines]


_CODEX_PROVIDER = {
    "name": "apiproxy",
    "env_key": "CODEX_API_KEY",
    "wire_api": "responses",
    "supports_websockets": True,
}
_CODEX_QUIET = {
    "check_for_update_on_startup": False,
    "analytics.enabled": False,
    "feedback.enabled": False,
    "otel.exporter": "none",
    "otel.metrics_exporter": "none",
    "otel.trace_exporter": "none",
    "features.plugins": False,
    "features.apps": False,
    "features.remote_plugin": False,
}


def _codex(urls: Urls) -> Lines:
    """A provider of its own: the built-in one insists on a login where there is a terminal."""
    provider = {**_CODEX_PROVIDER, "base_url": urls("openai") + "/v1"}
    where = {f"model_providers.apiproxy.{key}": each for key, each in provider.items()}
    settings = {"model_provider": "apiproxy", **where, **_CODEX_QUIET}
    # JSON's strings and booleans are TOML's, too.
    told = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    text = "".join(f"{each.replace('=', ' = ', 1)}\n" for each in told)
    arguments = [word for each in told for word in ("-c", each)]
    file = File("~/.codex/config.toml", text)
    return Lines({"CODEX_API_KEY": PLACEHOLDER}, {}, arguments, [file])


def _claude(urls: Urls) -> Lines:
    return Lines(
        {
            "ANTHROPIC_BASE_URL": urls("anthropic"),
            "ANTHROPIC_API_KEY": PLACEHOLDER,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
        }
    )


_GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}


def _gemini(urls: Urls) -> Lines:
    """With a base URL and no settings it looks for a way to log in that it does not know."""
    text = json.dumps(_GEMINI, indent=2) + "\n"
    file = File("~/.gemini/settings.json", text, "GEMINI_CLI_SYSTEM_DEFAULTS_PATH")
    variables = {
        "GOOGLE_GEMINI_BASE_URL": urls("gemini"),
        "GEMINI_API_KEY": PLACEHOLDER,
    }
    return Lines(variables, files=[file])


def _copilot(urls: Urls) -> Lines:
    variables = {
        "COPILOT_OFFLINE": "true",
        "COPILOT_AUTO_UPDATE": "false",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_BASE_URL": urls("openai") + "/v1",
        "COPILOT_PROVIDER_API_KEY": PLACEHOLDER,
        "COPILOT_PROVIDER_WIRE_API": "responses",
    }
    return Lines(variables, {"COPILOT_MODEL": "gpt-5.5"})


def _opencode(urls: Urls) -> Lines:
    places = {
        "openai": urls("openai") + "/v1",
        "anthropic": urls("anthropic") + "/v1",
        "google": urls("gemini") + "/v1beta",
    }
    providers = {
        name: {"options": {"baseURL": url, "apiKey": PLACEHOLDER}}
        for name, url in places.items()
    }
    config = {"provider": providers, "autoupdate": False, "share": "disabled"}
    return Lines(
        {
            "OPENCODE_CONFIG_CONTENT": json.dumps(config),
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        }
    )


def _sdk(
    prefix: str, listener: str, path: str = "", base: str = ""
) -> Callable[[Urls], Lines]:
    def lines(urls: Urls) -> Lines:
        place = {base or f"{prefix}_BASE_URL": urls(listener) + path}
        return Lines({**place, f"{prefix}_API_KEY": PLACEHOLDER})

    return lines


RECIPES = (
    Recipe("codex", "codex", "Codex CLI", _codex),
    Recipe("claude", "claude", "Claude Code", _claude),
    Recipe("gemini", "gemini", "Gemini CLI", _gemini),
    Recipe("copilot", "copilot", "Copilot CLI", _copilot),
    Recipe("opencode", "opencode", "OpenCode", _opencode),
    Recipe("openai", "", "openai SDKs", _sdk("OPENAI", "openai", "/v1")),
    Recipe("anthropic", "", "Anthropic's SDKs", _sdk("ANTHROPIC", "anthropic")),
    Recipe(
        "google",
        "",
        "Google's Gen AI SDKs",
        _sdk("GEMINI", "gemini", base="GOOGLE_GEMINI_BASE_URL"),
    ),
)


def recipe(name: str) -> Recipe | None:
    """That of an agent; None if there is none of that name."""
    return next((each for each in RECIPES if each.name == name), None)


def local_urls(environ: Mapping[str, str], host: str) -> Urls:
    """Where the listeners are: as ``APIPROXY_*_PORT`` says, else at their usual ports.

    Args:
        environ: the environment.
        host: that of apiproxy.
    """
    ports = {each.name: str(each.port) for each in BUILT_IN}

    def url(name: str) -> str:
        port = environ.get(f"APIPROXY_{name.upper()}_PORT", "")
        return f"http://{bracketed(host)}:{port if port.isdigit() else ports[name]}"

    return url
