"""``apiproxy env``: what to set so that an agent uses apiproxy."""

import os
import shlex

import click

from apiproxy.cli.exec import given_urls
from apiproxy.cli.recipes import RECIPES, Lines, recipe


@click.command(name="env")
@click.option("--host", default="127.0.0.1", show_default=True, help="Of apiproxy.")
@click.option("--url", help="Base URL of the listener, instead of host and usual port.")
@click.option("--file", "-f", is_flag=True, help="Print the configuration file's text.")
@click.argument("agent", type=click.Choice([each.name for each in RECIPES]))
def command(host: str, url: str | None, file: bool, agent: str) -> None:
    """Print the shell lines that lead an agent to apiproxy; eval takes them.

    Some agents want a configuration file, too; a comment then says so, and --file prints it.
    """
    chosen = recipe(agent)
    assert chosen is not None
    lines = chosen.lines(given_urls(url, host, os.environ))
    click.echo(file_text(lines) if file else exports(agent, lines), nl=False)


def exports(agent: str, lines: Lines) -> str:
    """The shell's lines, with comments for what they cannot do."""
    told = [
        f"export {name}={shlex.quote(each)}" for name, each in lines.variables.items()
    ]
    told += [
        f'export {name}="${{{name}:-{each}}}"' for name, each in lines.defaults.items()
    ]
    for file in lines.files:
        told.append(f"# and {file.path}; its text: apiproxy env --file {agent}")
    return "".join(f"{each}\n" for each in told)


def file_text(lines: Lines) -> str:
    """The text of the agent's configuration file; nothing if it wants none."""
    return "".join(file.text for file in lines.files)
