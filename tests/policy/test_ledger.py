"""Tests of ``apiproxy.policy.ledger``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.ledger import Entry, Shortage, Standing


class ShortageTests(SynchronousTestCase):
    def test_waiting_helps_as_long_as_reservations_could_be_given_back(self) -> None:
        """Only what is settled is gone for good."""
        for spent, reserved, final in ((100, 0, True), (60, 40, False)):
            entry = Entry("run:1", "tokens", 10, cap=100)
            standing = Standing("run:1", "tokens", spent, reserved)
            self.assertIs(Shortage(entry, standing).final, final)
