"""``apiproxy stop``: ends what is under way."""

import click

from apiproxy.cli.operator import SOCKET, ask


@click.command(name="stop")
@SOCKET
@click.argument(
    "what", type=click.Choice(["run", "caller", "exchange", "provider", "all"])
)
@click.argument("name", required=False)
def command(path: str | None, what: str, name: str | None) -> None:
    """End the requests and WebSockets of a run, a caller or a provider, one of them, or all.

    Their agents get an error that is not worth a retry. New requests are let in as before.
    """
    if (what == "all") != (name is None):
        raise click.UsageError("all has no name, and everything else has one")
    told = ask(path, "POST", "/stop", {what: True if name is None else name})
    click.echo(f"{told['stopped']} stopped")
