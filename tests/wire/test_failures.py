"""The border: what other libraries fail with, as our errors."""

import ssl
from errno import ECONNREFUSED, EMFILE, ENFILE, ENOENT

from twisted.internet import defer, error
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import EgressDenied, Overloaded, ProxyError
from apiproxy.wire.failures import ours, translate_dial, translate_tls


def verification(message: str) -> ssl.SSLCertVerificationError:
    """What a bad certificate gives."""
    failure = ssl.SSLCertVerificationError(1, "long text")
    failure.verify_message = message
    return failure


class TranslateTests(SynchronousTestCase):
    """Who is to blame when a line could not be opened."""

    def test_everything_a_dial_can_fail_with(self) -> None:
        """First with an egress proxy in between, then without."""
        for failure, tunnelled, direct in (
            (
                error.ConnectionRefusedError(),
                "egress_unreachable",
                "upstream_unreachable",
            ),
            (error.NoRouteError(), "egress_unreachable", "upstream_unreachable"),
            (error.ConnectError(), "egress_unreachable", "upstream_unreachable"),
            (error.DNSLookupError(), "egress_unreachable", "upstream_unreachable"),
            (OSError(ENOENT, "x"), "egress_unreachable", "upstream_unreachable"),
            (error.TimeoutError(), "egress_timeout", "upstream_timeout"),
            (TimeoutError(), "egress_timeout", "upstream_timeout"),
            (defer.TimeoutError(), "egress_timeout", "upstream_timeout"),
            (error.ConnectionLost(), "egress_unreachable", "upstream_reset"),
            (error.ConnectionAborted(), "egress_unreachable", "upstream_reset"),
            (error.ConnectionDone(), "egress_unreachable", "upstream_reset"),
            (defer.CancelledError(), "agent_gone", "agent_gone"),
            (error.ConnectingCancelledError(None), "agent_gone", "agent_gone"),
            (EgressDenied(), "egress_denied", "egress_denied"),
            (verification("x"), "upstream_tls_failed", "upstream_tls_failed"),
            (ssl.SSLError(1, "x"), "upstream_tls_failed", "upstream_tls_failed"),
            (ZeroDivisionError(), "internal_error", "internal_error"),
        ):
            codes = [
                translate_dial(failure, tunnelled=way).code for way in (True, False)
            ]
            self.assertEqual(codes, [tunnelled, direct], repr(failure))

    def test_no_file_is_left(self) -> None:
        """It is our own fault, however deep it is hidden; the message says what to do."""
        for failure in (
            OSError(EMFILE, "Too many open files"),
            OSError(ENFILE, "Too many open files in system"),
            error.ConnectError(EMFILE, "Too many open files"),
            error.ConnectBindError(ENFILE, "Too many open files in system"),
            error.ConnectError(OSError(EMFILE, "Too many open files")),
        ):
            for tunnelled in (True, False):
                found = translate_dial(failure, tunnelled=tunnelled)
                self.assertIsInstance(found, Overloaded)
                self.assertIn("open files", found.message)
        refused = error.ConnectionRefusedError(OSError(ECONNREFUSED, "x"))
        found = translate_dial(refused, tunnelled=True)
        self.assertEqual(found.code, "egress_unreachable")

    def test_what_is_wrong_with_a_certificate_is_said(self) -> None:
        """In OpenSSL's words, which hold no secret."""
        found = translate_dial(verification("certificate has expired"), tunnelled=True)
        self.assertTrue(found.message.endswith("(certificate has expired)"))
        failed = ssl.SSLError(1, "x")
        failed.reason = "WRONG_VERSION_NUMBER"
        found = translate_dial(failed, tunnelled=True)
        self.assertTrue(found.message.endswith("(wrong version number)"))
        found = translate_dial(ssl.SSLError(1, "x"), tunnelled=True)
        self.assertTrue(found.message.endswith("(handshake failed)"))


class TlsHandshakeTests(SynchronousTestCase):
    """Who is to blame when a TLS handshake failed, which a tunnel must not blur."""

    def test_everything_a_handshake_can_fail_with(self) -> None:
        """First with the egress proxy itself, then with the provider behind it."""
        for failure, proxy, provider in (
            (verification("x"), "egress_unreachable", "upstream_tls_failed"),
            (error.ConnectionLost(), "egress_unreachable", "upstream_reset"),
            (error.ConnectionAborted(), "egress_unreachable", "upstream_reset"),
            (defer.TimeoutError(), "egress_timeout", "upstream_timeout"),
            (ZeroDivisionError(), "internal_error", "internal_error"),
        ):
            codes = []
            for to_proxy in (True, False):
                found = translate_tls(failure, to_proxy=to_proxy)
                assert isinstance(found, ProxyError)
                codes.append(found.code)
            self.assertEqual(codes, [proxy, provider], repr(failure))

    def test_a_handshake_nobody_waits_for(self) -> None:
        """Is cancelled, and stays so."""
        cancelled = defer.CancelledError()
        self.assertIs(translate_tls(cancelled, to_proxy=False), cancelled)

    def test_what_is_wrong_with_the_proxys_certificate_is_said(self) -> None:
        """And that it is the proxy's."""
        found = translate_tls(verification("certificate has expired"), to_proxy=True)
        assert isinstance(found, ProxyError)
        self.assertIn("egress proxy's certificate", found.message)
        self.assertIn("(certificate has expired)", found.message)


class OursTests(SynchronousTestCase):
    """What a story of our own has failed with."""

    def test_an_error_of_the_tree_and_a_bug(self) -> None:
        """Only the bug is complained of."""
        complaints: list[tuple[str, BaseException]] = []

        def complain(sentence: str, error: BaseException) -> None:
            complaints.append((sentence, error))

        refusal, bug = ProxyError(), ZeroDivisionError()
        self.assertIs(ours(Failure(refusal), complain, "a pity"), refusal)
        self.assertEqual(complaints, [])
        found = ours(Failure(bug), complain, "a pity")
        self.assertEqual(found.code, "internal_error")
        self.assertEqual(complaints, [("a pity", bug)])
