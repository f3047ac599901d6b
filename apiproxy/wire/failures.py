"""The border: what other libraries fail with, translated once into our errors."""

import ssl
from errno import EMFILE, ENFILE

from twisted.internet.defer import CancelledError, TimeoutError as TimedOut
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    TimeoutError as DialTimeout,
)
from twisted.python.failure import Failure

from apiproxy.core.errors import (
    AgentGone,
    EgressSilent,
    EgressUnreachable,
    InternalError,
    Overloaded,
    ProxyError,
    UpstreamReset,
    UpstreamSilent,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)
from apiproxy.core.exchange import Complain


def ours(failure: Failure, complain: Complain, sentence: str) -> ProxyError:
    """The error that a failure is, if it is one of ours; any other one is a bug.

    Args:
        failure: of a story of our own.
        complain: told of a bug.
        sentence: what could not be done for it.
    """
    error = failure.value
    if isinstance(error, ProxyError):
        return error
    assert error is not None
    complain(sentence, error)
    return InternalError()


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
        case CancelledError() | ConnectingCancelledError():
            return AgentGone()
        case DialTimeout() | TimedOut() | TimeoutError():
            return EgressSilent() if tunnelled else UpstreamSilent()
        case ConnectError() | OSError() if _number(error) in (EMFILE, ENFILE):
            return Overloaded(_NO_FILES)
        case ConnectionClosed():
            return EgressUnreachable() if tunnelled else UpstreamReset()
        case ConnectError() | DNSLookupError() | OSError():
            return EgressUnreachable() if tunnelled else UpstreamUnreachable()
    return InternalError()


def translate_tls(error: Exception, *, to_proxy: bool) -> Exception:
    """What went wrong in a TLS handshake, once the way below it was open.

    Args:
        error: what the handshake failed with.
        to_proxy: whether the other side is the egress proxy, not the provider.

    Returns:
        The error to answer with, or ``error`` itself if nobody waits for one.
    """
    match error:
        case ssl.SSLError() if to_proxy:
            return EgressUnreachable(f"{_PROXY_CERTIFICATE} ({_reason(error)})")
        case ConnectionClosed() if not to_proxy:
            return UpstreamReset(_CLOSED)
        case TimedOut() if not to_proxy:
            return UpstreamSilent(_SLOW)
        case CancelledError():
            return error
    return translate_dial(error, tunnelled=to_proxy)


_PROXY_CERTIFICATE = (
    "The egress proxy's certificate was not accepted;"
    " a private authority goes into APIPROXY_CA_FILE."
)
_CLOSED = "The provider's side closed the connection in the TLS handshake."
_SLOW = (
    "The provider's side did not finish the TLS handshake; see APIPROXY_TLS_SECONDS."
)


_NO_FILES = (
    "apiproxy has no file left to open a connection with;"
    " raise its limit on open files (ulimit -n, LimitNOFILE=)."
)


def _number(error: BaseException) -> object:
    """The system's number for it, which Twisted keeps as it is or within an OSError."""
    cause = getattr(error, "osError", error)
    return getattr(cause, "errno", cause)


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's words for it, which name the certificate's fault but no secret."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return (
        str(getattr(error, "reason", None) or "handshake failed")
        .replace("_", " ")
        .lower()
    )
