"""The SDKs, and what each of them is for.

The programs are in ``tests/clients`` (Python) and beside this, in ``node``. They all take a
turn, a base URL and a key, and print what they saw as JSON.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version as python_version
from pathlib import Path
from typing import Any

from attrs import field, frozen

from apiproxy.cli.recipes import PLACEHOLDER
from tests.agents.mock import anthropic, openai
from tests.agents.mock.model import Model
from tests.agents.programs import Launch, exec_launch, version
from tests.kit.running import ROOT

MODULES = ROOT / ".agents/node_modules"
_NODE = Path(__file__).with_name("node")
TEXT = Model().text
_WORDS = list(Model().words)


@frozen
class Sdk:
    """An SDK.

    Attributes:
        package: its name in the registry.
        node: whether it is for Node, and not for Python.
        provider: the listener that it talks to.
        path: of its base URL.
        program: the module or file that uses it.
        turns: what it can do, and what comes of each.
        plain: the turn that the faults are tried on.
        spends: turns that are tried when a budget is spent.
        waits: whether it waits after a 429 by itself.
        cut: the turn that prints what half a stream raises.
        notes: what has to be known of a turn.
    """

    package: str
    node: bool
    provider: str
    path: str
    program: str
    turns: Mapping[str, Any]
    plain: str
    spends: Sequence[str]
    waits: bool = True
    cut: str = "cut"
    notes: Mapping[str, str] = field(factory=dict)

    @property
    def name(self) -> str:
        """For the matrix."""
        return f"{self.package} ({'Node' if self.node else 'Python'})"

    @property
    def version(self) -> str:
        """The version that is installed."""
        return version(self.package) if self.node else python_version(self.package)

    def launch(self, turn: str, url: str, *, by_exec: bool = False) -> Launch:
        """What runs a turn.

        Args:
            turn: by its name.
            url: of the listener.
            by_exec: whether ``apiproxy exec`` runs it, and it is told nothing else.
        """
        program = (
            [shutil.which("node") or "node", str(_NODE / self.program)]
            if self.node
            else [sys.executable, "-m", f"tests.clients.{self.program}"]
        )
        environ = {"PYTHONPATH": str(ROOT), "NODE_PATH": str(MODULES)}
        if by_exec:
            return exec_launch(self.recipe, url, *program, turn, **environ)
        return Launch([*program, turn, url + self.path, PLACEHOLDER], environ)

    @property
    def recipe(self) -> str:
        """What ``apiproxy exec`` calls it."""
        return "google" if self.provider == "gemini" else self.provider

    def missing(self) -> str | None:
        """Why it cannot be run here; None if it can."""
        if self.node and not (MODULES / self.package).exists():
            return f"{self.package} is not installed; make agents"
        if self.node and shutil.which("node") is None:
            return "there is no node; apt-get install nodejs"
        return None


_OPENAI_MODELS = [each["id"] for each in openai.MODELS["data"]]
_ANTHROPIC_MODELS = [each["id"] for each in anthropic.MODELS["data"]]

_TLS_ONLY = "the SDK makes every base URL here one of wss; the program dials plainly"

SDKS = (
    Sdk(
        "openai",
        False,
        "openai",
        "/v1",
        "openai_turns",
        {
            "chat": TEXT,
            "chat_stream": ["", *_WORDS, None],
            "responses": TEXT,
            "responses_stream": ...,
            "models": _OPENAI_MODELS,
            "connect": ...,
            "realtime": TEXT,
        },
        "chat",
        ("chat", "responses_stream", "connect", "realtime"),
        cut="cut_chat",
    ),
    Sdk(
        "anthropic",
        False,
        "anthropic",
        "",
        "anthropic_turns",
        {
            "messages": [TEXT],
            "stream": [_WORDS, TEXT],
            "count_tokens": 11,
            "models": _ANTHROPIC_MODELS,
            "batches": ["msgbatch_1"],
            "upload": ["notes.txt", 100_000],
        },
        "messages",
        ("messages", "stream"),
    ),
    Sdk(
        "google-genai",
        False,
        "gemini",
        "",
        "google_turns",
        {"generate": TEXT, "stream": _WORDS, "count_tokens": 11, "live": _WORDS},
        "generate",
        ("generate", "stream", "live"),
        waits=False,
        notes={"live": _TLS_ONLY},
    ),
    Sdk(
        "openai",
        True,
        "openai",
        "/v1",
        "openai.cjs",
        {
            "chat": TEXT,
            "chat_stream": TEXT,
            "responses": TEXT,
            "responses_stream": TEXT,
            "models": _OPENAI_MODELS,
            "connect": [TEXT, TEXT],
            "realtime": TEXT,
        },
        "chat",
        ("chat", "responses_stream", "connect", "realtime"),
        notes={"realtime": _TLS_ONLY},
    ),
    Sdk(
        "@anthropic-ai/sdk",
        True,
        "anthropic",
        "",
        "anthropic.cjs",
        {
            "messages": TEXT,
            "stream": TEXT,
            "count_tokens": 11,
            "models": _ANTHROPIC_MODELS,
            "batches": ["msgbatch_1"],
            "upload": ["notes.txt", 100_000],
        },
        "messages",
        ("messages", "stream"),
    ),
    Sdk(
        "@google/genai",
        True,
        "gemini",
        "",
        "google.cjs",
        {"generate": TEXT, "stream": TEXT, "count_tokens": 11, "live": TEXT},
        "generate",
        ("generate", "stream", "live"),
        waits=False,
    ),
)
