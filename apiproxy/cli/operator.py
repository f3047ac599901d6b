"""How the subcommands for operators ask the control socket of a running apiproxy."""

import http.client
import json
import socket
import sys
from contextlib import closing
from time import gmtime, strftime
from typing import Any, NoReturn

import click

from apiproxy.cli.table import show_table

_SECONDS = 10.0
_LONGEST = 16 * 1024 * 1024

SOCKET = click.option(
    "--socket",
    "path",
    metavar="PATH",
    envvar="APIPROXY_CONTROL_SOCKET",
    help="The control socket (also APIPROXY_CONTROL_SOCKET).",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Connection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


# Any: what JSON holds.
def ask(path: str | None, method: str, target: str, said: object = None) -> Any:
    """Ask the control socket, and end the command if it does not do what it is asked.

    Args:
        path: of the socket; None if nobody said.
        method: of the request.
        target: of the request.
        said: its body; None for none.

    Returns:
        The answer.
    """
    if not path:
        fail("which socket? Use --socket, or set APIPROXY_CONTROL_SOCKET")
    body = None if said is None else json.dumps(said)
    try:
        with closing(_Connection(path)) as connection:
            connection.request(method, target, body)
            with connection.getresponse() as answer:
                told = json.loads(answer.read(_LONGEST))
        refusal = None if answer.status == 200 else told["error"]["message"]
    except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
        fail(f"{path} does not answer: {getattr(error, 'strerror', None) or error}")
    if refusal is not None:
        fail(refusal)
    return told


def fail(message: str) -> NoReturn:
    """End the command."""
    click.echo(f"apiproxy: {message}", err=True)
    sys.exit(1)


def show_json(value: object) -> None:
    """Print JSON."""
    click.echo(json.dumps(value, indent=2))


def show_budget(standings: list[dict[str, Any]]) -> None:
    """Print how accounts stand."""
    head = ("ACCOUNT", "MEASURE", "SPENT", "RESERVED", "CAP", "SET BY", "UNTIL")
    names = ("account", "measure", "spent", "reserved", "cap", "set_by")
    rows = [
        (*(one[name] for name in names), _moment(one["until"])) for one in standings
    ]
    show_table(head, rows)


def _moment(until: float | None) -> str | None:
    if until is None:
        return None
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(until))
