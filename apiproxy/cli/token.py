"""``apiproxy token``: tokens for callers, made and narrowed without asking anybody.

A token that exists already is read from standard input, because the command line is public.
"""

import os
import sys
import time
from collections.abc import Iterator

import click

from apiproxy.policy.tokens import LOOKS, Verifier, make, narrow
from apiproxy.settings.access import budget

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = {"s": 1, "m": _MINUTE, "h": _HOUR, "d": _DAY}


@click.group(name="token")
def command() -> None:
    """Make tokens for callers (APIPROXY_CALLERS_FILE), and narrow them."""


@command.command()
@click.option("--name", default="agent", show_default=True, help="Name of the caller.")
@click.option(
    "--like",
    type=click.Choice(list(LOOKS)),
    default="openai",
    show_default=True,
    help="Whose keys it looks like, for clients that check that.",
)
@click.option(
    "--no-narrowing", is_flag=True, help="Refuse tokens that are narrowed from it."
)
def new(name: str, like: str, no_narrowing: bool) -> None:
    """Print a new token; what belongs into the callers file goes to standard error."""
    token = make(like, os.urandom)
    click.echo(token.decode("ascii"))
    click.echo(_entry(name, Verifier.of(token, narrowing=not no_narrowing)), err=True)


@command.command(name="hash")
@click.option("--name", default="agent", show_default=True, help="Name of the caller.")
@click.option(
    "--no-narrowing", is_flag=True, help="Refuse tokens that are narrowed from it."
)
def hash_(name: str, no_narrowing: bool) -> None:
    """Print what belongs into the callers file for the token on standard input."""
    token = _token()
    if len(token) < 24:
        click.echo("warning: so short a token can be guessed", err=True)
    click.echo(_entry(name, Verifier.of(token, narrowing=not no_narrowing)))


@command.command(name="narrow")
@click.option("--provider", "providers", multiple=True, help="Only this; repeatable.")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Only this, with * for anything; repeatable.",
)
@click.option("--expires", metavar="TIME", help="From now: 90s, 15m, 8h or 30d.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="NAME=AMOUNT",
    help="ai_credits, tokens or runs; repeatable.",
)
def narrow_(
    providers: tuple[str, ...],
    models: tuple[str, ...],
    expires: str | None,
    budgets: tuple[str, ...],
) -> None:
    """Print a token that may do less than the one on standard input."""
    try:
        caveats = [
            each.encode("ascii")
            for each in _caveats(providers, models, expires, budgets)
        ]
        if not caveats:
            raise click.UsageError("say what to take away")
        click.echo(narrow(_token(), caveats).decode("ascii"))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _caveats(
    providers: tuple[str, ...],
    models: tuple[str, ...],
    expires: str | None,
    budgets: tuple[str, ...],
) -> Iterator[str]:
    if providers:
        yield "p=" + ",".join(providers)
    if models:
        yield "m=" + ",".join(models)
    if expires is not None:
        yield f"e={int(time.time()) + _seconds(expires)}"
    for each in budgets:
        name, _, amount = each.partition("=")
        measure, cap = budget(name, amount)
        yield f"b.{measure}={cap}"


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in _UNITS:
        raise ValueError("a time is a number and s, m, h or d")
    return int(number) * _UNITS[unit]


def _token() -> bytes:
    text = sys.stdin.readline().strip()
    try:
        token = text.encode("ascii")
    except UnicodeEncodeError:
        raise click.UsageError("a token is ASCII text") from None
    if not token:
        raise click.UsageError("the token is read from standard input")
    return token


def _entry(name: str, verifier: Verifier) -> str:
    """What stands in the callers file."""
    return f'[callers.{name}]\ntokens = ["{verifier.text()}"]'
