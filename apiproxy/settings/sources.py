"""Where values are found: the environment, files it names, systemd credentials, TOML.

The environment beats the configuration file, and empty means absent. A secret ``X`` is looked
for in the variable ``X``, in the file that ``X_FILE`` names, in the file that TOML names, in
the systemd credential ``X``, behind the descriptor ``X_FD``, and with the program that
``X_COMMAND`` names, in this order. What is wrong with a value goes into one list;
the value itself never does.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from apiproxy.core.egress import EgressProxy
from apiproxy.core.values import Secret
from apiproxy.credentials.command import CommandSource
from apiproxy.ledger.open import InRedis
from apiproxy.providers.blueprint import Text, Variable
from apiproxy.settings.commands import split_command
from apiproxy.settings.document import Document, meant
from apiproxy.settings.kinds import Kind, Nothing
from apiproxy.settings.option import Option

_UNSENDABLE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")

# Kubernetes describes every service to every container: a service called apiproxy-openai
# sets APIPROXY_OPENAI_PORT=tcp://10.0.0.1:10000 and a dozen more.
_SERVICE_LINK = re.compile(
    r"APIPROXY_(?:\w+_)?(?:SERVICE_(?:HOST|PORT)\w*|PORT_[0-9]+_(?:TCP|UDP|SCTP)\w*)"
)
_SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://.*")


class Sources:
    """Everything that was said, and what was wrong with it.

    Attributes:
        problems: each begins with the variable or key at fault.
        warnings: what will surprise, but need not stop us.
        secret_names: variables that were found to hold a secret.
        asked: variables that somebody has looked for.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        toml: bytes | None,
        read_file: Callable[[str], bytes],
    ) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.secret_names: set[str] = set()
        self.asked: set[str] = set()
        self.document = Document(toml, self.problems)
        self.environ = environ
        self._read_file = read_file

    def option(self, option: Option) -> Any:
        """The value of a setting, or its default."""
        in_toml = self.document.text(option.key) if option.toml else None
        for name in option.names:
            if text := self._variable(name):
                value = self._parse(Text(text, name), option.kind, option.default)
                if _has_password(value):
                    self.secret_names.add(name)
                return value
        if in_toml is None:
            return option.default
        return self._parse(Text(in_toml, option.key), option.kind, option.default)

    def value(self, name: str, key: str, kind: Kind, default: Any) -> Any:
        """The value of one variable or TOML key that is in no table, or its default."""
        return self.option(Option((name,), key, kind, default, ""))

    def _parse(self, text: Text, kind: Kind, default: Any) -> Any:
        try:
            return kind.parse(text.value)
        except ValueError as error:
            if isinstance(error, Nothing) and text.origin.startswith("AWF_"):
                self.warnings.append(
                    f"{text.origin} {error}; it has no effect as it is"
                )
            else:
                self.problems.append(f"{text.origin} {error}")
            return default

    def _variable(self, name: str) -> str:
        self.asked.add(name)
        text = self.environ.get(name, "").strip()
        if name.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(text):
            return ""
        return text

    def text(self, variable: Variable, table: str) -> Text | None:
        """A provider's setting that is no secret.

        Args:
            variable: the setting.
            table: dotted key of the provider's TOML table.
        """
        key = f"{table}.{variable.key}"
        in_toml = self.document.text(key) if variable.key else None
        if variable.name and (text := variable.clean(self._variable(variable.name))):
            if variable.private:
                self.secret_names.add(variable.name)
            return Text(text, variable.name)
        return None if in_toml is None else Text(variable.clean(in_toml), key)

    def secret(self, variable: Variable, table: str) -> Secret | None:
        """A provider's setting that is a secret; never logged, never shown."""
        key = f"{table}.{variable.key}_file"
        in_toml = self.document.text(key) if variable.key else None
        text = (
            self._plain_secret(variable.name)
            or self._file(
                self._variable(f"{variable.name}_FILE"), f"{variable.name}_FILE"
            )
            or self._file(in_toml or "", key)
            or self._systemd_credential(variable.name)
            or self._descriptor(f"{variable.name}_FD")
        )
        value = "" if text is None else variable.clean(text.value)
        return self._sendable(Text(value, text.origin)) if text and value else None

    def _plain_secret(self, name: str) -> Text | None:
        text = self._variable(name)
        if not text:
            return None
        self.secret_names.add(name)
        if self._variable(f"{name}_FILE"):
            self.problems.append(f"{name} and {name}_FILE are both set; keep one")
        return Text(text, name)

    def _systemd_credential(self, name: str) -> Text | None:
        directory = self._variable("CREDENTIALS_DIRECTORY")
        path = directory and f"{directory}/{name}"
        return self._file(path, name, optional=True)

    def _descriptor(self, name: str) -> Text | None:
        """The text behind a descriptor that we have inherited."""
        number = self._variable(name)
        if not number:
            return None
        if not re.fullmatch(r"[3-9]|[1-9][0-9]{1,3}", number, re.ASCII):
            self.problems.append(
                f"{name} must be the number of a descriptor, 3 or more"
            )
            return None
        return self._file(f"/dev/fd/{number}", name)

    def command(self, variable: Variable, table: str) -> CommandSource | None:
        """The program that gives a provider's secret, if one is named."""
        key = f"{table}.{variable.key}_command"
        in_toml = self.document.text(key) if variable.key else None
        name = f"{variable.name}_COMMAND"
        text = self._variable(name)
        origin = name if text else key
        if not (text or in_toml):
            return None
        try:
            return CommandSource(origin, split_command(text or in_toml or ""))
        except ValueError as error:
            self.problems.append(f"{origin} {error}")
            return None

    def _file(self, path: str, origin: str, *, optional: bool = False) -> Text | None:
        """The text of a file that holds a secret, if a path is given and it has any."""
        data = self.read(path, origin, optional=optional) if path else None
        # Bytes that are not UTF-8 become a character that _sendable refuses.
        text = (data or b"").decode(errors="replace").strip()
        return Text(text, origin) if text else None

    def read(self, path: str, origin: str, *, optional: bool = False) -> bytes | None:
        """A file's bytes; None, and a problem, if it cannot be read.

        The path is not repeated: it may be a secret that was taken for a path.
        """
        try:
            return self._read_file(path)
        except FileNotFoundError:
            if optional:
                return None
            reason = "there is no such file"
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it cannot be read"
        self.problems.append(f"{origin} names a file that is of no use: {reason}")
        return None

    def _sendable(self, text: Text) -> Secret | None:
        """The secret, if it can stand in a header line."""
        if _UNSENDABLE.search(text.value):
            self.problems.append(
                f"{text.origin} holds characters that cannot stand in a header"
            )
            return None
        return Secret(text.value.encode("latin-1"))

    def report_unknown(self) -> None:
        """Add what nobody has asked for: problems for ours, a warning for others'."""
        self.document.report_unknown()
        strangers = sorted(set(self.environ) - self.asked)
        for name in strangers:
            if name.startswith("APIPROXY_") and not self._is_service_link(name):
                self.problems.append(
                    f"{name} is not a setting{meant(name, self.asked)}"
                )
        ignored = [name for name in strangers if name.startswith("AWF_")]
        if ignored:
            self.warnings.append(f"these have no effect here: {', '.join(ignored)}")

    def _is_service_link(self, name: str) -> bool:
        return bool(
            _SERVICE_LINK.fullmatch(name)
            or _SERVICE_ADDRESS.fullmatch(self.environ[name])
        )


def _has_password(value: object) -> bool:
    """Whether the variable that this stood in held a secret besides."""
    if isinstance(value, EgressProxy):
        return value.authorization is not None
    return isinstance(value, InRedis) and value.access.password is not None
