"""What a provider is: a value, with the few rules in which providers differ as methods."""

import re
from typing import Protocol

from attrs import field, frozen

from apiproxy.core.egress import bracketed
from apiproxy.core.errors import CredentialAwaited, NotConfigured, ProxyError
from apiproxy.core.values import Fields, Secret


class SecretSource(Protocol):
    """Where a secret comes from at this moment."""

    @property
    def awaited(self) -> bool:
        """Whether there may be one later if there is none now."""

    def current(self) -> Secret | None:
        """The secret to use now, or None while there is none."""


class Dialect(Protocol):
    """How a provider's SDKs expect an error to look."""

    def render(self, error: ProxyError, request_id: str) -> bytes:
        """The JSON body, UTF-8, of an error answer."""


@frozen
class Credential:
    """A secret and the header line it travels in.

    Attributes:
        name: header name as it is written upstream, such as ``Authorization``.
        scheme: what stands before the secret, such as ``Bearer `` with its space.
        source: gives the secret.
    """

    name: bytes
    scheme: bytes
    source: SecretSource

    @property
    def slots(self) -> frozenset[bytes]:
        """The header name in lower case, as a set."""
        return frozenset({self.name.lower()})

    def field(self) -> tuple[bytes, bytes] | None:
        """The header line with the secret in it, or None while there is no secret.

        This is applied last, when the bytes for upstream are made, and is kept nowhere.
        """
        secret = self.source.current()
        return None if secret is None else (self.name, self.scheme + secret.reveal())


@frozen
class Probe:
    """A harmless request whose answer tells whether a key is accepted.

    Attributes:
        method: of the request.
        path: base path included.
        body: JSON, or empty.
        fields: header lines beside the credential.
    """

    method: bytes
    path: bytes
    body: bytes = b""
    fields: tuple[tuple[bytes, bytes], ...] = ()

    def verdict(self, status: int) -> str:
        """``valid``, ``auth_rejected`` or ``inconclusive``.

        A 400 is valid: the key was looked at before the body was.
        """
        if 200 <= status < 300 or status == 400:
            return "valid"
        return "auth_rejected" if status in (401, 403) else "inconclusive"


@frozen(kw_only=True)
class Provider:
    """One listener and the provider behind it.

    Attributes:
        name: short, in logs, metrics and configuration: ``openai``.
        title: for people: ``OpenAI``.
        port: TCP port the agents call, 0 for any free one; None to listen on no port.
        socket: path of the Unix socket the agents call; None for none.
        host: upstream host, lower case, IPv6 without brackets; all bytes go there.
        host_port: upstream TCP port.
        base_path: put in front of the agent's path unless it is there; ``b""`` for none.
        dialect: how our errors look.
        credential: what is injected; None when nothing is configured.
        settings: the settings that would configure a credential, for the error message.
        defaults: header lines added when the agent sent none of that name (lower case).
        probe: tells whether the key is accepted; None where there is none to be trusted.
        doubled: paths that its own SDKs begin with two slashes, of which one is dropped.
        authority: the ``Host`` upstream sees; the port only where it is not 443.
    """

    name: str
    title: str
    port: int | None
    socket: str | None = None
    host: str
    host_port: int = 443
    base_path: bytes = b""
    dialect: Dialect
    credential: Credential | None = None
    settings: tuple[str, ...] = ()
    defaults: Fields = field(factory=list)
    probe: Probe | None = None
    doubled: re.Pattern[bytes] | None = None
    authority: bytes = field(init=False)

    @authority.default
    def _authority(self) -> bytes:
        host = bracketed(self.host)
        if self.host_port == 443:
            return host.encode("ascii")
        return f"{host}:{self.host_port}".encode("ascii")

    def not_configured(self) -> NotConfigured | CredentialAwaited | None:
        """The refusal that says which setting is missing; None when we can serve."""
        if self.credential is not None and self.credential.source.current() is not None:
            return None
        if self.credential is not None and self.credential.source.awaited:
            return CredentialAwaited()
        return NotConfigured(
            f"{self.title} is not configured; set {' or '.join(self.settings)}"
            " where apiproxy runs."
        )

    @property
    def secrets(self) -> list[Secret]:
        """The secrets that it injects as they are now."""
        secret = None if self.credential is None else self.credential.source.current()
        return [] if secret is None else [secret]

    @property
    def own_slots(self) -> frozenset[bytes]:
        """Header names, lower case, that only we fill on this provider.

        The agent's lines of these names are dropped like those of any credential slot.
        """
        return frozenset() if self.credential is None else self.credential.slots

    def kept(self, fields: Fields) -> Fields:
        """Of the agent's lines that may pass, those this provider lets stand.

        Comes before ``additions``, which is given what this returns.
        """
        return fields

    def credential_for(self, method: bytes, path: bytes) -> Credential | None:
        """The credential for one request (path: upstream's, without the query)."""
        return self.credential

    def additions(self, method: bytes, path: bytes, present: Fields) -> Fields:
        """Header lines to add beside the credential.

        Args:
            method: of the request.
            path: upstream's, without the query.
            present: the agent's lines that will be sent.
        """
        if not self.defaults:
            return []
        names = {name.lower() for name, _ in present}
        return [line for line in self.defaults if line[0].lower() not in names]
