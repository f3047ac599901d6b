"""What Squid calls its errors decides where its status does not say enough."""

from unittest import TestCase

from apiproxy.core.connect import ConnectHandshake
from apiproxy.core.errors import (
    EgressBadGateway,
    EgressDenied,
    EgressFault,
    EgressHostUnreachable,
)


def refusal(status: int, name: str | None) -> EgressFault:
    """The fault for a status and the value of ``X-Squid-Error``."""
    line = "" if name is None else f"X-Squid-Error: {name} 0\r\n"
    head = f"HTTP/1.1 {status} No\r\n{line}Content-Length: 0\r\n\r\n"
    try:
        ConnectHandshake().receive(head.encode())
    except EgressFault as fault:
        return fault
    raise AssertionError("the tunnel was opened")


class SquidErrorTests(TestCase):
    def test_500_for_a_host_that_cannot_be_reached_is_503(self) -> None:
        """Squid 5 says 500 for a name without an address, as others say 503."""
        for name in ("ERR_DNS_FAIL", "ERR_CANNOT_FORWARD", "ERR_CONNECT_FAIL"):
            fault = refusal(500, name)
            self.assertIsInstance(fault, EgressHostUnreachable)
            self.assertEqual((fault.status, fault.retriable), (503, True))
            self.assertIn("*_API_TARGET", fault.message)
            self.assertIn(f"(Squid: {name})", fault.message)

    def test_500_for_another_reason_is_a_bad_gateway(self) -> None:
        """Any other 500 is named as what it is."""
        for name in (None, "ERR_ZERO_SIZE_OBJECT", "ERR_DNS_FAIL_NOT", "err_dns_fail"):
            fault = refusal(500, name)
            self.assertIs(type(fault), EgressBadGateway)
            self.assertIn("answered CONNECT with 500", fault.message)

    def test_a_status_that_says_enough_is_believed(self) -> None:
        """Squid's 403 stays a 403, whatever it calls it."""
        self.assertIs(type(refusal(403, "ERR_DNS_FAIL")), EgressDenied)
        self.assertIs(type(refusal(502, "ERR_CONNECT_FAIL")), EgressBadGateway)
