"""Responses that use more than was set aside for them."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.growth import beyond, grown, with_own
from apiproxy.policy.ledger import Claim, Entry, Shortage, Standing

CLAIM = Claim("c", (Entry("run:r", "tokens", 100, 500), Entry("run:r", "runs", 1, 9)))


def used(tokens: int, account: str = "run:r") -> list[Entry]:
    """What a response has used so far."""
    return [Entry(account, "tokens", tokens), Entry(account, "runs", 1)]


class GrowthTests(SynchronousTestCase):
    def test_what_is_beyond_a_claim(self) -> None:
        """Nothing, as long as it is enough; all of it, where nothing was set aside."""
        self.assertEqual(beyond(CLAIM, used(100)), [])
        self.assertEqual(beyond(CLAIM, used(130)), [Entry("run:r", "tokens", 30)])
        self.assertEqual(beyond(CLAIM, used(7, "caller:c")), used(7, "caller:c"))

    def test_a_claim_grows(self) -> None:
        """It never shrinks, and its caps stay."""
        self.assertEqual(grown(CLAIM, used(60)), CLAIM)
        tokens, runs = grown(CLAIM, used(130)).entries
        self.assertEqual(tokens, Entry("run:r", "tokens", 130, 500))
        self.assertEqual(runs, CLAIM.entries[1])

    def test_who_is_in_the_way(self) -> None:
        """The response itself, if what is spent reaches the cap with what it has used."""
        entry = CLAIM.entries[0]
        shortage = Shortage(entry, Standing("run:r", "tokens", 400, 300))
        self.assertIs(with_own(shortage, used(90)), shortage)
        self.assertIs(with_own(shortage, used(900, "caller:c")), shortage)
        own = with_own(shortage, used(100))
        self.assertTrue(own.final)
        self.assertEqual(own.standing, Standing("run:r", "tokens", 500, 300))
        self.assertIs(with_own(own, used(100)), own)
