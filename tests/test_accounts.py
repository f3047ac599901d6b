"""What responses have cost, written down once, whatever becomes of the ledger."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import ProxyError, TokensExceeded
from apiproxy.core.usage import Demand, Record, Usage
from apiproxy.policy.rules import Budgets, Rules
from apiproxy.wire.passage import Passage
from tests.kit.books import RUN, Desk, capped

ASKED = Demand(True, "gpt-4o", 400, 100, stream=True)


def record(output: int = 5, **more: Any) -> Record:
    """A response that has used so much."""
    usage = Usage(input=10, output=output)
    return Record(usage, "gpt-4o", state="completed", **more)


class AccountsCase(SynchronousTestCase):
    def desk(self, rules: Rules | None = None) -> Desk:
        """A new desk."""
        self.clock = Clock()
        self.cuts: list[ProxyError] = []
        return Desk(self.clock, rules)

    def passage(self, desk: Desk, *, claims: bool = True, **more: Any) -> Passage:
        """One that was let through."""
        exchange = desk.exchange(**more)
        passage = Passage(desk.accounts, exchange, ASKED, self.clock.seconds, "chat")
        if claims:
            claim = desk.accounts.claim(desk._new_id(), exchange, ASKED)
            assert claim is not None
            desk.ledger.store.reserve(claim)
            passage.hold_to(claim, lambda: None, watched=True)
            passage.cut = self.cuts.append
        return passage

    def tokens(self, desk: Desk) -> tuple[float, float]:
        """Effective tokens, spent and reserved."""
        standing = desk.ledger.standing("tokens")
        return standing.spent / 1000, standing.reserved / 1000


class WritingTests(AccountsCase):
    def test_what_was_claimed_is_settled_at_once(self) -> None:
        """And told a little later, with what it costs."""
        desk = self.desk()
        self.clock.advance(50)
        passage = self.passage(desk)
        self.clock.advance(2)
        passage.record(record())
        self.assertEqual(self.tokens(desk), (30, 0))
        desk.accounts.flush()
        (told,) = desk.told
        self.assertEqual((told.started, told.seconds, told.run), (50, 2, RUN))
        self.assertEqual(told.cost.effective_tokens, 30)
        self.assertGreater(told.cost.nanodollars or 0, 0)
        self.assertEqual(told.cost.nanodollars_total, told.cost.nanodollars)
        self.assertEqual(repr(desk.accounts), "<Accounts of r, 0 owed>")

    def test_what_nobody_claimed_is_added_up(self) -> None:
        """A second later at most, many at a time."""
        desk = self.desk()
        for _ in range(3):
            self.passage(desk, claims=False).record(record())
        self.clock.pump([0.5, 1.5, 1.0])
        self.assertEqual(self.tokens(desk), (90, 0))
        self.assertEqual(len(desk.told), 3)
        totals = [told.cost.effective_tokens_total for told in desk.told]
        self.assertEqual(totals, [30, 60, 90])
        desk.accounts.flush()
        self.assertEqual(self.tokens(desk), (90, 0))
        self.assertEqual(self.clock.calls, [])

    def test_what_cannot_be_read(self) -> None:
        """Is a bug of ours, and no reason to lose what was noted with it."""
        desk = self.desk()
        for number in range(3):
            passage = self.passage(desk, claims=False)
            passage.record(record() if number != 1 else None)  # type: ignore[arg-type]
        desk.accounts.flush()
        self.assertEqual(self.tokens(desk), (60, 0))
        self.assertEqual(desk.complaints, ["a response could not be counted"])

    def test_a_price_nobody_knows(self) -> None:
        """Is not told."""
        desk = self.desk()
        passage = self.passage(desk, claims=False)
        passage.demand = Demand(True, "nobody-knows-1")
        passage.record(Record(Usage(output=1)))
        desk.accounts.flush()
        cost = desk.told[0].cost
        self.assertEqual((cost.nanodollars, cost.nanodollars_total), (None, None))
        self.assertIsNone(cost.source)

    def test_denials_are_written_down(self) -> None:
        """Those of the provider, with the claim given back; a success clears them."""
        desk = self.desk(capped(denied=3))
        desk.accounts.give_back(self.passage(desk), 401)
        self.assertEqual(self.tokens(desk), (0, 0))
        denied = desk.ledger.standing("denied", "provider:openai")
        self.assertEqual(denied.spent, 1)
        self.passage(desk).record(record())
        denied = desk.ledger.standing("denied", "provider:openai")
        self.assertEqual(denied.spent, 0)

    def test_other_rules(self) -> None:
        """Hold for what is claimed after that."""
        desk = self.desk()
        other = Desk(self.clock, capped(tokens=7))
        desk.accounts.use(other.admission, "another run")
        claim = desk.accounts.claim("x", desk.exchange(), ASKED)
        assert claim is not None
        self.assertEqual(claim.entries[0].cap, 7)
        self.assertEqual(claim.entries[0].account, "run:another run")


class AwayTests(AccountsCase):
    def test_a_disk_that_is_full(self) -> None:
        """What is owed is written, in order, as soon as it can be; and once."""
        desk = self.desk()
        passages = [self.passage(desk) for _ in range(2)]
        desk.ledger.away = True
        for passage in passages:
            passage.record(record())
        self.assertEqual(desk.accounts.owed, 2)
        self.clock.advance(1)
        self.assertEqual(self.tokens(desk)[0], 0)
        desk.ledger.away = False
        self.clock.advance(1)
        self.assertEqual((self.tokens(desk), desk.accounts.owed), ((60, 0), 0))

    def test_what_nobody_foresaw(self) -> None:
        """Is complained of, and what comes after it is written."""
        for slow in (False, True):
            desk = self.desk()
            desk.ledger.slow = slow
            desk.ledger.broken = ValueError()
            passages = [self.passage(desk) for _ in range(2)]
            passages[0].record(record())
            desk.ledger.answer()
            self.assertEqual(desk.complaints, ["a cost could not be written down"])
            desk.ledger.broken = None
            passages[1].record(record())
            desk.ledger.answer()
            self.assertEqual(self.tokens(desk)[0], 30)

    def test_a_ledger_elsewhere_remembers_itself(self) -> None:
        """What it is owed is not tried again by us."""
        desk = self.desk()
        desk.ledger.slow = desk.ledger.away = True
        self.passage(desk).record(record())
        desk.ledger.answer()
        self.assertEqual((desk.accounts.owed, desk.complaints), (0, []))

    def test_the_end(self) -> None:
        """One more try; what cannot be written then is complained of, and no more tried."""
        for away in (False, True):
            desk = self.desk()
            desk.ledger.away = True
            self.passage(desk).record(record())
            desk.ledger.away = away
            desk.accounts.close()
            said = ["1 costs were not written down"] if away else []
            self.assertEqual(desk.complaints, said)
            self.assertEqual(self.tokens(desk)[0], 0 if away else 30)
            self.assertEqual(self.clock.calls, [])


class GrowingTests(AccountsCase):
    def grow(self, passage: Passage, tokens: int) -> None:
        """It has said so much."""
        passage.look(Record(said=4 * tokens, model="gpt-4o"))

    def test_as_long_as_it_is_within_its_claim(self) -> None:
        """Only what is spent counts beside it."""
        desk = self.desk(capped(tokens=1_000_000))
        first, other = self.passage(desk), self.passage(desk)
        before = self.tokens(desk)
        self.grow(first, 90)
        self.assertEqual((self.cuts, self.tokens(desk)), ([], before))
        other.end(None)

    def test_beyond_its_claim_it_takes_from_the_others(self) -> None:
        """Until there is no more; it is told that the budget is spent, by itself."""
        desk = self.desk(capped(tokens=6_000_000))
        passage = self.passage(desk)
        self.grow(passage, 1000)
        self.assertEqual(self.cuts, [])
        self.assertGreaterEqual(self.tokens(desk)[1], 4000)
        self.grow(passage, 2000)
        (error,) = self.cuts
        self.assertIsInstance(error, TokensExceeded)
        spent = error.details["total_effective_tokens"]
        assert isinstance(spent, float)
        self.assertGreaterEqual(spent, 6000)
        passage.record(record())
        self.assertEqual(self.tokens(desk), (30, 0))

    def test_if_only_others_are_in_the_way(self) -> None:
        """Trying again may help."""
        desk = self.desk(capped(tokens=6_000_000))
        others = [self.passage(desk) for _ in range(12)]
        self.grow(others[0], 700)
        self.assertEqual([error.code for error in self.cuts], ["budget_reserved"])

    def test_what_others_have_spent(self) -> None:
        """Cuts it even within its claim."""
        desk = self.desk(capped(tokens=100_000))
        passage, other = self.passage(desk), self.passage(desk)
        other.record(record(60))
        self.assertEqual(self.cuts, [])
        self.passage(desk).look(Record(said=9000, model="gpt-4o"))
        self.assertIsInstance(self.cuts[0], TokensExceeded)
        passage.end(None)

    def test_a_ledger_that_answers_later_or_not(self) -> None:
        """It is cut as soon as it is known; away, it is settled in the end."""
        desk = self.desk(Rules(budgets=Budgets(tokens=1_000_000)))
        passage = self.passage(desk)
        desk.ledger.slow = True
        self.grow(passage, 1000)
        self.assertEqual(self.cuts, [])
        desk.ledger.answer()
        self.assertEqual(len(self.cuts), 1)
        self.grow(passage, 2000)
        desk.ledger.away = True
        desk.ledger.answer()
        desk.ledger.slow = False
        self.grow(passage, 3000)
        self.assertEqual(len(self.cuts), 1)
        desk.ledger.away = False
        passage.cut = None
        self.grow(passage, 4000)
        passage.end(None)

    def test_a_refusal_is_told(self) -> None:
        """To whoever counts them."""
        desk = self.desk()
        desk.accounts.refused(desk.exchange(), TokensExceeded())
        self.assertEqual(desk.refusals, ["effective_tokens_limit_exceeded"])
