"""What happens in a row."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.policy.rules import Budgets
from apiproxy.policy.streaks import Streaks, streak

GPT = "model:openai/gpt-4o"
LARGE = Usage(input=2000)
HIT = Usage(input=10, cached=2000)


class StreaksTests(SynchronousTestCase):
    def seen(
        self,
        streaks: Streaks,
        usage: Usage,
        model: str = "gpt-4o",
        provider: str = "openai",
        *,
        succeeded: bool = True,
        known: bool = True,
    ) -> list[str]:
        """What happens to the streaks."""
        missed, clears = streaks.of(
            usage, model, provider, succeeded=succeeded, known=known
        )
        self.assertTrue(all(each.measure == "misses" for each in missed))
        added = [f"+{each.account}" for each in missed]
        return added + [f"0 {account}" for account, _ in clears]

    def test_misses_in_a_row(self) -> None:
        """The first turn has nothing to read, and what is small is not cached by anybody."""
        streaks = Streaks(Budgets(misses=3))
        self.assertEqual(self.seen(streaks, Usage(input=1000)), [])
        self.assertEqual(self.seen(streaks, LARGE), [])
        self.assertEqual(self.seen(streaks, LARGE), [f"+{GPT}"])
        self.assertEqual(self.seen(streaks, HIT), [f"0 {GPT}"])
        self.assertEqual(self.seen(streaks, LARGE), [f"+{GPT}"])
        other = ("claude-sonnet-4-5", "anthropic")
        self.assertEqual(self.seen(streaks, LARGE, *other), [])
        self.assertEqual(
            self.seen(streaks, LARGE, *other), ["+model:anthropic/claude-sonnet-4-5"]
        )

    def test_a_hit_on_the_first_turn_is_a_turn(self) -> None:
        """Another agent has filled the cache before."""
        streaks = Streaks(Budgets(misses=3))
        self.seen(streaks, Usage(cached=2000))
        self.assertEqual(self.seen(streaks, LARGE), [f"+{GPT}"])

    def test_only_what_is_known_counts(self) -> None:
        """No failures, and no estimates."""
        streaks = Streaks(Budgets(misses=3))
        for _ in range(3):
            self.assertEqual(self.seen(streaks, LARGE, known=False), [])
            self.assertEqual(self.seen(streaks, LARGE, succeeded=False), [])

    def test_without_a_limit_nothing_is_counted(self) -> None:
        """And the ledger is not asked."""
        streaks = Streaks(Budgets())
        self.assertFalse(streaks.counted)
        for _ in range(3):
            self.assertEqual(self.seen(streaks, LARGE), [])

    def test_first_turns_do_not_fill_the_memory(self) -> None:
        """However many models an agent makes up."""
        streaks = Streaks(Budgets(misses=3))
        for number in range(1100):
            self.seen(streaks, LARGE, f"made-up-{number}x")
        self.assertEqual(len(streaks._turned), 1024)

    def test_a_success_forgives(self) -> None:
        """If that is configured, and if anything was to be forgiven."""
        cases: tuple[tuple[dict[str, Any], list[str]], ...] = (
            ({"denied": 2}, ["0 provider:openai"]),
            ({"denied": 2, "forgiving": False}, []),
            ({}, []),
        )
        for budgets, ended in cases:
            streaks = Streaks(Budgets(**budgets))
            self.assertEqual(streaks.counted, bool(ended))
            self.assertEqual(self.seen(streaks, Usage(input=1)), ended)

    def test_an_account_for_each_model_of_a_provider(self) -> None:
        """Whatever it is called by."""
        for name in ("gpt-4o", "openai/GPT-4o", "gpt-4o?effort=high"):
            self.assertEqual(streak("openai", name), GPT)
