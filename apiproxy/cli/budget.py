"""``apiproxy budget``: shows budgets, and changes one."""

import click

from apiproxy.cli.operator import AS_JSON, SOCKET, ask, fail, show_budget, show_json


@click.command(name="budget")
@SOCKET
@AS_JSON
@click.option(
    "--account",
    help="run:ID, provider:NAME, model:NAME, caller:NAME or token:NAME; the service's run"
    " if not said.",
)
@click.option(
    "--measure",
    help="effective_tokens, ai_credits, dollars, runs, cache_misses, permission_denied.",
)
@click.option("--add", type=float, help="Raise the cap by this.")
@click.option("--set", "cap", type=float, help="Make this the cap.")
@click.option("--unset", is_flag=True, help="Take an operator's cap away.")
@click.option("--minutes", type=float, help="For this long.")
def command(
    path: str | None,
    as_json: bool,
    account: str | None,
    measure: str | None,
    add: float | None,
    cap: float | None,
    unset: bool,
    minutes: float | None,
) -> None:
    """Show how budgets stand; with --add, --set or --unset, change a cap before that."""
    changes: dict[str, float | None] = {}
    if add is not None:
        changes["add"] = add
    if cap is not None or unset:
        changes["set"] = cap
    if changes and measure is None:
        fail("of what? Use --measure")
    if not changes and (account or measure or minutes):
        fail("what is to change? Use --add, --set or --unset")
    if changes:
        said = {"measure": measure, "account": account or "", **changes}
        ask(path, "POST", "/budget", said | ({"minutes": minutes} if minutes else {}))
    told = ask(path, "GET", "/budget")
    if as_json:
        show_json(told)
    else:
        show_budget(told["budget"])
