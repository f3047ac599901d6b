"""What Copilot's answers tell of an account."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Fields
from apiproxy.providers.usage.billing import read_billing
from tests.kit.hypothesis_profile import STEADY

SNAPSHOT = b"ent=300&ov=0.0&ovPerm=false&rem=95.5&rst=2026-06-01T00%3A00%3A00Z"
QUOTA = {
    "ent": "300",
    "ov": "0.0",
    "ovPerm": "false",
    "rem": "95.5",
    "rst": "2026-06-01T00:00:00Z",
}


class BillingTests(SynchronousTestCase):
    def test_a_quota(self) -> None:
        """By its name, with its figures as they were told."""
        fields = [(b"X-Quota-Snapshot-Premium-Chat", SNAPSHOT), (b"Server", b"x")]
        self.assertEqual(read_billing(fields), {"quota_premium-chat": QUOTA})

    def test_the_rate_limit(self) -> None:
        """What is left out is left out; without a limit there is nothing to tell."""
        rest = [(b"x-ratelimit-reset", b"9"), (b"x-ratelimit-limit-requests", b"7")]
        self.assertIsNone(read_billing(rest))
        self.assertEqual(
            read_billing([(b"X-RateLimit-Limit", b"5"), *rest]),
            {"rate_limit": "5", "rate_reset": "9"},
        )

    def test_nothing(self) -> None:
        """As with every other provider."""
        self.assertIsNone(read_billing([(b"Content-Type", b"application/json")]))

    def test_what_is_too_long_is_left_out(self) -> None:
        """And not cut: half of a secret is not found in a log."""
        long = b"x" * 129
        fields: Fields = [
            (b"x-quota-snapshot-chat", b"ent=%b&%b=1&rem=5" % (long, long)),
            (b"x-quota-snapshot-more", b"ent=1&" * 400),
            (b"x-quota-snapshot-" + long, b"ent=1"),
            (b"x-ratelimit-limit", b"5"),
            (b"x-ratelimit-reset", long),
        ]
        self.assertEqual(
            read_billing(fields), {"quota_chat": {"rem": "5"}, "rate_limit": "5"}
        )

    @STEADY
    @given(
        st.lists(st.tuples(st.sampled_from([b"", b"a", b"b" * 500]), st.binary())),
    )
    def test_it_is_bounded(self, told: list[tuple[bytes, bytes]]) -> None:
        """Whatever a host sends; and nothing it sends is an error."""
        many = [(b"%d" % number, b"&".join([b"a=b"] * 40)) for number in range(40)]
        fields: Fields = [(b"x-quota-snapshot-" + name, v) for name, v in told + many]
        found = read_billing(fields)
        assert found is not None
        self.assertLessEqual(len(found), 17)
        self.assertLess(len(repr(found)), 16 * 17 * 600)
