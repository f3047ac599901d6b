"""The border: what other libraries fail with, translated once into our errors."""

import ssl

from twisted.internet.defer import CancelledError, TimeoutError as TimedOut
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    TimeoutError as DialTimeout,
)

from apiproxy.core.errors import (
    AgentGone,
    EgressSilent,
    EgressUnreachable,
    InternalError,
    ProxyError,
    UpstreamReset,
    UpstreamSilent,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)


def translate_dial(error: BaseException, *, tunnelled: bool) -> ProxyError:
    """What went wrong while a line to upstream was opened.

    Args:
        error: what the endpoint failed with.
        tunnelled: whether an egress proxy stands between.

    Returns:
        The error to answer with; ``InternalError`` for what nobody foresaw.
    """
    match error:
        case ProxyError():
            return error
        case ssl.SSLError():
            return UpstreamTlsFailed(f"{UpstreamTlsFailed.default} ({_reason(error)})")
        case CancelledError():
            return AgentGone()
        case DialTimeout() | TimedOut() | TimeoutError():
            return EgressSilent() if tunnelled else UpstreamSilent()
        case ConnectionClosed():
            return EgressUnreachable() if tunnelled else UpstreamReset()
        case ConnectError() | DNSLookupError() | OSError():
            return EgressUnreachable() if tunnelled else UpstreamUnreachable()
    return InternalError()


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's words for it, which name the certificate's fault but no secret."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return str(error.reason or "handshake failed").replace("_", " ").lower()
