"""What Copilot's hosts want beside the credential, request by request."""

from attrs import field, frozen

from apiproxy.core.values import Fields, Secret
from apiproxy.providers.base import Credential, Provider

_API_VERSIONS = {
    b"/auto": b"2026-08-01",
    b"/models/session": b"2025-07-16",
    b"/models/session/intent": b"2025-07-16",
}
"""Endpoints that are refused without a version, and the version they were made for."""

_INTERACTION, _INTEGRATION = b"x-interaction-id", b"copilot-integration-id"


def is_copilot_host(host: str) -> bool:
    """Whether GitHub itself serves Copilot there; not so on ``ghe.com``."""
    return host == "githubcopilot.com" or host.endswith(".githubcopilot.com")


@frozen(kw_only=True)
class CopilotProvider(Provider):
    """The Copilot listener.

    Attributes:
        models_credential: for the list of models, when it differs from ``credential``.
        extra: header lines for a BYOK provider; never sent to GitHub.
        integration_id: who we say we are.
        interaction_id: ties the requests of one run together, for prompt caching.
    """

    models_credential: Credential | None = None
    extra: Fields = field(factory=list, repr=False)
    integration_id: bytes
    interaction_id: bytes

    @property
    def secrets(self) -> list[Secret]:
        """Those of both credentials, and the values of the extra lines."""
        models = self.models_credential
        secret = None if models is None else models.source.current()
        found = super().secrets + [Secret(value) for _, value in self.extra]
        return found if secret is None else [*found, secret]

    @property
    def own_slots(self) -> frozenset[bytes]:
        """The credential's header and the configured extra ones."""
        return super().own_slots | {name.lower() for name, _ in self.extra}

    def kept(self, fields: Fields) -> Fields:
        """The lines, with the two ids at most once and never empty."""
        if not is_copilot_host(self.host):
            return fields
        seen: set[bytes] = set()
        kept = []
        for name, value in fields:
            key = name.lower()
            if key in (_INTERACTION, _INTEGRATION):
                if not value or key in seen:
                    continue
                seen.add(key)
            kept.append((name, value))
        return kept

    def credential_for(self, method: bytes, path: bytes) -> Credential | None:
        """The GitHub token for the list of models, else the usual one."""
        if self._lists_models(method, path):
            return self.models_credential
        return self.credential

    def additions(self, method: bytes, path: bytes, present: Fields) -> Fields:
        """Version, ids and initiator for GitHub's hosts; BYOK's lines for others."""
        names = {name.lower() for name, _ in present}
        wanted = self._version(method, path) + self._ids()
        lines = [line for line in wanted if line[0].lower() not in names]
        if not self._lists_models(method, path):
            lines += self.extra
        return lines

    def _lists_models(self, method: bytes, path: bytes) -> bool:
        if self.models_credential is None or method != b"GET":
            return False
        path = self._own_path(path)
        return path == b"/models" or path.startswith(b"/models/")

    def _version(self, method: bytes, path: bytes) -> Fields:
        catalogue = is_copilot_host(self.host) or self.host.endswith(".ghe.com")
        version = _API_VERSIONS.get(self._own_path(path))
        if version is None or method != b"POST" or not catalogue:
            return []
        return [(b"X-GitHub-Api-Version", version)]

    def _ids(self) -> Fields:
        if not is_copilot_host(self.host):
            return []
        return [
            (b"X-Initiator", b"agent"),
            (b"X-Interaction-Id", self.interaction_id),
            (b"Copilot-Integration-Id", self.integration_id),
        ]

    def _own_path(self, path: bytes) -> bytes:
        """The path below the base path."""
        if self.base_path and path.startswith(self.base_path + b"/"):
            return path[len(self.base_path) :]
        return path
