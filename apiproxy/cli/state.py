"""``apiproxy state``: what goes on in a running apiproxy."""

import click

from apiproxy.cli.operator import AS_JSON, SOCKET, ask, show_budget, show_json
from apiproxy.cli.table import show_table

_HEAD = ("EXCHANGE", "PROVIDER", "CALLER", "MODEL", "KIND", "AGE", "UP", "DOWN")
_NAMES = (
    "id",
    "provider",
    "caller",
    "model",
    "transport",
    "age_seconds",
    "bytes_up",
    "bytes_down",
)


@click.command(name="state")
@SOCKET
@AS_JSON
def command(path: str | None, as_json: bool) -> None:
    """Show what is under way, and how budgets stand; --json shows all there is."""
    state = ask(path, "GET", "/state")
    if as_json:
        show_json(state)
        return
    rows = [tuple(one[name] for name in _NAMES) for one in state["exchanges"]]
    show_table(_HEAD, rows)
    click.echo()
    show_budget(state["budget"])
