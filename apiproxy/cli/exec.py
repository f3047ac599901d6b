"""``apiproxy exec``: an agent, told where apiproxy is, and without any real key."""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import click

from apiproxy.cli.recipes import RECIPES, Lines, Urls, local_urls, recipe
from apiproxy.providers.table import BUILT_IN

_SECRET_NAME = re.compile(
    r"((_|^)(API_?KEY|ACCESS_KEY(_ID)?|SECRET(_KEY)?|(ACCESS_|AUTH_|BEARER_)?TOKEN"
    r"|CREDENTIALS|CREDENTIALS_DIRECTORY)|PASSWORD)(_FILE|_FD|_COMMAND)?$",
    re.I,
)
"""How variables are called that hold a secret, or name what gives one."""

_GIVEN = re.compile("_(FILE|FD|COMMAND)$")

_OUR_SECRETS = frozenset(
    variable.name
    for blueprint in BUILT_IN
    for variable in blueprint.variables
    if variable.secret or variable.private
)

_URLS = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "APIPROXY_LEDGER")
_LOCAL = ("127.0.0.1", "localhost", "::1")


def without_secrets(
    environ: Mapping[str, str], keep: Iterable[str] = ()
) -> dict[str, str]:
    """An environment without anything that is, or sounds like, a real key.

    Args:
        environ: the environment.
        keep: names of variables that stay whatever they are called.
    """
    kept = frozenset(keep)
    return {
        name: value
        for name, value in environ.items()
        if name in kept or not _is_secret(name, value)
    }


def _is_secret(name: str, value: str) -> bool:
    if name.upper() in _URLS:
        return "@" in value  # a password may stand in it
    named = _GIVEN.sub("", name) in _OUR_SECRETS
    return named or _SECRET_NAME.search(name) is not None


def keep_descriptors(environ: Mapping[str, str]) -> None:
    """See that a program we become does not inherit descriptors behind which keys are.

    Args:
        environ: the environment; ``X_FD`` has the number of one.
    """
    for secret in _OUR_SECRETS:
        number = environ.get(f"{secret}_FD", "")
        if number.isdecimal() and int(number) > 2:
            with suppress(OSError, OverflowError):
                os.set_inheritable(int(number), False)


def environment(
    lines: Lines, environ: Mapping[str, str], keep: Iterable[str] = (), host: str = ""
) -> dict[str, str]:
    """The environment of an agent.

    Args:
        lines: what it needs.
        environ: the environment so far.
        keep: names of variables that stay whatever they are called.
        host: that of apiproxy; no proxy is asked on the way there.
    """
    made = without_secrets(environ, keep)
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [*made.get(name, "").split(","), *_LOCAL, host]
        made[name] = ",".join(dict.fromkeys(each for each in hosts if each))
    return {**lines.defaults, **made, **lines.variables}


def write_files(lines: Lines, folder: Path) -> dict[str, str]:
    """Write the files that an agent can be led to, and say by which variables.

    Args:
        lines: what it needs.
        folder: for them; made if it is not there.
    """
    led = {}
    for file in lines.files:
        if file.variable:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / file.path.strip("~/.").replace("/", "-")
            path.write_text(file.text)
            led[file.variable] = str(path)
    return led


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where our files for agents are."""
    state = environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "apiproxy"


def given_urls(url: str | None, host: str, environ: Mapping[str, str]) -> Urls:
    """Where the listeners are.

    Args:
        url: one place for all of them, if given.
        host: else that of apiproxy.
        environ: the environment.
    """
    if url is not None:
        return lambda name: url.rstrip("/")
    return local_urls(environ, host)


@click.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.option("--host", default="127.0.0.1", show_default=True, help="Of apiproxy.")
@click.option("--url", help="Base URL of the listener, instead of host and usual port.")
@click.option("--keep", multiple=True, metavar="NAME", help="A variable that stays.")
@click.argument("agent", type=click.Choice([each.name for each in RECIPES]))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    host: str,
    url: str | None,
    keep: tuple[str, ...],
    agent: str,
    arguments: tuple[str, ...],
) -> None:
    """Run an agent that uses apiproxy, with no real key in its environment.

    \b
    apiproxy exec codex -- exec "say hello"
    apiproxy exec openai -- python my_program.py
    """  # noqa: D301  # click's mark is a backspace
    chosen = recipe(agent)
    assert chosen is not None
    lines = chosen.lines(given_urls(url, host, os.environ))
    environ = environment(lines, os.environ, keep, urlsplit(url or "").hostname or host)
    environ |= write_files(lines, state_folder(os.environ))
    own = [chosen.program, *lines.arguments] if chosen.program else []
    program = [*own, *arguments]
    if not program:
        raise click.UsageError(f"name the program: apiproxy exec {agent} -- PROGRAM …")
    keep_descriptors(os.environ)
    try:
        os.execvpe(program[0], program, environ)  # noqa: S606  # its purpose  # nosec B606
    except OSError as error:
        click.echo(f"apiproxy: {program[0]}: {error.strerror}", err=True)
        raise SystemExit(127) from None
