"""``apiproxy check``: what would listen where, and what is wrong with the settings."""

import os
from collections.abc import Iterator

import click

from apiproxy.cli.table import show_table
from apiproxy.config import (
    ConfigurationError,
    Settings,
    check_authorities,
    read_settings,
)
from apiproxy.core.egress import bracketed
from apiproxy.core.errors import CredentialAwaited
from apiproxy.providers.base import Provider
from apiproxy.wire.trust import is_usable

_HEAD = ("PROVIDER", "ADDRESS", "UPSTREAM", "WAY OUT", "KEY")


@click.command(name="check")
@click.option(
    "-c", "--config", metavar="FILE", help="TOML file (also APIPROXY_CONFIG)."
)
def command(config: str | None) -> None:
    """Show what the settings mean, or all that is wrong with them (exit code 1)."""
    try:
        settings = read_settings(config, os.environ)
        check_authorities(settings, is_usable)
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(f"apiproxy: {problem}", err=True)
        raise SystemExit(1) from None
    show_table(_HEAD, rows(settings))
    for warning in settings.warnings:
        click.echo(f"warning: {warning}")


def rows(settings: Settings) -> Iterator[tuple[str, ...]]:
    """One row for each listener, or for each address of one."""
    for provider in settings.providers:
        what = (_upstream(provider), _way_out(settings, provider), _key(provider))
        for address in _addresses(settings, provider):
            yield provider.name, address, *what


def _addresses(settings: Settings, provider: Provider) -> Iterator[str]:
    if provider.port is not None:
        port = provider.port or "any free port"
        for host in settings.bind:
            yield f"{bracketed(host)}:{port}"
    if provider.socket is not None:
        yield provider.socket


def _upstream(provider: Provider) -> str:
    return (provider.authority + provider.base_path).decode("latin-1")


def _way_out(settings: Settings, provider: Provider) -> str:
    proxy = settings.proxy_for(provider)
    return "direct" if proxy is None else proxy.shown


def _key(provider: Provider) -> str:
    missing = provider.not_configured()
    if missing is None:
        return "configured"
    if isinstance(missing, CredentialAwaited):
        return "from a program"
    return f"none; set {' or '.join(provider.settings)}"
