"""Which authorities are trusted."""

import os
import ssl
from pathlib import Path
from unittest import mock

import trustme
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.wire.trust import is_usable, trust
from tests.kit.tls import authority


class TrustTests(SynchronousTestCase):
    def test_the_systems_authorities_stay(self) -> None:
        """Though OpenSSL reads SSL_CERT_FILE in their place."""
        own, system = authority().pem, Path(self.mktemp())
        system.write_bytes(trustme.CA().cert_pem.bytes())
        with mock.patch.dict(os.environ, SSL_CERT_FILE=str(own)):
            for there, count in ((str(system), 2), ("/nowhere.pem", 1)):
                paths = ssl.get_default_verify_paths()._replace(openssl_cafile=there)
                self.patch(ssl, "get_default_verify_paths", lambda paths=paths: paths)
                self.assertEqual(trust().cert_store_stats()["x509_ca"], count)

    def test_renegotiation_is_refused(self) -> None:
        """A provider cannot begin a second handshake within the first."""
        self.assertTrue(trust().options & ssl.OP_NO_RENEGOTIATION)

    def test_trust_needs_certificates(self) -> None:
        """A file without any, or no file, is an error at start."""
        self.assertRaises(OSError, trust, "/nowhere.pem")
        empty = Path(self.mktemp())
        empty.write_text("nothing")
        self.assertRaises(ssl.SSLError, trust, str(empty))
        self.assertEqual(trust().verify_mode, ssl.CERT_REQUIRED)
        self.assertTrue(trust().check_hostname)

    def test_a_file_can_be_tried(self) -> None:
        """Before settings that name it are put in force."""
        empty = Path(self.mktemp())
        empty.write_text("nothing")
        self.assertTrue(is_usable(str(authority().pem)))
        self.assertFalse(is_usable(str(empty)))
        self.assertFalse(is_usable("/nowhere.pem"))
