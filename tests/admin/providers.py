"""Providers to ask about."""

from apiproxy.core.errors import ProxyError
from apiproxy.core.values import Secret
from apiproxy.credentials.static import StaticSource
from apiproxy.providers.base import Credential, Provider

KEY = b"sk-A-key-nobody-may-see"


class _Dialect:
    """Errors are not rendered here."""

    def render(self, error: ProxyError, request_id: str) -> bytes:
        """Nothing."""
        return b""


def provider(
    name: str, port: int | None, key: bytes | None = KEY, base_path: bytes = b""
) -> Provider:
    """A provider of this name, with or without a key."""
    credential = None
    if key is not None:
        source = StaticSource(Secret(key))
        credential = Credential(b"authorization", b"Bearer ", source)
    return Provider(
        name=name,
        title=name.title(),
        port=port,
        host=f"{name}.example",
        base_path=base_path,
        dialect=_Dialect(),
        credential=credential,
        settings=(f"{name.upper()}_API_KEY",),
    )
