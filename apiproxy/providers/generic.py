"""A provider made by configuration alone."""

import re

from apiproxy.providers.base import Credential, Dialect, Provider
from apiproxy.providers.blueprint import (
    Blueprint,
    Given,
    Upstream,
    Variable,
    parse_header_value,
)
from apiproxy.providers.dialects import DIALECTS, OpenAIDialect

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
"""What such a provider may be called; also a part of variable names."""


def generic(name: str, title: str, key_env: str) -> Blueprint:
    """The blueprint of a provider from a TOML table.

    Args:
        name: of the table and the provider.
        title: for people.
        key_env: name of the environment variable that holds its key.
    """

    def build(given: Given) -> Provider:
        if "target" not in given.texts:
            given.problems.append(
                f"providers.{name}.target must name the upstream host"
            )
        upstream = given.target("target") or Upstream("invalid")
        return Provider(
            name=name,
            title=title,
            port=given.port,
            socket=given.socket,
            host=upstream.host,
            host_port=upstream.port,
            base_path=given.base_path("base_path") or b"",
            dialect=given.read("dialect", _dialect) or OpenAIDialect(),
            credential=_credential(given, key_env),
            settings=(key_env,),
        )

    return Blueprint(
        name=name, title=title, port=None, variables=variables(key_env), build=build
    )


def variables(key_env: str) -> tuple[Variable, ...]:
    """The settings of such a provider."""
    return (
        Variable(name=key_env, key="key", doc="The key.", secret=True),
        Variable(key="target", doc="Upstream host, host:port or https URL; required."),
        Variable(
            key="base_path",
            doc="Put in front of every path that does not begin with it.",
        ),
        Variable(
            key="header", doc="Header that carries the key.", default="Authorization"
        ),
        Variable(
            key="scheme",
            doc="Stands before the key.",
            default="Bearer in `Authorization`, else nothing",
        ),
        Variable(
            key="dialect",
            doc="How errors look: " + ", ".join(DIALECTS) + ".",
            default="openai",
        ),
    )


def _dialect(text: str) -> Dialect:
    if text not in DIALECTS:
        raise ValueError("must be one of " + ", ".join(DIALECTS))
    return DIALECTS[text]


def _credential(given: Given, key_env: str) -> Credential | None:
    name = given.header_name("header", b"Authorization")
    default = b"Bearer" if name.lower() == b"authorization" else b""
    scheme = given.read("scheme", parse_header_value)
    scheme = default if scheme is None else scheme
    source = given.secrets.get(key_env)
    if source is None:
        return None
    return Credential(name, scheme + b" " if scheme else b"", source)
