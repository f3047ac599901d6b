"""What the demonstration shows: short lines, in colour only on a terminal."""

import os
from typing import TextIO

import click

_WIDTH = 10  # characters of the longest name of a part, and one


class DemoFailed(Exception):
    """The demonstration did not go as it should; the text says where."""


class Screen:
    """Writes lines, each said by one part of the house."""

    def __init__(self, stream: TextIO) -> None:
        """A screen.

        Args:
            stream: where to; colour is left out when it is no terminal.
        """
        self._stream = stream
        self._color = False if os.environ.get("NO_COLOR") else None

    def _echo(self, text: str, *, nl: bool = True) -> None:
        click.echo(text, file=self._stream, nl=nl, color=self._color)

    def line(self, text: str = "") -> None:
        """A line of its own."""
        self._echo(text)

    def title(self, text: str) -> None:
        """The beginning of something."""
        self._echo("\n" + click.style(text, bold=True))

    def said(self, part: str, *lines: str) -> None:
        """Lines about one part: agent, apiproxy, squid, provider."""
        name = click.style(f"  {part:<{_WIDTH}}", fg=_COLORS.get(part, "white"))
        self._echo(name + lines[0])
        for line in lines[1:]:
            self._echo(" " * (_WIDTH + 2) + line)

    def begin(self, part: str, text: str) -> None:
        """The start of a line that grows."""
        name = click.style(f"  {part:<{_WIDTH}}", fg=_COLORS.get(part, "white"))
        self._echo(name + text, nl=False)

    def more(self, text: str) -> None:
        """The next piece of it."""
        self._echo(click.style(text, bold=True), nl=False)


_COLORS = {
    "agent": "yellow",
    "apiproxy": "cyan",
    "squid": "magenta",
    "stand-in": "magenta",
    "provider": "green",
}


def good(text: str) -> str:
    """Text that says: this is as it should be."""
    return click.style(text, fg="green")


def faint(text: str) -> str:
    """Text that may be passed over."""
    return click.style(text, dim=True)
