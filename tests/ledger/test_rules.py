"""Tests of ``apiproxy.ledger.rules``; most of them are kept by every ledger's suite."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.ledger.rules import MOST, cap_in_force, clamped, fitting, other
from apiproxy.policy.ledger import Entry


class RulesTests(SynchronousTestCase):
    def test_entries_that_fit_are_taken_as_they_are(self) -> None:
        """No copy is made of what every request has."""
        entries = (Entry("run:1", "tokens", 5), Entry("model:a b", "tokens", MOST))
        self.assertIs(fitting(entries), entries)

    def test_entries_that_do_not_fit_are_cut(self) -> None:
        """The others with them stay what they are."""
        good = Entry("run:1", "tokens", 5, 7)
        cut = fitting((good, Entry("model:" + "x" * 300, "tokens", -1, 3)))
        self.assertEqual(list(cut), [good, Entry("model:other", "tokens", 0, 3)])

    def test_kind_that_is_none_is_unknown(self) -> None:
        """Whoever made up the name."""
        (cut,) = fitting((Entry("x" * 300, "tokens", 2**80),))
        self.assertEqual(cut, Entry("unknown:other", "tokens", MOST))

    def test_other_account_is_of_the_same_kind(self) -> None:
        """And of no other."""
        self.assertEqual(other("model:gpt:x"), "model:other")

    def test_cap_is_in_force_until_its_end(self) -> None:
        """And not at it."""
        self.assertEqual(cap_in_force(5, None, 100.0), 5)
        self.assertEqual(cap_in_force(5, 100.5, 100.0), 5)
        self.assertIsNone(cap_in_force(5, 100.0, 100.0))

    def test_amounts_are_held_between_nothing_and_the_most(self) -> None:
        """Whatever somebody says."""
        self.assertEqual([clamped(n) for n in (-1, 7, 2**60)], [0, 7, MOST])
