"""What every ledger must do, wherever it writes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from twisted.internet.defer import Deferred

from apiproxy.ledger.open import Threads
from apiproxy.ledger.rules import MOST, Bounds, Store
from apiproxy.policy.ledger import Claim, Entry, Later, Shortage, Standing
from tests.kit.case import LoopbackCase

T = TypeVar("T")

FEW = Bounds(rows=4, keep=1000, again=60, over=8)
"""So small that tests reach them."""

RUN = "run:1"
NOON = 1_800_000_000.0
"""Epoch seconds at which the clocks of these tests begin."""


async def now(result: Later[T]) -> T:
    """A result, whether it is there or comes later."""
    if isinstance(result, Deferred):
        return cast(T, await result)
    return cast(T, result)


def tokens(
    amount: int, cap: int | None = None, account: str = RUN, measure: str = "tokens"
) -> Entry:
    """Tokens of the run, if nothing else is said."""
    return Entry(account, measure, amount, cap)


class LedgerSuite(LoopbackCase):
    """Tests of one kind of ledger; a subclass says which.

    Attributes:
        time: epoch seconds, as the ledger sees them.
    """

    time = NOON

    async def opened(self, bounds: Bounds | None = None) -> Store:
        """A new ledger in which nothing was spent; closed after the test."""
        raise NotImplementedError

    @property
    def threads(self) -> Threads:
        """The reactor, as one that has threads."""
        return cast(Threads, self.reactor)

    async def reserved(
        self, ledger: Store, id: str, *entries: Entry
    ) -> Shortage | None:
        """Try to set something aside."""
        return await now(ledger.reserve(Claim(id, entries)))

    async def settled(self, ledger: Store, id: str, *spent: Entry) -> None:
        """Write down what was spent."""
        await now(ledger.settle(id, spent))

    def attempts(self, ledger: Store) -> list[Callable[[], Any]]:
        """All that anybody can ask of it."""
        return [
            lambda: ledger.reserve(Claim("b", (tokens(1),))),
            lambda: ledger.extend("b", [tokens(1)]),
            lambda: ledger.settle("a", [tokens(1)]),
            lambda: ledger.release("c"),
            lambda: ledger.add([tokens(1)]),
            lambda: ledger.clear(RUN, "tokens"),
            lambda: ledger.set_cap(RUN, "tokens", 1),
            ledger.standings,
        ]

    async def figures(self, ledger: Store) -> dict[str, tuple[int, int]]:
        """Spent and reserved of each account; of tokens, if nothing else is said."""
        found = {}
        for standing in await now(ledger.standings()):
            name = standing.account
            if standing.measure != "tokens":
                name += " " + standing.measure
            found[name] = standing.spent, standing.reserved
        return found

    async def run_has(self, ledger: Store, spent: int, reserved: int) -> None:
        """The run stands like this."""
        self.assertEqual((await self.figures(ledger))[RUN], (spent, reserved))


if TYPE_CHECKING:
    _Suite = LedgerSuite
else:  # test runners would find the tests here as well
    _Suite = object


class CommonTests(_Suite):
    """The tests; mixed into a ``LedgerSuite``."""

    async def test_what_is_set_aside_counts_until_it_is_settled(
        self,
    ) -> None:
        """Then what was spent counts, be it less or more."""
        ledger = await self.opened()
        self.assertIsNone(await self.reserved(ledger, "a", tokens(40, 100)))
        self.assertIsNone(await self.reserved(ledger, "b", tokens(40, 100)))
        await self.run_has(ledger, 0, 80)
        await self.settled(ledger, "a", tokens(10))
        await self.run_has(ledger, 10, 40)
        await self.settled(ledger, "b", tokens(75))
        await self.run_has(ledger, 85, 0)

    async def test_cap_is_overrun_by_at_most_one_response(self) -> None:
        """The one that crosses it is the last one that passes, however many ask at once."""
        ledger = await self.opened()
        passed = 0
        for number in range(40):
            claim = tokens(30, 100)
            passed += await self.reserved(ledger, str(number), claim) is None
        self.assertEqual(passed, 4)
        await self.run_has(ledger, 0, 120)

    async def test_claim_that_is_refused_sets_nothing_aside(self) -> None:
        """Not even on the accounts where there was room; the answer says where was none."""
        ledger = await self.opened()
        await now(ledger.add([tokens(100), tokens(7, account="caller:x")]))
        shortage = await self.reserved(
            ledger,
            "a",
            tokens(5, 50, "caller:x"),
            tokens(5, 100),
            tokens(5, 1, "model:y"),
        )
        self.assertEqual(
            shortage, Shortage(tokens(5, 100), Standing(RUN, "tokens", 100, 0))
        )
        expected = {"caller:x": (7, 0), RUN: (100, 0)}
        self.assertEqual(await self.figures(ledger), expected)

    async def test_claim_of_nothing_is_refused_when_a_cap_is_reached(
        self,
    ) -> None:
        """As it is with denied answers, which nobody sets aside."""
        ledger = await self.opened()
        denied = tokens(0, 2, measure="denied")
        self.assertIsNone(await self.reserved(ledger, "a", denied))
        await now(ledger.add([tokens(2, measure="denied")]))
        self.assertIsNotNone(await self.reserved(ledger, "b", denied))
        await now(ledger.clear(RUN, "denied"))
        await now(ledger.clear(RUN, "never seen"))
        self.assertIsNone(await self.reserved(ledger, "c", denied))

    async def test_what_is_released_was_not_spent(self) -> None:
        """And a release of what is not under way changes nothing."""
        ledger = await self.opened()
        await self.reserved(ledger, "a", tokens(40))
        for id in ("a", "a", "never seen"):
            await now(ledger.release(id))
        await self.run_has(ledger, 0, 0)

    async def test_claim_is_settled_once(self) -> None:
        """A second word on the same request changes nothing, nor does a release."""
        ledger = await self.opened()
        await self.reserved(ledger, "a", tokens(40))
        for _ in range(3):
            await self.settled(ledger, "a", tokens(30))
            await now(ledger.release("a"))
        await self.run_has(ledger, 30, 0)

    async def test_claim_that_nobody_knows_is_written_down(self) -> None:
        """What was spent was spent; but also that only once."""
        ledger = await self.opened()
        await self.settled(ledger, "a", tokens(30))
        await self.settled(ledger, "a", tokens(30))
        await self.run_has(ledger, 30, 0)

    async def test_settled_claims_are_not_remembered_for_ever(
        self,
    ) -> None:
        """Only the last ones, so that the ledger does not grow."""
        ledger = await self.opened(FEW)
        for number in range(300):
            await self.settled(ledger, str(number), tokens(1))
        await self.settled(ledger, "299", tokens(1))
        await self.run_has(ledger, 300, 0)
        await self.settled(ledger, "0", tokens(1))
        await self.run_has(ledger, 301, 0)

    async def test_other_accounts_than_those_set_aside_can_be_settled(
        self,
    ) -> None:
        """The model that answered need not be the one that was asked."""
        ledger = await self.opened()
        await self.reserved(ledger, "a", tokens(40, account="model:asked"))
        await self.settled(ledger, "a", tokens(30, account="model:answered"))
        expected = {"model:answered": (30, 0), "model:asked": (0, 0)}
        self.assertEqual(await self.figures(ledger), expected)

    async def test_extending_tells_when_a_cap_is_crossed(
        self,
    ) -> None:
        """It is set aside in any case, because it is being spent."""
        ledger = await self.opened()
        await self.reserved(ledger, "a", tokens(60, 100))
        self.assertIsNone(await now(ledger.extend("a", [tokens(40, 100)])))
        shortage = await now(ledger.extend("a", [tokens(5, 100)]))
        self.assertEqual(
            shortage, Shortage(tokens(5, 100), Standing(RUN, "tokens", 0, 105))
        )
        await self.run_has(ledger, 0, 105)
        await now(ledger.release("a"))
        await self.run_has(ledger, 0, 0)

    async def test_extending_what_nobody_knows_sets_it_aside(
        self,
    ) -> None:
        """So that a request which passed while the ledger was away is counted, too."""
        ledger = await self.opened()
        self.assertIsNone(await now(ledger.extend("a", [tokens(5)])))
        await self.run_has(ledger, 0, 5)
        await self.settled(ledger, "a", tokens(7))
        await self.run_has(ledger, 7, 0)

    async def test_what_a_response_has_used_reaches_a_cap_by_what_is_spent(
        self,
    ) -> None:
        """Not by what others have set aside, who may give it back; nothing is changed."""
        ledger = await self.opened()
        await now(ledger.add([tokens(60)]))
        await self.reserved(ledger, "others", tokens(39, 100))
        self.assertIsNone(await now(ledger.reaches([tokens(40, 100)])))
        shortage = await now(ledger.reaches([tokens(900), tokens(41, 100)]))
        self.assertEqual(
            shortage, Shortage(tokens(41, 100), Standing(RUN, "tokens", 101, 39))
        )
        await self.run_has(ledger, 60, 39)

    async def test_a_cap_is_reached_on_an_account_that_nobody_has_used(self) -> None:
        """By one response alone, which does not make the account."""
        ledger = await self.opened()
        shortage = await now(ledger.reaches([tokens(11, 10)]))
        self.assertEqual(
            shortage, Shortage(tokens(11, 10), Standing(RUN, "tokens", 11, 0))
        )
        self.assertEqual(await self.figures(ledger), {})

    async def test_an_operators_cap_is_reached(self) -> None:
        """Above the configured one or below it, as long as it holds."""
        ledger = await self.opened()
        await now(ledger.set_cap(RUN, "tokens", 50, NOON + 60))
        self.assertIsNone(await now(ledger.reaches([tokens(50, 10)])))
        shortage = await now(ledger.reaches([tokens(51, 100)]))
        assert shortage is not None
        self.assertEqual((shortage.entry.cap, shortage.standing.cap), (50, 50))
        self.time += 60
        self.assertIsNone(await now(ledger.reaches([tokens(51, 100)])))

    async def test_operators_cap_goes_before_the_configured_one(
        self,
    ) -> None:
        """Be it lower or higher, until it is taken away."""
        ledger = await self.opened()
        await now(ledger.set_cap(RUN, "tokens", 10))
        await self.reserved(ledger, "a", tokens(10, 100))
        standing = Standing(RUN, "tokens", 0, 10, 10)
        self.assertEqual(await now(ledger.standings()), [standing])
        shortage = await self.reserved(ledger, "b", tokens(10, 100))
        self.assertEqual(shortage, Shortage(tokens(10, 10), standing))
        await now(ledger.set_cap(RUN, "tokens", None))
        self.assertIsNone(await self.reserved(ledger, "b", tokens(90, 100)))
        await now(ledger.set_cap(RUN, "tokens", 200))
        self.assertIsNone(await self.reserved(ledger, "c", tokens(10, 100)))

    async def test_operators_cap_ends_when_it_was_said_to(self) -> None:
        """Then the configured one is in force again, and none is shown."""
        ledger = await self.opened()
        await now(ledger.set_cap(RUN, "tokens", 0, NOON + 60))
        shortage = await self.reserved(ledger, "a", tokens(1, 100))
        assert shortage is not None
        self.assertEqual(shortage.standing, Standing(RUN, "tokens", 0, 0, 0, NOON + 60))
        self.assertTrue(shortage.final)
        self.time = NOON + 60
        self.assertIsNone(await self.reserved(ledger, "a", tokens(1, 100)))
        self.assertEqual(await now(ledger.standings()), [Standing(RUN, "tokens", 0, 1)])

    async def test_sums_stop_instead_of_overflowing(self) -> None:
        """Whatever a broken provider says it has used; nothing is below zero, either."""
        ledger = await self.opened()
        for _ in range(3):
            await now(ledger.add([tokens(2**70)]))
        await now(ledger.add([tokens(-5)]))
        await self.run_has(ledger, MOST, 0)
        await now(ledger.set_cap(RUN, "money", 2**70))
        money = tokens(MOST - 2, 2**70, measure="money")
        self.assertIsNone(await self.reserved(ledger, "a", money))
        self.assertIsNone(await self.reserved(ledger, "b", money))
        shortage = await self.reserved(ledger, "c", money)
        assert shortage is not None
        self.assertEqual(shortage.standing.reserved, MOST)
        await self.settled(ledger, "a", money)
        await self.settled(ledger, "b", money)
        self.assertEqual((await self.figures(ledger))[RUN + " money"], (MOST, 0))

    async def test_large_sums_are_exact(self) -> None:
        """Every unit counts, in the billions of dollars as well."""
        ledger = await self.opened()
        await now(ledger.add([tokens(MOST - 10)]))
        for number in range(9):
            await self.settled(ledger, str(number), tokens(1))
        await self.run_has(ledger, MOST - 1, 0)

    async def test_made_up_models_are_counted_together(self) -> None:
        """An agent cannot make the ledger grow; nothing that it spends is lost."""
        ledger = await self.opened(FEW)
        for number in range(20):
            entry = tokens(1, account=f"model:{number}")
            await self.reserved(ledger, str(number), entry)
            await self.settled(ledger, str(number), entry, tokens(1))
        figures = await self.figures(ledger)
        self.assertEqual(figures[RUN], (20, 0))
        self.assertLessEqual(len(figures), FEW.rows + 2)
        self.assertEqual(figures["model:other"], (16, 0))
        self.assertEqual(figures["model:0"], (1, 0))

    async def test_cap_of_a_model_for_which_there_is_no_room_is_that_of_all_others(
        self,
    ) -> None:
        """And the answer says so."""
        ledger = await self.opened(FEW)
        for number in range(6):
            await now(ledger.add([tokens(1, account=f"model:{number}")]))
        shortage = await self.reserved(ledger, "a", tokens(1, 2, "model:new"))
        self.assertEqual(
            shortage,
            Shortage(
                tokens(1, 2, "model:other"), Standing("model:other", "tokens", 2, 0)
            ),
        )
        shortage = await now(ledger.reaches([tokens(1, 2, "model:new")]))
        assert shortage is not None
        self.assertEqual(shortage.standing, Standing("model:other", "tokens", 3, 0))
        shortage = await now(ledger.extend("a", [tokens(1, 2, "model:new")]))
        assert shortage is not None
        self.assertEqual(shortage.standing.reserved, 1)

    async def test_account_that_was_left_alone_for_long_makes_room(
        self,
    ) -> None:
        """But none with a claim under way or a cap of an operator's."""
        ledger = await self.opened(FEW)
        await now(ledger.set_cap("model:capped", "tokens", 5))
        await self.reserved(ledger, "a", tokens(1, account="model:busy"))
        await now(ledger.add([tokens(1, account="model:old")]))
        self.time += 500
        await now(ledger.add([tokens(1, account="model:recent")]))
        self.time += 501
        for name in ("new", "newer"):
            await now(ledger.add([tokens(1, account=f"model:{name}")]))
        names = set(await self.figures(ledger))
        kept = {"model:capped", "model:busy", "model:recent", "model:new"}
        self.assertEqual(names, {*kept, "model:other"})
        self.time += 1001
        await now(ledger.add([tokens(1, account="model:newest")]))
        self.assertIn("model:newest", await self.figures(ledger))

    async def test_names_that_cannot_be_stored_are_counted_all_the_same(
        self,
    ) -> None:
        """However long they are, and whatever is in them."""
        ledger = await self.opened()
        names = ("model:" + "x" * 5000, "model:\0", "model:\ud800", "model:\n", "\0:x")
        for number, name in enumerate(names):
            good = tokens(1, account="model:ünï code")
            self.assertIsNone(
                await self.reserved(ledger, str(number), tokens(9, account=name), good)
            )
            await self.settled(ledger, str(number), tokens(1, account=name), good)
        expected = {
            "model:other": (4, 0),
            "model:ünï code": (5, 0),
            "unknown:other": (1, 0),
        }
        self.assertEqual(await self.figures(ledger), expected)

    async def test_standings_are_sorted(self) -> None:
        """By account, then by measure."""
        ledger = await self.opened()
        names = [("b", "x"), ("a", "y"), ("a", "x"), ("c", "a")]
        await now(ledger.add([tokens(1, None, *name) for name in names]))
        found = [(each.account, each.measure) for each in await now(ledger.standings())]
        self.assertEqual(found, sorted(names))

    async def test_claim_of_several_measures_on_one_account(self) -> None:
        """Each measure stands by itself."""
        ledger = await self.opened()
        entries: Sequence[Entry] = [tokens(5, 10), tokens(1, 1, measure="runs")]
        self.assertIsNone(await self.reserved(ledger, "a", *entries))
        shortage = await self.reserved(ledger, "b", *entries)
        assert shortage is not None
        self.assertEqual(shortage.entry.measure, "runs")

    async def test_ledger_can_be_synced_at_any_time(self) -> None:
        """Also when there is nothing to sync."""
        ledger = await self.opened()
        await ledger.sync()
        await now(ledger.add([tokens(5)]))
        await ledger.sync()
        await self.run_has(ledger, 5, 0)
        self.assertEqual(ledger.presumed, 0)
        self.assertNotIn("object at", repr(ledger))
