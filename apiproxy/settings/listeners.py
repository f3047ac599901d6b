"""From settings to providers: every blueprint is given its values and built."""

import re
from collections.abc import Callable, Iterable, Iterator

from apiproxy.credentials.static import StaticSource
from apiproxy.providers.base import Provider, SecretSource
from apiproxy.providers.blueprint import Blueprint, Given, Variable
from apiproxy.providers.generic import NAME, generic
from apiproxy.providers.table import BUILT_IN
from apiproxy.settings.kinds import PORT, SOCKET
from apiproxy.settings.sources import Sources

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNSAID = -1


def read_providers(sources: Sources, new_id: Callable[[], str]) -> tuple[Provider, ...]:
    """The providers that listen somewhere; problems go to ``sources``."""
    built: dict[str, Provider] = {}
    for blueprint in (*BUILT_IN, *_configured(sources)):
        given = _given(sources, blueprint, built, new_id)
        built[blueprint.name] = blueprint.build(given)
    listening = [one for one in built.values() if one.port is not None or one.socket]
    sources.problems += _collisions(listening)
    return tuple(listening)


def listen_variables(name: str) -> tuple[str, str]:
    """The variables for port and socket of a provider."""
    stem = f"APIPROXY_{name.upper().replace('-', '_')}"
    return f"{stem}_PORT", f"{stem}_SOCKET"


def _configured(sources: Sources) -> Iterator[Blueprint]:
    """Blueprints of the providers that only the configuration file knows."""
    known = {blueprint.name for blueprint in BUILT_IN}
    for name in sources.document.tables("providers"):
        if name in known:
            continue
        if NAME.fullmatch(name) is None:
            sources.problems.append(f"providers.{name} must be named in a-z, 0-9 and -")
            continue
        yield generic(name, _title(sources, name), _key_variable(sources, name))


def _title(sources: Sources, name: str) -> str:
    return sources.document.text(f"providers.{name}.title") or name


def _key_variable(sources: Sources, name: str) -> str:
    key = f"providers.{name}.key_env"
    default = f"{name.upper().replace('-', '_')}_API_KEY"
    variable = sources.document.text(key) or default
    if _VARIABLE_NAME.fullmatch(variable) is None:
        # Not repeated: someone may have put the key itself here.
        sources.problems.append(f"{key} must name an environment variable")
        return default
    return variable


def _given(
    sources: Sources,
    blueprint: Blueprint,
    built: dict[str, Provider],
    new_id: Callable[[], str],
) -> Given:
    table = f"providers.{blueprint.name}"
    port, socket = _listen(sources, blueprint)
    return Given(
        port=port,
        socket=socket,
        texts={
            variable.label: text
            for variable in blueprint.variables
            if not variable.secret and (text := sources.text(variable, table))
        },
        secrets=dict(_secrets(sources, blueprint.variables, table)),
        built=built,
        new_id=new_id,
        problems=sources.problems,
        warnings=sources.warnings,
    )


def _secrets(
    sources: Sources, variables: Iterable[Variable], table: str
) -> Iterator[tuple[str, SecretSource]]:
    """Where to get the secrets that are configured, by label."""
    for variable in variables:
        if not variable.secret:
            continue
        secret = sources.secret(variable, table)
        command = sources.command(variable, table)
        if secret is not None:
            yield variable.label, StaticSource(secret)
        elif command is not None:
            yield variable.label, command


def _listen(sources: Sources, blueprint: Blueprint) -> tuple[int | None, str | None]:
    """Port and socket."""
    name = blueprint.name
    port_variable, socket_variable = listen_variables(name)
    default = _UNSAID if blueprint.port is None else blueprint.port
    port = sources.value(port_variable, f"providers.{name}.port", PORT, default)
    socket = sources.value(socket_variable, f"providers.{name}.socket", SOCKET, None)
    if port == _UNSAID:
        if socket is None:
            sources.problems.append(f"providers.{name}.port (or socket) must be set")
        port = None
    return port, socket


def _collisions(providers: Iterable[Provider]) -> Iterator[str]:
    """A problem for each port or socket that is taken twice; port 0 never is."""
    taken: dict[int | str, str] = {}
    for provider in providers:
        variables = listen_variables(provider.name)
        for place, variable in zip(
            (provider.port, provider.socket), variables, strict=True
        ):
            if not place:
                continue
            other = taken.setdefault(place, provider.name)
            if other != provider.name:
                yield f"{variable} must differ from that of {other}, which has it too"
