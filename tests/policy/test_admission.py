"""Tests of ``apiproxy.policy.admission``."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand, Record, State, Usage
from apiproxy.policy.admission import Admission, Settled
from apiproxy.policy.ledger import Claim, Entry, Shortage, Standing
from apiproxy.policy.prices import CATALOGUE, Prices
from apiproxy.policy.rules import CREDIT, Budgets, Models, Rules

GPT = Demand(inference=True, model="gpt-4o", input_bytes=4000, max_output=100)
CLAUDE = Demand(inference=True, model="claude-sonnet-4-5", input_bytes=8000)


class AdmissionCase(SynchronousTestCase):
    def admission(self, *, models: Models | None = None, **budgets: Any) -> Admission:
        rules = Rules(budgets=Budgets(**budgets), models=models or Models())
        prices = Prices(
            rules.pricing, rules.unknown, lambda: "2026-11-23", CATALOGUE.read_bytes
        )
        return Admission(rules, prices)

    def claim(
        self, admission: Admission, demand: Demand, provider: str = "openai"
    ) -> Claim:
        claim = admission.claim("1", demand, provider, "ann", "r")
        assert claim is not None
        return claim

    def settle(
        self,
        admission: Admission,
        usage: Usage | None,
        demand: Demand = GPT,
        provider: str = "openai",
        *,
        succeeded: bool = True,
        state: State = "completed",
        **record: Any,
    ) -> Settled:
        return admission.settled(
            self.claim(admission, demand, provider),
            Record(usage=usage, state=state, **record),
            demand,
            provider,
            succeeded=succeeded,
        )


def amounts(entries: tuple[Entry, ...], account: str = "run:r") -> dict[str, int]:
    return {each.measure: each.amount for each in entries if each.account == account}


class ClaimTests(AdmissionCase):
    def test_a_request_sets_aside_what_it_may_use(self) -> None:
        """Its prompt by its size, and its own limit of output, on four accounts."""
        claim = self.claim(self.admission(), GPT)
        expected = {
            "tokens": 1000 * 1000 + 100 * 4000,
            "money": 1000 * 2500 + 100 * 10_000,
            "runs": 1,
        }
        self.assertEqual(amounts(claim.entries), {**expected, "denied": 0})
        for account in ("provider:openai", "model:gpt-4o", "caller:ann"):
            found = amounts(claim.entries, account)
            self.assertEqual({key: found[key] for key in expected}, expected)
        pairs = [(each.account, each.measure) for each in claim.entries]
        self.assertEqual(len(pairs), len(set(pairs)))

    def test_only_what_is_configured_has_a_cap(self) -> None:
        """In the order in which the older sidecar refuses."""
        admission = self.admission(tokens=1, ai_credits=2, runs=3, misses=4, denied=5)
        claim = self.claim(admission, GPT)
        capped = [
            (each.account, each.measure, each.cap)
            for each in claim.entries
            if each.cap is not None
        ]
        self.assertEqual(
            capped,
            [
                ("run:r", "tokens", 1),
                ("run:r", "runs", 3),
                ("model:openai/gpt-4o", "misses", 4),
                ("provider:openai", "denied", 5),
                ("run:r", "money", 2),
            ],
        )
        self.assertEqual(amounts(claim.entries, "model:openai/gpt-4o"), {"misses": 0})

    def test_the_hard_cap_is_there_without_a_budget(self) -> None:
        """And can be seen."""
        entries = self.claim(self.admission(), GPT).entries
        [money] = [each for each in entries if each.cap is not None]
        self.assertEqual((money.measure, money.cap), ("money", 10_000 * CREDIT))

    def test_what_makes_no_model_work_needs_no_budget(self) -> None:
        """Nor do rules about models look at it."""
        admission = self.admission(models=Models(allowed=("x",)))
        listing = Demand(inference=False)
        self.assertIsNone(admission.claim("1", listing, "openai", "ann", "r"))
        self.assertIsNone(admission.check(listing, "openai"))
        self.assertIsNotNone(admission.check(GPT, "openai"))

    def test_accounts_are_named_alike(self) -> None:
        """However a model is written; without a caller or model there is none."""
        demand = Demand(inference=True, model=" OpenAI/GPT-4o?effort=high")
        entries = self.claim(self.admission(), demand).entries
        self.assertIn("model:gpt-4o", {each.account for each in entries})
        claim = self.admission().claim("1", Demand(inference=True), "openai", "", "r")
        assert claim is not None
        self.assertEqual(
            {each.account for each in claim.entries}, {"run:r", "provider:openai"}
        )

    def test_absurd_wishes_are_cut(self) -> None:
        """No figure is one that a ledger cannot add."""
        demand = Demand(
            inference=True, model="gpt-4o", max_output=10**40, answers=10**9
        )
        for each in self.claim(self.admission(), demand).entries:
            self.assertLessEqual(each.amount, 10**15)

    def test_answers_are_counted(self) -> None:
        """Each of them may be as long as it likes."""
        demand = Demand(inference=True, model="gpt-4o", max_output=10, answers=3)
        self.assertEqual(
            amounts(self.claim(self.admission(), demand).entries)["tokens"], 120_000
        )

    def test_models_are_known_by_their_habits(self) -> None:
        """A request without a limit sets aside what answers usually have."""
        admission = self.admission(reserve=500)
        free = Demand(inference=True, model="gpt-4o")
        before = amounts(self.claim(admission, free).entries)["tokens"]
        for _ in range(5):
            self.settle(admission, Usage(output=7), free)
        after = amounts(self.claim(admission, free).entries)["tokens"]
        self.assertEqual((before, after), (2_000_000, 28_000))


class SettleTests(AdmissionCase):
    def test_what_was_used_is_written_down(self) -> None:
        """On the accounts of the claim, with all figures for the log."""
        settled = self.settle(
            self.admission(),
            Usage(input=600, cached=400, output=100, inclusive=True),
            model="gpt-4o-2024-08-06",
        )
        expected = {"tokens": 1_040_000, "money": 3_000_000, "runs": 1}
        for account in ("run:r", "model:gpt-4o", "provider:openai", "caller:ann"):
            self.assertEqual(amounts(settled.entries, account), expected)
        assert settled.terms.quote is not None and settled.bill is not None
        self.assertEqual(
            (settled.tokens, settled.nanodollars, settled.terms.multiplier),
            (1_040_000, 3_000_000, 1_000_000),
        )
        self.assertEqual(
            (settled.terms.quote.source, settled.tier), ("genai-prices", "default")
        )
        self.assertFalse(settled.estimated or settled.terms.known)

    def test_a_failure_costs_what_it_tells(self) -> None:
        """Nothing, mostly, and it is no run."""
        admission = self.admission()
        failed = self.settle(admission, None, succeeded=False, state="failed")
        self.assertEqual(amounts(failed.entries), {"tokens": 0, "money": 0, "runs": 0})
        told = self.settle(admission, Usage(input=1), succeeded=False, state="failed")
        self.assertEqual(amounts(told.entries)["tokens"], 1000)

    def test_what_broke_off_costs_what_was_said(self) -> None:
        """By its size, and it is said to be an estimate."""
        settled = self.settle(
            self.admission(), None, state="cut", gap="agent_gone", said=400
        )
        self.assertTrue(settled.estimated)
        self.assertEqual(settled.usage, Usage(input=1000, output=100))

    def test_who_leaves_before_the_figures_pays_what_is_usual(self) -> None:
        """They come last, and what was thought is told by them alone."""
        for gap in ("agent_gone", "request_timeout", "too_many_exchanges"):
            for said, output in ((10, 100), (3000, 3000)):
                estimate = Usage(input=1000, output=said)
                settled = self.settle(
                    self.admission(),
                    estimate,
                    state="cut",
                    gap=gap,
                    estimated=True,
                    untold=True,
                )
                self.assertTrue(settled.estimated)
                self.assertEqual(settled.usage, Usage(input=1000, output=output))

    def test_whoever_else_ends_it_pays_what_was_said(self) -> None:
        """So does who leaves when figures of the output had been told."""
        estimate = Usage(input=1000, output=10)
        for gap, untold in (("upstream_reset", True), ("agent_gone", False)):
            settled = self.settle(
                self.admission(), estimate, gap=gap, estimated=True, untold=untold
            )
            self.assertEqual(settled.usage, estimate)

    def test_what_could_not_be_read_costs_what_is_usual(self) -> None:
        """Not nothing."""
        admission = self.admission(reserve=500)
        settled = self.settle(admission, None, CLAUDE, gap="content_encoding")
        self.assertEqual(settled.usage, Usage(input=2000, output=500))
        settled = self.settle(admission, None, GPT, gap="content_encoding")
        self.assertEqual(settled.usage, Usage(input=1000, output=100))

    def test_a_provider_that_tells_nothing(self) -> None:
        """Is believed as to its output, which has a size."""
        settled = self.settle(self.admission(), None)
        self.assertEqual(settled.usage, Usage(input=1000))
        self.assertTrue(settled.estimated)

    def test_a_model_without_a_price(self) -> None:
        """Costs nothing unless something else is configured, and that can be seen."""
        demand = Demand(inference=True, model="zzz")
        settled = self.settle(self.admission(), Usage(output=1), demand)
        self.assertIsNone(settled.nanodollars)
        self.assertEqual(
            (settled.tier, settled.terms.quote, settled.bill), ("", None, None)
        )
        self.assertEqual(amounts(settled.entries)["money"], 0)

    def test_a_refusal_is_made_of_a_shortage(self) -> None:
        """With what is known of the hard cap."""
        cap = 10_000 * CREDIT
        shortage = Shortage(
            Entry("run:r", "money", 1, cap), Standing("run:r", "money", cap)
        )
        error = self.admission().refusal(shortage)
        self.assertIs(error.details["hard_cap"], True)


class StreakTests(AdmissionCase):
    def test_streaks_are_settled_with_the_rest(self) -> None:
        """What is added is spent, what has ended is cleared; no estimate is either."""
        admission = self.admission(misses=3)
        account = "model:openai/gpt-4o"
        self.settle(admission, Usage(input=2000))
        settled = self.settle(admission, Usage(input=2000), estimated=True)
        self.assertEqual(amounts(settled.entries, account), {})
        settled = self.settle(admission, Usage(input=2000))
        self.assertEqual(amounts(settled.entries, account), {"misses": 1})
        settled = self.settle(admission, Usage(input=10, cached=2000))
        self.assertEqual(settled.clears, ((account, "misses"),))
        self.assertEqual(amounts(settled.entries, account), {})


class DenialTests(AdmissionCase):
    def test_only_denials_of_the_provider_count(self) -> None:
        """On its account."""
        admission = self.admission(denied=2)
        for status in (401, 403):
            self.assertEqual(
                admission.failed("openai", status),
                (Entry("provider:openai", "denied", 1, 2),),
            )
        self.assertEqual(admission.failed("openai", 429), ())
        self.assertEqual(
            admission.failed("openai", 401, "r")[1], Entry("run:r", "denied", 1)
        )


class CutTests(AdmissionCase):
    def test_what_a_running_answer_has_used(self) -> None:
        """Its prompt and what it has said, on the accounts and by the caps of its claim."""
        admission = self.admission(tokens=2_000_000)
        claim = self.claim(admission, GPT)
        for said, output in ((0, 0), (4, 1), (404, 101)):
            used = admission.so_far(claim, Record(said=said), GPT, "openai")
            tokens, money = 1000 * 1000 + output * 4000, 1000 * 2500 + output * 10_000
            expected = {"tokens": tokens, "money": money}
            for account in ("run:r", "provider:openai", "model:gpt-4o", "caller:ann"):
                self.assertEqual(amounts(used, account), expected)
            self.assertEqual(
                [
                    each
                    for each in used
                    if each.cap is not None and each.measure != "money"
                ],
                [Entry("run:r", "tokens", tokens, 2_000_000)],
            )
