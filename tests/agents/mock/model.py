"""What the model behind every mock says; it has no state, and looks only at what it is asked.

It knows one rule: if the prompt has ``MARK`` in it, and a tool for the shell is offered, and
no tool has answered since, it calls that tool. Otherwise it says its words. So it copes with
agents that send everything each time, with those that send only what is new, and with those
that ask for a title in between.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

MARK = "USE-THE-SHELL"
"""In a prompt, it asks the model for a tool call."""

Json = dict[str, Any]

SHELLS: Mapping[str, str] = {
    "exec_command": "cmd",  # Codex
    "Bash": "command",  # Claude Code
    "run_shell_command": "command",  # Gemini CLI
    "bash": "command",  # Copilot CLI, OpenCode
    "shell": "command",  # our own SDK conversations
}
"""The argument for the command line, by the name of a tool that runs one."""


class NotUnderstood(Exception):
    """An agent asked something that the mock does not know; the scenario fails."""


@frozen
class Said:
    """One thing in a conversation: the agent's words, or what a tool has answered.

    Attributes:
        text: of it.
        tool: whether a tool has said it.
    """

    text: str
    tool: bool = False


@frozen
class Asked:
    """What a model is asked, whatever the provider.

    Attributes:
        provider: whose shape it came in.
        model: by its name.
        said: the conversation so far, as much of it as was sent.
        tools: names and JSON schemas of the tools that may be called.
        stream: whether the answer is wanted piece by piece.
        transport: ``http`` or ``websocket``.
    """

    provider: str
    model: str
    said: Sequence[Said]
    tools: Mapping[str, Json] = field(factory=dict)
    stream: bool = False
    transport: str = "http"

    @property
    def results(self) -> list[str]:
        """What tools have answered since the last prompt."""
        found: list[str] = []
        for said in self.said:
            if said.tool:
                found.append(said.text)
            elif MARK in said.text:
                found.clear()
        return found

    @property
    def prompted(self) -> bool:
        """Whether a prompt asks for a tool, and none has answered it."""
        marked = any(MARK in said.text for said in self.said if not said.tool)
        return marked and not self.results


@frozen
class Use:
    """A call of a tool.

    Attributes:
        tool: its name.
        arguments: as its schema wants them.
    """

    tool: str
    arguments: Json


@define
class Model:
    """The model.

    Attributes:
        words: what it says, in the pieces in which it streams.
        command: what it runs in a shell.
        pause: seconds between two pieces.
        asked: everything it was asked.
    """

    words: Sequence[str] = ("Good ", "morning, ", "agent.")
    command: str = "echo hi"
    pause: float = 0.0
    asked: list[Asked] = field(factory=list)

    @property
    def text(self) -> str:
        """All it says."""
        return "".join(self.words)

    @property
    def results(self) -> list[str]:
        """What tools have answered, as far as it was told in its last turn with any."""
        return next((each.results for each in self.asked[::-1] if each.results), [])

    def speak(self, asked: Asked) -> Sequence[str]:
        """What it says where it is offered no tools."""
        self.asked.append(asked)
        return self.words

    def answer(self, asked: Asked) -> Use | Sequence[str]:
        """What it says to this: a call, or pieces of text."""
        words = self.speak(asked)
        if not asked.prompted or not asked.tools:
            return words
        for tool, argument in SHELLS.items():
            if tool in asked.tools:
                return Use(tool, self._arguments(asked.tools[tool], argument))
        raise NotUnderstood(f"no shell among the tools {sorted(asked.tools)}")

    def _arguments(self, schema: Json, argument: str) -> Json:
        """The command, and a word for every other string that the schema insists on."""
        wanted = dict.fromkeys(schema.get("required", ()), "mock")
        return {**wanted, argument: self.command}


def texts(content: Any) -> str:
    """The text of a message, which is a string, or a list of parts of which some have text."""
    if isinstance(content, str):
        return content
    parts: Iterable[Any] = content or ()
    return "\n".join(part.get("text") or "" for part in parts if isinstance(part, dict))
