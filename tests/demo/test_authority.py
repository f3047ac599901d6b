"""The demonstration's certificates."""

from datetime import UTC, datetime

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.demo.authority import issue


class AuthorityTests(SynchronousTestCase):
    def test_for_one_name_and_a_day(self) -> None:
        """The authority can certify nothing but its one host, and not for long."""
        now = datetime(2026, 1, 2, tzinfo=UTC)
        issued = issue("api.test", now)
        root = x509.load_pem_x509_certificate(issued.authority)
        leaf = x509.load_pem_x509_certificate(issued.identity)
        leaf.verify_directly_issued_by(root)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        self.assertEqual(names.value.get_values_for_type(x509.DNSName), ["api.test"])
        allowed = root.extensions.get_extension_for_class(x509.NameConstraints)
        self.assertEqual(allowed.value.permitted_subtrees, [x509.DNSName("api.test")])
        self.assertEqual(leaf.not_valid_after_utc, datetime(2026, 1, 3, tzinfo=UTC))
        self.assertNotIn(b"PRIVATE", issued.authority)
