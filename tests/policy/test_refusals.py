"""Tests of ``apiproxy.policy.refusals``."""

import re

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import ProxyError
from apiproxy.policy.ledger import Entry, Shortage, Standing
from apiproxy.policy.refusals import refusal
from apiproxy.policy.rules import CREDIT


def refused(
    measure: str,
    spent: int,
    cap: int,
    reserved: int = 0,
    *,
    account: str = "run:1",
    hard: bool = False,
    operator: bool = False,
) -> ProxyError:
    standing = Standing(account, measure, spent, reserved, cap if operator else None)
    return refusal(Shortage(Entry(account, measure, 1, cap), standing), hard=hard)


class TerminalTests(SynchronousTestCase):
    def test_the_names_and_figures_of_the_older_sidecar(self) -> None:
        """With a status after which nothing more is sent."""
        for measure, spent, cap, status, code, details in (
            (
                "tokens",
                1_004_500,
                1_000_000,
                400,
                "effective_tokens_limit_exceeded",
                {"total_effective_tokens": 1004.5, "max_effective_tokens": 1000},
            ),
            (
                "runs",
                5,
                5,
                400,
                "max_runs_exceeded",
                {"invocation_count": 5, "max_runs": 5},
            ),
            (
                "misses",
                3,
                3,
                400,
                "max_cache_misses_exceeded",
                {"consecutive_cache_misses": 3, "max_cache_misses": 3},
            ),
            (
                "denied",
                2,
                2,
                400,
                "permission_denied_limit_exceeded",
                {"denied_count": 2, "max_permission_denied": 2},
            ),
            (
                "money",
                5_370_001,
                CREDIT // 2,
                400,
                "ai_credits_limit_exceeded",
                {"total_ai_credits": 0.537, "max_ai_credits": 0.5, "hard_cap": False},
            ),
        ):
            error = refused(measure, spent, cap)
            self.assertEqual((error.status, error.code), (status, code))
            self.assertEqual((error.kind, error.details), (code, details))
            self.assertFalse(error.retriable)

    def test_what_reads_the_message_goes_on_reading_it(self) -> None:
        """The words that one known reader looks for, and two decimals."""
        message = refused("tokens", 1_004_500, 1_000_000).message
        self.assertTrue(re.search(r"effective[\s_-]*tokens?.*exceeded", message, re.I))
        self.assertIn("(1004.50 / 1000)", message)

    def test_whose_budget_it_is(self) -> None:
        """If not that of the whole run."""
        message = refused("runs", 1, 1, account="caller:ann:1").message
        self.assertIn(" for caller ann:1 ", message)

    def test_the_hard_cap_says_that_it_is(self) -> None:
        """Unless an operator has set another one."""
        error = refused("money", 10_000 * CREDIT, 10_000 * CREDIT, hard=True)
        self.assertIs(error.details["hard_cap"], True)
        self.assertIn("10000 / 10000, the hard cap", error.message)
        self.assertIn("APIPROXY_HARD_CAP_AI_CREDITS", error.message)
        error = refused("money", CREDIT, CREDIT, hard=True, operator=True)
        self.assertIs(error.details["hard_cap"], False)


class ReservedTests(SynchronousTestCase):
    def test_what_may_be_given_back_is_worth_waiting_for(self) -> None:
        """The agent is told when to try again."""
        error = refused("tokens", 500, 1000, 500, account="model:gpt-5")
        self.assertEqual((error.status, error.code), (429, "budget_reserved"))
        self.assertEqual(dict(error.fields), {b"Retry-After": b"5"})
        self.assertIn("effective tokens for model gpt-5 ", error.message)
        self.assertTrue(error.retriable)
        self.assertIn("of runs is", refused("runs", 0, 1, 1).message)
