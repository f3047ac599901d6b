"""The CONNECT handshake with the egress proxy (RFC 9110, section 9.3.6): bytes in, bytes out.

TLS speaks first from our side, so a proxy that sends anything after the head of its 200 is
either broken or smuggling; it is refused, never passed on.
"""

import re

from apiproxy.core.errors import (
    EgressAuthRequired,
    EgressBadGateway,
    EgressDenied,
    EgressFault,
    EgressHostTimeout,
    EgressHostUnreachable,
    EgressProtocolError,
    UpstreamMalformed,
)
from apiproxy.core.head import END, parse_answer
from apiproxy.core.values import Secret, first

_MAX_ANSWER = 64 * 1024

_FAULTS: dict[int, type[EgressFault]] = {
    403: EgressDenied,
    407: EgressAuthRequired,
    502: EgressBadGateway,
    503: EgressHostUnreachable,
    504: EgressHostTimeout,
}

_SQUID_ERROR = re.compile(rb"(ERR_[A-Z0-9_]{1,60})\b")

# Squid 5 answers 500 where its predecessors and successors answer 503, for instance when a
# name cannot be resolved; its own name for the error is the same.
_UNREACHABLE = frozenset({b"ERR_CANNOT_FORWARD", b"ERR_CONNECT_FAIL", b"ERR_DNS_FAIL"})


def connect_request(authority: bytes, authorization: Secret | None) -> bytes:
    """The CONNECT request.

    Args:
        authority: ``host:port`` of the provider, the port always given.
        authorization: value of ``Proxy-Authorization``, or None.
    """
    credential = b""
    if authorization is not None:
        credential = b"Proxy-Authorization: %b\r\n" % authorization.reveal()
    return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (
        authority,
        authority,
        credential,
    )


class ConnectHandshake:
    """Reads the proxy's answer to CONNECT."""

    __slots__ = ("_received",)

    def __init__(self) -> None:
        self._received = b""

    def receive(self, data: bytes) -> bool:
        """Take the next bytes from the proxy.

        Returns:
            Whether the tunnel is open.

        Raises:
            EgressFault: the proxy refused, or does not speak HTTP.
        """
        self._received += data
        end = self._received.find(END)
        if end < 0:
            self._refuse_partial()
            return False
        head = self._received[: end + 2]
        try:
            answer = parse_answer(head)
        except UpstreamMalformed:
            raise EgressProtocolError from None
        if not 200 <= answer.status < 300:
            raise _fault(answer.status, first(answer.fields, b"x-squid-error"))
        if len(self._received) > end + len(END):
            raise EgressProtocolError("The egress proxy sent bytes before its turn.")
        return True

    def _refuse_partial(self) -> None:
        start = self._received[:5]
        if len(self._received) > _MAX_ANSWER or not b"HTTP/".startswith(start):
            raise EgressProtocolError


def _fault(status: int, squid_error: bytes | None) -> EgressFault:
    """The fault for a refused CONNECT, with Squid's own name for it where it gave one."""
    known = _SQUID_ERROR.match(squid_error or b"")
    if status == 500 and known is not None and known[1] in _UNREACHABLE:
        status = 503
    kind = _FAULTS.get(status, EgressBadGateway)
    message = kind.default
    if status not in _FAULTS:
        message = f"The egress proxy answered CONNECT with {status}; see Squid's log."
    if known is not None:
        message = f"{message} (Squid: {known[1].decode('ascii')})"
    return kind(message)
