"""A memory that makes things faster, and never anything else."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.memo import Memo
from tests.kit.hypothesis_profile import STEADY


class MemoTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[bytes] = []

    def upper(self, key: bytes) -> bytes:
        """The function that is remembered."""
        self.asked.append(key)
        return key.upper()

    def test_what_is_known_is_not_asked_again(self) -> None:
        """The second time it is looked up."""
        memo = Memo(self.upper)
        self.assertEqual([memo[b"a"], memo[b"a"]], [b"A", b"A"])
        self.assertEqual(self.asked, [b"a"])

    def test_a_long_key_is_not_kept(self) -> None:
        """Whoever sends long lines cannot fill our memory with them."""
        memo = Memo(self.upper, longest=3)
        for key in (b"abc", b"abcd", b"abc", b"abcd"):
            self.assertEqual(memo[key], key.upper())
        self.assertEqual(self.asked, [b"abc", b"abcd", b"abcd"])

    def test_what_is_secret_is_not_kept(self) -> None:
        """It is worked out each time."""
        memo = Memo(self.upper, keep=lambda value: value != b"SECRET")
        self.assertEqual([memo[b"secret"], memo[b"secret"]], [b"SECRET"] * 2)
        self.assertEqual(repr(memo), "<Memo of 0 values>")

    def test_an_error_is_not_kept(self) -> None:
        """It comes again, each time."""
        memo = Memo(int)
        for _ in range(2):
            self.assertRaises(ValueError, memo.__getitem__, b"x")
        self.assertEqual(len(memo), 0)

    @STEADY
    @given(st.lists(st.binary(max_size=2)))
    def test_it_stays_within_its_bound(self, keys: list[bytes]) -> None:
        """Ever new keys make it forget, not grow, and never lie."""
        memo = Memo(bytes.upper, size=3)
        for key in keys:
            self.assertEqual(memo[key], key.upper())
            self.assertLessEqual(len(memo), 3)
