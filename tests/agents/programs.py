"""How each CLI is run here: alone, quiet, at a URL, with a placeholder for a key."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from apiproxy.cli.recipes import PLACEHOLDER, Lines, recipe
from tests.kit.running import ROOT

BIN = ROOT / ".agents/node_modules/.bin"
"""Where ``make agents`` puts them."""

FORGOTTEN = "sk-that-somebody-forgot-in-the-environment"
"""In the environment of an agent that apiproxy runs; it must not come through."""

_FORGOTTEN_KEYS = dict.fromkeys(
    (
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "COPILOT_GITHUB_TOKEN",
        "GEMINI_API_KEY",
        "GH_TOKEN",
        "GOOGLE_API_KEY",
    ),
    FORGOTTEN,
)


def version(package: str, modules: Path = ROOT / ".agents/node_modules") -> str:
    """The version of an npm package that is installed."""
    manifest = modules / package / "package.json"
    return str(json.loads(manifest.read_text())["version"])


@frozen
class Launch:
    """A program about to be run.

    Attributes:
        arguments: the program and what it is given.
        environ: its variables.
    """

    arguments: Sequence[str]
    environ: Mapping[str, str]


_FULL = ("--sandbox", "danger-full-access")

Prepare = Callable[[Path, str, str], Launch]
"""Makes a launch of a home directory, the base URL of the listener, and a prompt."""


@frozen
class Cli:
    """A CLI by one of its transports.

    Attributes:
        name: of the program.
        transport: how it reaches the model.
        provider: the listener that it talks to.
        package: of npm.
        prepare: makes a launch.
        scenarios: a regular expression for those it is put through.
    """

    name: str
    transport: str
    provider: str
    package: str
    prepare: Prepare
    scenarios: str = ""

    @property
    def title(self) -> str:
        """For the matrix."""
        return f"{self.name} {self.transport}"


def _file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _lines(agent: str, url: str) -> Lines:
    """What users of apiproxy are told to set."""
    found = recipe(agent)
    assert found is not None
    return found.lines(lambda name: url)


def _codex_with(make: Callable[[str, str], str]) -> Prepare:
    """Codex with a configuration file made of the recipe's and the URL."""

    def prepare(home: Path, url: str, prompt: str) -> Launch:
        lines = _lines("codex", url)
        text = 'model = "gpt-5.5"\nweb_search = "disabled"\n'
        _file(home / ".codex/config.toml", text + make(lines.files[0].text, url))
        environ = {"CODEX_HOME": str(home / ".codex"), **lines.variables}
        options = ["--json", "--skip-git-repo-check", *_FULL]
        return Launch([f"{BIN}/codex", "exec", *options, prompt], environ)

    return prepare


def _built_in(text: str, url: str) -> str:
    """Its own provider, at another URL; the rest as in the recipe."""
    kept = [line for line in text.splitlines() if not line.startswith("model_prov")]
    return "\n".join([f'openai_base_url = "{url}/v1"', *kept])


def _no_sockets(text: str, url: str) -> str:
    """The recipe's provider, without WebSockets."""
    return text.replace("supports_websockets = true", "supports_websockets = false")


def _claude(home: Path, url: str, prompt: str) -> Launch:
    options = ["-p", "--bare", "--allowedTools", "Bash", "--", prompt]
    return Launch([f"{BIN}/claude", *options], _lines("claude", url).variables)


def _gemini(home: Path, url: str, prompt: str) -> Launch:
    lines = _lines("gemini", url)
    _file(home / ".gemini/settings.json", lines.files[0].text)
    environ = {**lines.variables, "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    options = ["-m", "gemini-2.5-flash", "--yolo", "-p", prompt]
    return Launch([f"{BIN}/gemini", *options], environ)


_WIRE = "COPILOT_PROVIDER_WIRE_API"


def _copilot(kind: str, **more: str) -> Prepare:
    def prepare(home: Path, url: str, prompt: str) -> Launch:
        usual = dict(_lines("copilot", url).variables)
        if _WIRE not in more:
            del usual[_WIRE]
        environ = {
            **usual,
            "COPILOT_PROVIDER_BASE_URL": url + ("/v1" if kind == "openai" else ""),
            "COPILOT_PROVIDER_TYPE": kind,
            "COPILOT_MODEL": "mock-1",
            **more,
        }
        return Launch([f"{BIN}/copilot", "--allow-all-tools", "-p", prompt], environ)

    return prepare


def _copilot_api(home: Path, url: str, prompt: str) -> Launch:
    environ = {
        "COPILOT_AUTO_UPDATE": "false",
        "COPILOT_API_URL": url,
        "COPILOT_GITHUB_TOKEN": f"github_pat_{PLACEHOLDER}",
    }
    return Launch([f"{BIN}/copilot", "--allow-all-tools", "-p", prompt], environ)


def _opencode(package: str, model: str, path: str, **more: str) -> Prepare:
    """OpenCode with a model that it does not know, of a provider by this package."""

    def prepare(home: Path, url: str, prompt: str) -> Launch:
        lines = _lines("opencode", url)
        provider = {
            "npm": package,
            "options": {"baseURL": url + path, "apiKey": PLACEHOLDER},
            "models": {"mock-1": {"name": "Mock"}},
        }
        name = model.partition("/")[0]
        content = "OPENCODE_CONFIG_CONTENT"
        config = json.loads(lines.variables[content])
        config |= {"provider": {name: provider}, "model": model}
        auth = {"openai": {"type": "api", "key": PLACEHOLDER}}
        _file(home / ".local/share/opencode/auth.json", json.dumps(auth))
        environ = {**lines.variables, content: json.dumps(config), **more}
        return Launch([f"{BIN}/opencode", "run", prompt], environ)

    return prepare


def exec_launch(agent: str, url: str, *arguments: str, **more: str) -> Launch:
    """``apiproxy exec``, from an environment in which keys were forgotten.

    Args:
        agent: by its name there.
        url: of the listener.
        arguments: for the agent.
        more: of its environment.
    """
    command = [str(Path(sys.executable).with_name("apiproxy")), "exec"]
    environ = {"PATH": f"{BIN}:{os.environ['PATH']}", **_FORGOTTEN_KEYS, **more}
    return Launch([*command, "--url", url, agent, "--", *arguments], environ)


def _by_exec(agent: str, *options: str, **more: str) -> Prepare:
    """As a user runs it."""
    return lambda home, url, prompt: exec_launch(agent, url, *options, prompt, **more)


_CODEX_PACKAGE = "@openai/codex"
_COPILOT_PACKAGE = "@github/copilot"

_EXEC = "^tool call$"

CLIS = (
    Cli(
        "codex",
        "responses websocket",
        "openai",
        _CODEX_PACKAGE,
        _codex_with(_built_in),
    ),
    Cli(
        "codex",
        "responses websocket by exec",
        "openai",
        _CODEX_PACKAGE,
        _by_exec(
            "codex", "exec", "--json", "--skip-git-repo-check", "-m", "gpt-5.5", *_FULL
        ),
        _EXEC,
    ),
    Cli(
        "claude",
        "messages sse by exec",
        "anthropic",
        "@anthropic-ai/claude-code",
        _by_exec("claude", "-p", "--allowedTools", "Bash", "--"),
        _EXEC,
    ),
    Cli(
        "gemini",
        "generate sse by exec",
        "gemini",
        "@google/gemini-cli",
        _by_exec(
            "gemini",
            "-m",
            "gemini-2.5-flash",
            "--yolo",
            "-p",
            GEMINI_CLI_TRUST_WORKSPACE="true",
            # It trusts no settings below a folder that everybody may write to, as /tmp is.
            XDG_STATE_HOME="/run/apiproxy-agents",
        ),
        _EXEC,
    ),
    Cli(
        "copilot",
        "responses sse by exec",
        "openai",
        _COPILOT_PACKAGE,
        _by_exec("copilot", "--allow-all-tools", "-p"),
        _EXEC,
    ),
    Cli(
        "opencode",
        "responses sse by exec",
        "openai",
        "opencode-ai",
        _by_exec("opencode", "run", "--model", "openai/gpt-5.5"),
        _EXEC,
    ),
    Cli("codex", "responses sse", "openai", _CODEX_PACKAGE, _codex_with(_no_sockets)),
    Cli("claude", "messages sse", "anthropic", "@anthropic-ai/claude-code", _claude),
    Cli("gemini", "generate sse", "gemini", "@google/gemini-cli", _gemini),
    Cli("copilot", "chat sse", "openai", _COPILOT_PACKAGE, _copilot("openai")),
    Cli(
        "copilot",
        "responses sse",
        "openai",
        _COPILOT_PACKAGE,
        _copilot("openai", COPILOT_PROVIDER_WIRE_API="responses"),
    ),
    Cli(
        "copilot",
        "responses websocket",
        "openai",
        _COPILOT_PACKAGE,
        _copilot(
            "openai",
            COPILOT_PROVIDER_WIRE_API="responses",
            COPILOT_PROVIDER_TRANSPORT="websockets",
        ),
    ),
    Cli(
        "copilot",
        "messages sse",
        "anthropic",
        _COPILOT_PACKAGE,
        _copilot("anthropic"),
    ),
    Cli("copilot", "github api", "copilot", _COPILOT_PACKAGE, _copilot_api),
    Cli(
        "opencode",
        "chat sse",
        "openai",
        "opencode-ai",
        _opencode("@ai-sdk/openai-compatible", "mock/mock-1", "/v1"),
    ),
    Cli(
        "opencode",
        "responses sse",
        "openai",
        "opencode-ai",
        _opencode("@ai-sdk/openai", "openai/mock-1", "/v1"),
    ),
    Cli(
        "opencode",
        "responses websocket",
        "openai",
        "opencode-ai",
        _opencode(
            "@ai-sdk/openai",
            "openai/mock-1",
            "/v1",
            OPENCODE_EXPERIMENTAL_WEBSOCKETS="true",
        ),
    ),
    Cli(
        "opencode",
        "messages sse",
        "anthropic",
        "opencode-ai",
        _opencode("@ai-sdk/anthropic", "anthropic/mock-1", "/v1"),
    ),
)
