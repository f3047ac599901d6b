"""The CONNECT handshake: what the egress proxy may say, and what each answer means."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.connect import ConnectHandshake, connect_request
from apiproxy.core.errors import (
    EgressAuthRequired,
    EgressBadGateway,
    EgressDenied,
    EgressFault,
    EgressHostTimeout,
    EgressHostUnreachable,
    EgressProtocolError,
)
from apiproxy.core.values import Secret
from tests.kit.hypothesis_profile import STEADY

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
DENIED = (
    b"HTTP/1.1 403 Forbidden\r\nServer: squid/6.6\r\n"
    b"X-Squid-Error: ERR_ACCESS_DENIED 0\r\nContent-Length: 5\r\n\r\n<html"
)


def outcome(*pieces: bytes) -> str:
    """``open``, ``waiting``, or the code of the fault, after these bytes."""
    handshake = ConnectHandshake()
    try:
        for number, piece in enumerate(pieces):
            if handshake.receive(piece):
                assert number == len(pieces) - 1 or not any(pieces[number + 1 :])
                return "open"
    except EgressFault as fault:
        return fault.code
    return "waiting"


class ConnectRequestTests(SynchronousTestCase):
    def test_host_is_named_twice_and_nothing_else_is_said(self) -> None:
        """What Squid's access rules see is exactly the provider's host and port."""
        self.assertEqual(
            connect_request(b"api.openai.com:443", None),
            b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n",
        )

    def test_password_is_only_in_the_bytes(self) -> None:
        """Proxy-Authorization goes to Squid, and shows nowhere else."""
        secret = Secret(b"Basic YTpodW50ZXI=")
        self.assertEqual(
            connect_request(b"[::1]:8443", secret),
            b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n"
            b"Proxy-Authorization: Basic YTpodW50ZXI=\r\n\r\n",
        )
        self.assertNotIn("YTpodW50ZXI", repr(secret))


class ConnectHandshakeTests(SynchronousTestCase):
    def fault(self, answer: bytes) -> EgressFault:
        """What this answer of the proxy is turned into."""
        with self.assertRaises(EgressFault) as caught:
            ConnectHandshake().receive(answer)
        fault: EgressFault = caught.exception
        return fault

    def test_any_2xx_opens_the_tunnel(self) -> None:
        """Header lines are let be, and the reason may be anything."""
        for answer in [
            *(OPEN, b"HTTP/1.0 200\r\n\r\n", b"HTTP/1.1 299 \xe9\r\n\r\n"),
            b"HTTP/1.1 200 OK\r\nVia: squid\r\nContent-Length: 7\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]:
            self.assertTrue(ConnectHandshake().receive(answer))
            for cut in range(len(answer)):
                self.assertEqual(outcome(answer[:cut]), "waiting")
                self.assertEqual(outcome(answer[:cut], answer[cut:]), "open")
            self.assertEqual(
                outcome(*(answer[i : i + 1] for i in range(len(answer)))), "open"
            )

    def test_each_status_has_its_meaning(self) -> None:
        """What Squid did is told apart from what the provider did."""
        for status, kind in [
            (403, EgressDenied),
            (407, EgressAuthRequired),
            (502, EgressBadGateway),
            (503, EgressHostUnreachable),
            (504, EgressHostTimeout),
        ]:
            fault = self.fault(b"HTTP/1.1 %d x\r\n\r\n<html>body" % status)
            self.assertIs(type(fault), kind)
            self.assertEqual(fault.message, kind.default)

    def test_other_statuses_are_named(self) -> None:
        """An answer that makes no sense is shown by its number; it opens nothing."""
        for status in [100, 101, 103, 199, 300, 302, 400, 401, 404, 405, 429, 500, 599]:
            fault = self.fault(b"HTTP/1.1 %d x\r\nLocation: http://e/\r\n\r\n" % status)
            self.assertIs(type(fault), EgressBadGateway)
            self.assertIn(f"CONNECT with {status};", fault.message)

    def test_squids_own_name_for_the_error_is_shown(self) -> None:
        """So that it can be looked up in Squid's log and manual."""
        for value, shown in [
            (b"ERR_ACCESS_DENIED 0", "(Squid: ERR_ACCESS_DENIED)"),
            (b"ERR_DNS_FAIL", "(Squid: ERR_DNS_FAIL)"),
        ]:
            for status in [403, 503, 418]:
                fault = self.fault(
                    b"HTTP/1.1 %d x\r\nx-squid-ERROR: %b\r\n\r\n" % (status, value)
                )
                self.assertTrue(fault.message.endswith(shown), fault.message)

    def test_anything_else_in_its_place_is_not_shown(self) -> None:
        """What the proxy writes there is only repeated if it is such a name."""
        for value in [
            b"",
            b"x ERR_A",
            b"<b>ERR_A",
            b"err_a",
            b"ERR_" + b"A" * 61,
            b"ERR_A\xe9",
        ]:
            fault = self.fault(b"HTTP/1.1 403 x\r\nX-Squid-Error: %b\r\n\r\n" % value)
            if value == b"ERR_A\xe9":
                self.assertIn("(Squid: ERR_A)", fault.message)
            else:
                self.assertEqual(fault.message, EgressDenied.default, value)

    def test_refusal_is_read_alike_however_it_is_cut(self) -> None:
        """As soon as the head is whole, whether its body has come or not."""
        end = DENIED.index(b"\r\n\r\n") + 4
        for cut in range(len(DENIED) + 1):
            expected = "waiting" if cut < end else "egress_denied"
            self.assertEqual(outcome(DENIED[:cut]), expected)
            self.assertEqual(outcome(DENIED[:cut], DENIED[cut:]), "egress_denied")

    def test_bytes_before_our_tls_are_refused(self) -> None:
        """Whoever speaks before us inside the tunnel is not the provider."""
        for early in [b"\x16", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 70000]:
            fault = self.fault(OPEN + early)
            self.assertIs(type(fault), EgressProtocolError)
            self.assertIn("before its turn", fault.message)

    def test_what_is_not_http_is_refused_at_once(self) -> None:
        """A port that speaks something else does not keep the agent waiting."""
        for answer in [
            *(
                b"\x15\x03\x01\x00\x02",
                b"SSH-2.0-x\r\n",
                b"\r\n",
                b" HTTP/1.1",
                b"h",
                b"\n",
            ),
            *(b"HTTPS", b"HTTP 1.1 200", b"\x00", OPEN[1:]),
        ]:
            self.assertEqual(outcome(answer), "egress_protocol_error", answer)

    def test_head_out_of_grammar_is_refused(self) -> None:
        """It begins like HTTP, but nobody knows what it says."""
        for head in [
            *(
                b"HTTP/1.1 2x0 OK",
                b"HTTP/2 200 OK",
                b"HTTP/1.1 200 OK\r\nX : a",
                b"HTTP/",
            ),
            *(
                b"HTTP/1.1 200 OK\r\n X: a",
                b"HTTP/1.1 200 OK\nX: a",
                b"HTTP/1.1 200 \0",
            ),
        ]:
            self.assertEqual(outcome(head + b"\r\n\r\n"), "egress_protocol_error", head)

    def test_head_without_an_end_is_refused_by_its_size(self) -> None:
        """A proxy that talks on and on cannot fill our memory."""
        line = b"X: " + b"a" * 1000 + b"\r\n"
        handshake = ConnectHandshake()
        handshake.receive(OPEN[:-2])
        with self.assertRaises(EgressProtocolError):
            for _ in range(70):
                self.assertFalse(handshake.receive(line))

    @STEADY
    @given(
        st.lists(
            st.sampled_from(
                [
                    b"HTTP/1.1 ",
                    b"200 ",
                    b"403 ",
                    b"OK",
                    b"\r\n",
                    b"\n",
                    b"X: a",
                    b"\r\n\r\n",
                    b"\0",
                ]
            ),
            max_size=8,
        ),
        st.data(),
    )
    def test_tunnel_opens_only_on_a_whole_2xx_head(
        self, parts: list[bytes], data: st.DataObject
    ) -> None:
        """Any bytes, cut anywhere: open means a 200 head and not a byte more."""
        answer = b"".join(parts)
        cut = data.draw(st.integers(0, len(answer)))
        found = outcome(answer[:cut], answer[cut:])
        if found == "open":
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"))
            self.assertEqual(answer.find(b"\r\n\r\n"), len(answer) - 4)
