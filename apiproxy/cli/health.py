"""``apiproxy health``: for the health check of a container that has no curl.

It is called every few seconds, so it imports little: the settings are only read when one of
them may have moved the port that answers.
"""

import os
import re
import socket
from collections.abc import Mapping
from time import monotonic
from urllib.parse import urlsplit

import click

_PORT = 10000
_LONGEST = 64 * 1024
_HERE = dict.fromkeys(("", "127.0.0.1", "0.0.0.0"), "127.0.0.1")  # noqa: S104  # nosec B104
"""Where to ask one that is bound to these: nothing is bound here."""

_MOVES = re.compile(r"APIPROXY_(?:CONFIG|\w+_PORT|\w+_SOCKET)")


class Unwell(Exception):
    """There is no healthy apiproxy there; the text says what there is instead."""


@click.command(name="health")
@click.option(
    "--url",
    metavar="URL",
    help="Ask here, http://HOST:PORT/PATH or unix:/PATH, instead of the port that"
    " answers for the process (10000).",
)
@click.option(
    "--timeout", default=3.0, show_default=True, help="Seconds to wait, at most."
)
def command(url: str | None, timeout: float) -> None:
    """Ask a running apiproxy for its health; exit code 0 if it is well, else 1."""
    try:
        click.echo(ask(url or default_url(os.environ), timeout).strip())
    except Unwell as error:
        click.echo(f"apiproxy: {error}", err=True)
        raise SystemExit(1) from None


def default_url(environ: Mapping[str, str]) -> str:
    """Where the health of the process is asked for.

    Raises:
        Unwell: the settings do not say.
    """
    host = _HERE.get(environ.get("APIPROXY_BIND", "").strip())
    if host is None or any(environ[name] for name in environ if _MOVES.fullmatch(name)):
        return _configured_url()
    return f"http://{host}:{_PORT}/health"


def _configured_url() -> str:
    """The same, from the settings as a whole."""
    from apiproxy.admin.endpoints import management
    from apiproxy.config import ConfigurationError, read_settings

    try:
        settings = read_settings(None, os.environ)
    except ConfigurationError as error:
        raise Unwell("; ".join(error.problems)) from None
    provider = management(settings.providers)
    if provider is not None and provider.port:
        host = _loopback_for(settings.bind[0])
        return f"http://{host}:{provider.port}/health"
    if provider is not None and provider.socket:
        return f"unix:{provider.socket}"
    raise Unwell("the settings do not say which port to ask; use --url")


def _loopback_for(address: str) -> str:
    """The address to call for one that is listened on."""
    if address == "::":
        return "[::1]"
    return f"[{address}]" if ":" in address else _HERE.get(address, address)


def ask(url: str, seconds: float) -> str:
    """The body of the answer.

    Args:
        url: ``http://HOST:PORT/PATH`` or ``unix:/PATH``.
        seconds: to wait, at most.

    Raises:
        Unwell: no answer, or another than 200.
    """
    deadline = monotonic() + seconds
    try:
        with _connect(url, seconds) as line:
            line.sendall(_request(url))
            received = _receive(line, deadline)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unwell(f"{url} does not answer: {reason}") from None
    head, _, body = received.partition(b"\r\n\r\n")
    text = body.decode(errors="replace")
    if re.match(rb"HTTP/1\.[01] 200 ", head) is None:
        status = head.partition(b"\r\n")[0].decode("latin-1") or "nothing"
        raise Unwell(f"{url} answers {status}: {text.strip()}")
    return text


def _connect(url: str, seconds: float) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(seconds)
        try:
            line.connect(parts.path)
        except OSError:
            line.close()
            raise
        return line
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("it is neither http://HOST:PORT/PATH nor unix:/PATH")
    return socket.create_connection((parts.hostname, parts.port or 80), seconds)


def _request(url: str) -> bytes:
    parts = urlsplit(url)
    target = parts.path if parts.scheme == "http" and parts.path else "/health"
    return (
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\n"
        "Accept: application/json\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


def _receive(line: socket.socket, deadline: float) -> bytes:
    received = b""
    while len(received) < _LONGEST:
        line.settimeout(max(0.001, deadline - monotonic()))
        data = line.recv(_LONGEST)
        if not data:
            break
        received += data
    return received
