"""What a service says of its own life: the lines of start, reload and stop."""

from collections.abc import Iterator

from apiproxy import __version__
from apiproxy.config import Settings
from apiproxy.providers.base import Provider
from apiproxy.telemetry.lines import LineLog


class Herald:
    """Says it, once for all processes that serve together."""

    def __init__(self, log: LineLog) -> None:
        self._log = log

    def listening(self, provider: Provider, address: str) -> None:
        """A port or socket is open."""
        missing = provider.not_configured()
        self._log.log(
            "info",
            "listening",
            provider=provider.name,
            address=address,
            upstream_host=provider.host,
            configured=missing is None,
            hint=None if missing is None else missing.message,
        )

    def up(self, settings: Settings, **more: object) -> None:
        """It serves; with the warnings that an operator should hear now."""
        self._warn("startup", settings)
        self._log.log("info", "callers", message=_about_callers(settings))
        configured = [
            provider.name
            for provider in settings.providers
            if provider.not_configured() is None
        ]
        self._log.log(
            "info",
            "startup",
            message="apiproxy is up",
            version=__version__,
            providers_configured=configured,
            **more,
        )

    def reloaded(self, old: Settings, new: Settings) -> None:
        """Other settings are in force, as far as a running service can take them."""
        for name in needing_restart(old, new):
            message = "its listener changes only by a restart"
            self._log.log("warning", "reload", provider=name, message=message)
        for what in _opened_at_start(old, new):
            message = f"{what} changes only by a restart"
            self._log.log("warning", "reload", message=message)
        self._warn("reload", new)
        self._log.log("info", "reload", message="settings are in force")

    def draining(self, live: int) -> None:
        """It stops; so many exchanges are under way."""
        self._log.log("info", "shutdown", message="draining", live=live)

    def drained(self, *, in_order: bool) -> None:
        """It has stopped."""
        message = "all exchanges ended" if in_order else "live exchanges were aborted"
        self._log.log("info", "shutdown", message=message)

    def strict(self) -> None:
        """A key was refused, and that ends it."""
        self._log.log("error", "key_validation_strict_exit")

    def _warn(self, event: str, settings: Settings) -> None:
        for warning in settings.warnings:
            self._log.log("warning", event, message=warning)


def _about_callers(settings: Settings) -> str:
    """Whether those who come are asked who they are."""
    callers = settings.access.callers
    if callers is None:
        return (
            "callers are not told apart: whoever reaches a port uses its key;"
            " see APIPROXY_CALLERS_FILE"
        )
    return f"only callers with a token are let in; {len(callers)} are listed"


def needing_restart(old: Settings, new: Settings) -> Iterator[str]:
    """The providers whose listener would not be as the new settings want it.

    Args:
        old: settings that say what is listened on.
        new: settings to come.
    """
    known = {provider.name: provider for provider in old.providers}
    wanted = {provider.name: provider for provider in new.providers}
    yield from known.keys() - wanted.keys()
    for name, provider in wanted.items():
        moved = name in known and _place(known[name]) != _place(provider)
        if moved or name not in known or new.bind != old.bind:
            yield name


def _opened_at_start(old: Settings, new: Settings) -> Iterator[str]:
    """What of the new settings a service that runs cannot take, but for listeners."""
    if new.workers != old.workers:
        yield "the number of workers"
    if new.ledger_place != old.ledger_place:
        yield "the place of the ledger"
    if _usage_log(new) != _usage_log(old):
        yield "the usage log"
    if new.control_socket != old.control_socket:
        yield "the control socket"


def _usage_log(settings: Settings) -> tuple[str | None, int, int]:
    return settings.usage_log_dir, settings.usage_log_bytes, settings.usage_log_files


def _place(provider: Provider) -> tuple[int | None, str | None]:
    return provider.port, provider.socket
