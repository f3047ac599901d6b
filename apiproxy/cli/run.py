"""``apiproxy run``: the service, in the foreground."""

import sys

import click


@click.command(name="run")
@click.option(
    "-c", "--config", metavar="FILE", help="TOML file (also APIPROXY_CONFIG)."
)
def command(config: str | None) -> None:
    """Serve: the same as twistd -n --pidfile= apiproxy."""
    from twisted.scripts import twistd

    # twistd reads its command line from here and from nowhere else.
    sys.argv = ["twistd", "-n", "--pidfile=", "apiproxy"]
    if config is not None:
        sys.argv += ["--config", config]
    twistd.run()
