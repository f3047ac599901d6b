"""The ``apiproxy`` command.

Each subcommand is a module, named here and imported when it is called: ``apiproxy health``
runs every few seconds in a container and must not pay for Twisted.
"""

from importlib import import_module

import click

from apiproxy import __version__

_COMMANDS = {
    "run": "apiproxy.cli.run",
    "check": "apiproxy.cli.check",
    "health": "apiproxy.cli.health",
    "settings": "apiproxy.cli.settings",
    "token": "apiproxy.cli.token",  # a module  # nosec B105
    "state": "apiproxy.cli.state",
    "budget": "apiproxy.cli.budget",
    "stop": "apiproxy.cli.stop",
    "env": "apiproxy.cli.env",
    "exec": "apiproxy.cli.exec",
    "demo": "apiproxy.demo.main",
}
"""Module by subcommand; the command in it is called ``command``."""


class _Subcommands(click.Group):
    """Subcommands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them; None if there is none of that name."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = import_module(module).command
        return command


@click.group(cls=_Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="apiproxy")
def main() -> None:
    """The credential-isolating API sidecar for AI agents.

    Agents speak plain HTTP and WebSocket to it; it adds the provider's key and goes out
    through an HTTP CONNECT proxy and verified TLS.
    """
