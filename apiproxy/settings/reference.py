"""The reference of all settings, written from the tables that read them."""

from collections.abc import Iterable, Iterator

from apiproxy.providers.blueprint import Blueprint, Variable
from apiproxy.providers.generic import variables as own_variables
from apiproxy.providers.table import BUILT_IN
from apiproxy.settings.listeners import listen_variables
from apiproxy.settings.option import Option
from apiproxy.settings.options import OPTIONS
from apiproxy.settings.policy_options import POLICY

_HEAD = "| Variable | TOML key | Default | Meaning |\n|---|---|---|---|"

_Row = tuple[str, str, str, str]


def reference() -> str:
    """All settings as Markdown: the service, its limits and budgets, each provider."""
    service = [option for option in OPTIONS if option not in POLICY]
    parts = ["## Service", _table(map(_option_row, service))]
    parts += ["## Limits, budgets and models", _table(map(_option_row, POLICY))]
    for blueprint in BUILT_IN:
        parts += [f"## {blueprint.title}", _table(_provider_rows(blueprint))]
    parts += ["## A provider of your own, for example `mistral`", _table(_own_rows())]
    return "\n\n".join(parts) + "\n"


def _table(rows: Iterable[_Row]) -> str:
    return "\n".join([_HEAD, *(f"| {' | '.join(row)} |" for row in rows)])


def _option_row(option: Option) -> _Row:
    names = ", ".join(f"`{name}`" for name in option.names)
    key = f"`{option.key}`" if option.toml else ""
    default = "" if option.default is None else option.kind.show(option.default)
    return names, key, default, option.doc + _choice(option.kind.words)


def _choice(words: tuple[str, ...]) -> str:
    """What one may say, where only a few words will do."""
    if not words:
        return ""
    *others, last = (f"`{word}`" for word in words)
    return f" {', '.join(others)} or {last}."


def _provider_rows(blueprint: Blueprint) -> Iterator[_Row]:
    yield from _listen_rows(blueprint.name, str(blueprint.port))
    yield from _variable_rows(blueprint.name, blueprint.variables)


def _own_rows() -> Iterator[_Row]:
    yield from _listen_rows("mistral", "required, or a socket")
    yield "", "`providers.mistral.title`", "its name", "What messages call it."
    meaning = "Name of the variable that holds the key."
    yield "", "`providers.mistral.key_env`", "MISTRAL_API_KEY", meaning
    yield from _variable_rows("mistral", own_variables("MISTRAL_API_KEY"))


def _listen_rows(name: str, port: str) -> Iterator[_Row]:
    port_variable, socket_variable = listen_variables(name)
    meaning = "Port to listen on, 0 for any free one, `off` for none."
    yield f"`{port_variable}`", f"`providers.{name}.port`", port, meaning
    meaning = "Unix socket to listen on, beside the port or with the port off."
    yield f"`{socket_variable}`", f"`providers.{name}.socket`", "", meaning


def _variable_rows(name: str, variables: Iterable[Variable]) -> Iterator[_Row]:
    for one in variables:
        names = f"`{one.name}`" if one.name else ""
        key = f"{one.key}_file" if one.secret else one.key
        if one.secret:
            names += f", `{one.name}_FILE`"
        toml = f"`providers.{name}.{key}`" if one.key else ""
        yield names, toml, one.default, one.doc
