"""One row of the table of settings."""

from typing import Any

from attrs import frozen

from apiproxy.settings.kinds import Kind


@frozen
class Option:
    """One setting.

    Attributes:
        names: of the environment variables; the first that is set counts.
        key: in TOML, with dots; also says where ``Settings`` keeps the value.
        kind: how it is read.
        default: when nothing is said.
        doc: one line for the reference.
        toml: whether the configuration file may set it too.
    """

    names: tuple[str, ...]
    key: str
    kind: Kind
    default: Any
    doc: str
    toml: bool = True
