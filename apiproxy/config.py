"""Settings: one frozen value, made once, with all that is wrong reported at once."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from apiproxy.core.egress import EgressProxy, NoProxy
from apiproxy.core.ids import fresh_ids
from apiproxy.core.limits import Deadlines, Limits, MiB
from apiproxy.core.values import Secret
from apiproxy.ledger.open import InFolder, InRedis, LedgerPlace, Nowhere
from apiproxy.policy.overlay import NO_PRICES, Overlay, read_overlay
from apiproxy.policy.rules import Rules
from apiproxy.providers.base import Provider
from apiproxy.settings.access import Access
from apiproxy.settings.listeners import read_providers
from apiproxy.settings.options import OPTIONS
from apiproxy.settings.origin import Origin, read_once
from apiproxy.settings.rules import rules_of
from apiproxy.settings.sources import Sources

__all__ = [
    "ConfigurationError",
    "Origin",
    "Settings",
    "check_authorities",
    "collect",
    "read_settings",
    "remake",
]


class ConfigurationError(Exception):
    """The configuration makes no sense.

    Attributes:
        problems: a sentence for each thing that is wrong, which begins with the variable
            or TOML key at fault and holds no secret.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class LedgerUnusable(ConfigurationError):
    """The ledger is not where the settings say, or must not be opened there."""

    def __init__(self, error: Exception) -> None:
        where = "APIPROXY_STATE_DIR, APIPROXY_LEDGER"
        super().__init__([f"{where}: the ledger cannot be opened: {error}"])


@frozen(kw_only=True)
class Settings:
    """All that can be set.

    Attributes:
        providers: those that listen somewhere, configured or not.
        bind: IP addresses that every port listens on.
        proxy: the egress proxy; None for direct connections.
        no_proxy: hosts that are reached without it.
        require_proxy: whether going without it is forbidden.
        ca_file: path of a PEM file with further authorities; None for none.
        ssl_cert_file: the same, from ``SSL_CERT_FILE``.
        log_level: debug, info, warning or error.
        validate_keys: off, warn or strict.
        lean_imports: whether packages that serving does not need are left out.
        lean_io: whether sockets are written to and served without Twisted's detours.
        grace: seconds that live exchanges get at shutdown.
        watch: seconds between two looks at files that were read; 0: nobody looks.
        websockets: whether WebSockets are carried.
        workers: processes that serve.
        usage_log_dir: directory of the usage log; None for no log.
        usage_log_bytes: after which its file is turned over.
        usage_log_files: earlier files that are kept.
        state_dir: directory of what outlives a restart; None for nothing.
        metering: whether answers are read for what they used.
        ledger: where budgets are counted; None for ``state_dir``, or memory.
        ledger_away: whether requests pass while the ledger is away: closed or open.
        max_held: bytes of request bodies that are held at once.
        run_id: of the run that is counted and limited.
        control_socket: path of the control socket; None for none.
        deadlines: how long we wait.
        limits: how much we take.
        rules: limits in a time, budgets, prices, and which models may be used.
        access: who may come, and what may be asked for.
        warnings: what an operator should hear at start.
        secret_names: environment variables that hold a secret.
    """

    providers: tuple[Provider, ...] = ()
    bind: tuple[str, ...] = ("127.0.0.1",)
    proxy: EgressProxy | None = None
    no_proxy: NoProxy = field(factory=NoProxy)
    require_proxy: bool = False
    ca_file: str | None = None
    ssl_cert_file: str | None = None
    log_level: str = "info"
    validate_keys: str = "warn"
    lean_imports: bool = True
    lean_io: bool = True
    grace: float = 20.0
    watch: float = 5.0
    websockets: bool = True
    workers: int = 1
    usage_log_dir: str | None = None
    usage_log_bytes: int = 64 * MiB
    usage_log_files: int = 4
    state_dir: str | None = None
    metering: bool = True
    ledger: LedgerPlace | None = None
    ledger_away: str = "closed"
    max_held: int = 256 * MiB
    run_id: str = "default"
    control_socket: str | None = None
    deadlines: Deadlines = field(factory=Deadlines)
    limits: Limits = field(factory=Limits)
    rules: Rules = field(factory=Rules)
    access: Access = field(factory=Access)
    warnings: list[str] = field(factory=list)
    secret_names: frozenset[str] = frozenset()

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str],
        toml: bytes | None,
        read_file: Callable[[str], bytes],
        new_id: Callable[[], str],
    ) -> "Settings":
        """Read settings.

        Args:
            environ: the environment; beats the configuration file.
            toml: text of the configuration file; None if there is none.
            read_file: gives the bytes of the file at a path, or raises OSError.
            new_id: makes an id that is not used twice.

        Raises:
            ConfigurationError: with every problem there is.
        """
        sources = Sources(environ, toml, read_file)
        settings = _read(sources, new_id)
        sources.report_unknown()
        _check_egress(sources, settings)
        if sources.problems:
            raise ConfigurationError(list(dict.fromkeys(sources.problems)))
        return settings

    def in_place_of(self, old: "Settings") -> "Settings":
        """These, but for what is opened or decided once, at the start.

        Providers are those that are listened for, where they are listened for. One that is
        there no more has lost its key, because that may have been withdrawn.

        Args:
            old: those in force up to now.
        """
        known = {provider.name: provider for provider in self.providers}
        return evolve(
            self,
            providers=tuple(
                evolve(
                    known.get(provider.name) or evolve(provider, credential=None),
                    port=provider.port,
                    socket=provider.socket,
                )
                for provider in old.providers
            ),
            bind=old.bind,
            workers=old.workers,
            state_dir=old.state_dir,
            ledger=old.ledger,
            usage_log_dir=old.usage_log_dir,
            usage_log_bytes=old.usage_log_bytes,
            usage_log_files=old.usage_log_files,
            control_socket=old.control_socket,
        )

    @property
    def ledger_place(self) -> LedgerPlace:
        """Where budgets are counted; ``Nowhere`` is in memory."""
        if self.ledger is not None:
            return self.ledger
        if self.state_dir is not None:
            return InFolder(Path(self.state_dir))
        return Nowhere()

    @property
    def secrets(self) -> list[Secret]:
        """Every secret there is now, so that none of them gets into a log."""
        found = [secret for provider in self.providers for secret in provider.secrets]
        if isinstance(self.ledger, InRedis) and self.ledger.access.password is not None:
            found.append(self.ledger.access.password)
        return found + ([] if self.proxy is None else self.proxy.secrets)

    def bypasses(self, host: str, port: int) -> bool:
        """Whether this host (IPv6 without brackets) is reached without the proxy."""
        return self.proxy is None or self.no_proxy.bypasses(host, port)

    def proxy_for(self, provider: Provider) -> EgressProxy | None:
        """The proxy on the way to a provider; None for a direct connection."""
        bypassed = self.bypasses(provider.host, provider.host_port)
        return None if bypassed else self.proxy

    @property
    def ca_files(self) -> tuple[str, ...]:
        """Paths of all PEM files to trust beside the system's authorities."""
        return tuple(path for path in (self.ssl_cert_file, self.ca_file) if path)


def read_settings(path: str | None, environ: Mapping[str, str]) -> Settings:
    """Settings from the environment and the configuration file; see ``collect``."""
    return collect(path, environ)[0]


def collect(
    path: str | None, environ: Mapping[str, str], earlier: Origin | None = None
) -> tuple[Settings, Origin]:
    """Settings from the environment and the configuration file, and what they are made of.

    Args:
        path: of the file; None for ``APIPROXY_CONFIG``, or none.
        environ: the environment.
        earlier: what the settings were made of before. What stood behind a descriptor can
            be read once only, and is taken from there.

    Raises:
        ConfigurationError: with every problem there is.
    """
    environ = dict(environ)
    named = environ.pop("APIPROXY_CONFIG", "")  # says where settings are, and is none
    toml = None
    if path:
        toml = _read_toml(path, "--config")
    elif named:
        toml = _read_toml(named, "APIPROXY_CONFIG")
    origin = Origin.of(environ, toml)
    read = origin.noting(lambda name: read_once(name, earlier))
    return Settings.read(environ, toml, read, fresh_ids(os.urandom)), origin


def _read_toml(path: str, origin: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        problem = f"{origin}: {path} cannot be read: {error.strerror}"
        raise ConfigurationError([problem]) from error


def remake(origin: Origin) -> Settings:
    """The settings that are made of this, whatever files hold by now.

    Raises:
        ConfigurationError: with every problem there is.
    """
    new_id = fresh_ids(os.urandom)
    return Settings.read(origin.variables(), origin.toml, origin.read, new_id)


def check_authorities(settings: Settings, usable: Callable[[str], bool]) -> None:
    """See that the files of authorities hold some.

    Args:
        settings: name the files.
        usable: whether OpenSSL can use the file at a path.

    Raises:
        ConfigurationError: naming each variable whose file it cannot.
    """
    files = {
        "SSL_CERT_FILE": settings.ssl_cert_file,
        "APIPROXY_CA_FILE": settings.ca_file,
    }
    problems = [
        f"{name}: there is no usable certificate in {path}"
        for name, path in files.items()
        if path and not usable(path)
    ]
    if problems:
        raise ConfigurationError(problems)


def _read(sources: Sources, new_id: Callable[[], str]) -> Settings:
    # Any: each option's kind gives the type that the attribute of its name has.
    sections: dict[str, dict[str, Any]] = {}
    for option in OPTIONS:
        section, _, name = option.key.rpartition(".")
        sections.setdefault(section, {})[name] = sources.option(option)
    settings = Settings(
        providers=read_providers(sources, new_id),
        deadlines=Deadlines(**sections["deadlines"]),
        limits=Limits(**sections["limits"]),
        rules=rules_of(
            sections,
            _prices(sources, sections["pricing"]["file"]),
            sources.warnings.append,
        ),
        access=Access.read(sources, sections["access"]),
        **sections[""],
        **sections["egress"],
        warnings=sources.warnings,
        secret_names=frozenset(sources.secret_names),
    )
    _check_files(sources, settings)
    return settings


def _prices(sources: Sources, path: str | None) -> Overlay:
    """What the file of prices says."""
    data = sources.read(path, "APIPROXY_PRICES_FILE") if path else None
    if data is None:
        return NO_PRICES
    try:
        overlay = read_overlay(data)
    except ValueError as error:
        sources.problems.append(f"APIPROXY_PRICES_FILE {error}")
        return NO_PRICES
    sources.problems += [
        f"APIPROXY_PRICES_FILE must give {model} a cost of at least 0 for each token"
        for model in overlay.faults
    ]
    return overlay


def _check_files(sources: Sources, settings: Settings) -> None:
    if settings.ca_file:
        sources.read(settings.ca_file, "APIPROXY_CA_FILE")
    if settings.ssl_cert_file:
        sources.read(settings.ssl_cert_file, "SSL_CERT_FILE")


def _check_egress(sources: Sources, settings: Settings) -> None:
    """Say once that connections are direct, or refuse them if a proxy is required."""
    if settings.proxy is None and settings.require_proxy:
        sources.problems.append("HTTPS_PROXY must be set: APIPROXY_REQUIRE_PROXY is on")
    elif settings.proxy is None:
        sources.warnings.append(
            "HTTPS_PROXY is not set: providers are reached directly, without a proxy"
        )
    elif settings.require_proxy:
        sources.problems += [
            f"NO_PROXY must not cover {provider.host} ({provider.name}):"
            " APIPROXY_REQUIRE_PROXY is on"
            for provider in settings.providers
            if settings.proxy_for(provider) is None
        ]
