"""What was spent, as /reflect and /health show it."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.spending import Maxima, spending
from apiproxy.policy.ledger import Standing
from apiproxy.policy.rules import CREDIT, Budgets, Rules

NOTHING = {
    "ai_credits": {
        "enabled": False,
        "max_ai_credits": None,
        "total": 0.0,
        "remaining_ai_credits": None,
        "reserved": 0.0,
        "by_model": {},
    },
    "effective_tokens": {
        "enabled": False,
        "max_effective_tokens": None,
        "total_effective_tokens": 0.0,
        "remaining_effective_tokens": None,
        "reserved": 0.0,
        "percent_used": None,
    },
    "runs": {
        "enabled": False,
        "max_runs": None,
        "invocation_count": 0,
        "remaining_runs": None,
    },
    "cache_misses": {
        "enabled": False,
        "max_cache_misses": None,
        "consecutive_cache_misses": 0,
        "remaining_cache_misses": None,
    },
    "permission_denied": {
        "enabled": False,
        "max_permission_denied": None,
        "denied_count": 0,
        "remaining_permission_denied": None,
    },
}


class SpendingTests(SynchronousTestCase):
    def shown(self, *standings: Standing, **maxima: Any) -> Any:
        return spending(standings, Maxima(**maxima), run="r1", now=100.0)

    def test_nothing(self) -> None:
        """Without limits and before the first request, all names are there."""
        self.assertEqual(self.shown(), NOTHING)

    def test_figures(self) -> None:
        """Each in the unit people know, with the maximum that is configured."""
        shown = self.shown(
            Standing("run:r1", "money", 25_000_000, 10_000_000),
            Standing("run:r1", "tokens", 320_500, 1_000),
            Standing("run:r1", "runs", 3),
            Standing("run:r1", "misses", 2),
            Standing("run:r1", "denied", 9),
            Standing("run:r2", "runs", 100),
            Standing("model:gpt-4o", "money", 5_000_000),
            ai_credits=10.0,
            effective_tokens=1000,
            runs=5,
            permission_denied=4,
        )
        self.assertEqual(
            shown["ai_credits"],
            {
                "enabled": True,
                "max_ai_credits": 10.0,
                "total": 2.5,
                "remaining_ai_credits": 7.5,
                "reserved": 1.0,
                "by_model": {"gpt-4o": {"total": 0.5}},
            },
        )
        tokens = shown["effective_tokens"]
        self.assertEqual((tokens["reserved"], tokens["percent_used"]), (1.0, 32.05))
        self.assertEqual(
            shown["runs"],
            {
                "enabled": True,
                "max_runs": 5,
                "invocation_count": 3,
                "remaining_runs": 2,
            },
        )
        self.assertEqual(shown["cache_misses"]["consecutive_cache_misses"], 2)
        self.assertEqual(shown["permission_denied"]["remaining_permission_denied"], 0)

    def test_an_operators_cap(self) -> None:
        """It goes before what is configured, as long as it holds."""
        for until, most in ((None, 50), (101.0, 50), (100.0, 5)):
            shown = self.shown(Standing("run:r1", "runs", 3, 0, 50, until), runs=5)
            self.assertEqual(shown["runs"]["max_runs"], most)

    def test_a_cap_of_nothing(self) -> None:
        """All of it is used from the start."""
        shown = self.shown(Standing("run:r1", "tokens", 0, 0, 0))
        self.assertEqual(shown["effective_tokens"]["percent_used"], 100.0)


class MaximaTests(SynchronousTestCase):
    def test_what_is_configured(self) -> None:
        """In the units of people."""
        maxima = Maxima.of(Rules())
        self.assertEqual((maxima.ai_credits, maxima.effective_tokens), (None, None))
        budgets = Budgets(ai_credits=CREDIT * 5 // 2, tokens=7000, runs=3)
        maxima = Maxima.of(Rules(budgets=budgets))
        self.assertEqual((maxima.ai_credits, maxima.effective_tokens), (2.5, 7))
        self.assertEqual(maxima.runs, 3)

    def test_the_hard_cap_is_shown_where_it_is_the_one_that_holds(self) -> None:
        """Or more would be said to remain than there is."""
        for budgets in (Budgets(ai_credits=20_000 * CREDIT), Budgets(runs=1)):
            self.assertEqual(Maxima.of(Rules(budgets=budgets)).ai_credits, 10_000)
