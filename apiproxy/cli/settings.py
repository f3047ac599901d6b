"""``apiproxy settings``: the reference of all settings, as Markdown."""

import click


@click.command(name="settings")
def command() -> None:
    """Print every setting there is, as Markdown."""
    from apiproxy.settings.reference import reference

    click.echo(reference(), nl=False)
