"""``apiproxy demo``: three conversations on this machine, with no real key needed."""

import click


@click.command(name="demo")
@click.option("--once", is_flag=True, help="End after the three conversations.")
@click.option("--stand-in", is_flag=True, help="Do without Squid, even if it is here.")
def command(once: bool, stand_in: bool) -> None:
    """Show an HTTP call, a token stream and a WebSocket through a local tunnel."""
    from twisted.internet.task import react

    from apiproxy.demo.story import perform

    react(perform, (once, stand_in))
