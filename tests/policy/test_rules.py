"""Tests of ``apiproxy.policy.rules``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.rules import CREDIT, Budgets, Models, Places, Pricing, Rules
from apiproxy.policy.tariff import Price


class MoneyTests(SynchronousTestCase):
    def test_the_hard_cap_holds_unless_it_is_lifted(self) -> None:
        """Whatever else is set, and one can see which of them is in force."""
        for credits, hard, cap, is_hard in (
            (None, 10_000, 10_000, True),
            (5, 10_000, 5, False),
            (20_000, 10_000, 10_000, True),
            (20_000, None, 20_000, False),
            (None, None, None, False),
        ):
            budgets = Budgets(
                ai_credits=None if credits is None else credits * CREDIT,
                hard_cap=None if hard is None else hard * CREDIT,
            )
            expected = None if cap is None else cap * CREDIT
            self.assertEqual((budgets.money_cap, budgets.hard), (expected, is_hard))


class CapTests(SynchronousTestCase):
    def test_what_is_configured_for_an_account(self) -> None:
        """Nothing, for most of them."""
        budgets = Budgets(tokens=1, ai_credits=2, runs=3, denied=4, misses=5)
        for account, measure, cap in (
            ("run:1", "tokens", 1),
            ("run:1", "money", 2),
            ("run:1", "runs", 3),
            ("provider:openai", "denied", 4),
            ("model:openai/gpt-5", "misses", 5),
            ("model:gpt-5", "misses", None),
            ("provider:openai", "tokens", None),
            ("nonsense", "tokens", None),
        ):
            self.assertEqual(budgets.cap(account, measure), cap, (account, measure))

    def test_the_hard_cap_is_one_where_requests_are_seen(self) -> None:
        """It is not shown as in force where nobody looks."""
        money = "run:1", "money"
        self.assertIsNone(Rules().cap(*money))
        for rules in (
            Rules(budgets=Budgets(runs=5)),
            Rules(places=Places(concurrent=5)),
            Rules(places=Places(per_caller=5)),
            Rules(models=Models(allowed=("a",))),
        ):
            self.assertEqual(rules.cap(*money), 10_000 * CREDIT)


class UnknownModelTests(SynchronousTestCase):
    def test_what_becomes_of_a_model_without_a_price(self) -> None:
        """As it is said, else as it fits."""
        budgets, default = Budgets(ai_credits=1), Price.of(1, 1)
        for rules, unknown in (
            (Rules(), "free"),
            (Rules(budgets=budgets), "refuse"),
            (Rules(budgets=budgets, pricing=Pricing(default=default)), "default"),
            (Rules(budgets=budgets, pricing=Pricing(unknown="free")), "free"),
            (Rules(pricing=Pricing(unknown="refuse")), "refuse"),
        ):
            self.assertEqual(rules.unknown, unknown)

    def test_when_a_model_must_be_read(self) -> None:
        """Only if there is a rule that needs it."""
        self.assertFalse(Rules().reads_models)
        for models in (
            Models(allowed=("a",)),
            Models(disallowed=("a",)),
            Models(max_multiplier=1),
        ):
            self.assertTrue(Rules(models=models).reads_models)
        self.assertTrue(Rules(budgets=Budgets(ai_credits=1)).reads_models)
