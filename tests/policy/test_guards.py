"""Tests of ``apiproxy.policy.guards``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import ProxyError
from apiproxy.core.grant import Allowance, Grant
from apiproxy.core.usage import Demand
from apiproxy.policy.guards import ModelGuard
from apiproxy.policy.prices import CATALOGUE, Prices
from apiproxy.policy.rules import Budgets, Models, Pricing, Rules, Weighing
from apiproxy.policy.tariff import Price
from apiproxy.policy.weights import ONE, Weights


class GuardCase(SynchronousTestCase):
    def check(
        self,
        rules: Rules,
        demand: Demand | str,
        provider: str = "openai",
        grant: Grant | None = None,
    ) -> ProxyError | None:
        if isinstance(demand, str):
            demand = Demand(inference=True, model=demand)
        prices = Prices(
            rules.pricing, rules.unknown, lambda: "2026-11-23", CATALOGUE.read_bytes
        )
        return ModelGuard(rules, Weights(rules.weighing), prices).check(
            demand, provider, grant
        )

    def refused(
        self, rules: Rules, demand: Demand | str, provider: str = "openai"
    ) -> ProxyError:
        error = self.check(rules, demand, provider)
        assert error is not None
        return error


class PolicyTests(GuardCase):
    def test_without_rules_everything_passes(self) -> None:
        """Also what cannot be read."""
        for demand in ("gpt-5", "", Demand(inference=True, unreadable="not_json")):
            self.assertIsNone(self.check(Rules(), demand))

    def test_lists_of_models(self) -> None:
        """What is refused goes before what is allowed; in any case."""
        for allowed, disallowed, model, reason in (
            (["gpt-5*"], [], "GPT-5-mini", None),
            (["gpt-5*"], [], "gpt-4o", "not_allowed"),
            (["GPT-5"], [], "gpt-5?effort=high", None),
            (["gemini-*"], [], "models/gemini-2.5-pro", None),
            (["gpt-5"], [], "evil/gpt-5", "not_allowed"),
            (["*"], ["gpt-5"], "gpt-5", "disallowed"),
            ([], ["gpt-5"], "openai/gpt-5", "disallowed"),
            ([], ["gpt-5"], "GPT-5:beta", "disallowed"),
            ([], ["gpt-5"], "gpt-5-mini", None),
            ([], ["gpt-5"], "auto", "dynamic_model_unverifiable"),
            (["auto"], ["gpt-5"], "Auto", None),
            ([], ["auto"], "auto", "dynamic_model_unverifiable"),
            ([], ["gpt-5"], "openrouter/auto", "dynamic_model_unverifiable"),
            ([], ["gpt-5"], "openrouter/auto:online", "dynamic_model_unverifiable"),
            ([], ["gpt-4o*"], "ft:gpt-4o-2024-08-06:acme::id", "disallowed"),
            ([], ["ft:*"], "ft:gpt-4o-2024-08-06:acme::id", "disallowed"),
            ([], ["claude-3*"], "us.anthropic.claude-3-opus-v1:0", "disallowed"),
            ([], ["claude-3*"], "anthropic.claude-3-opus-v1:0", "disallowed"),
            ([], ["claude-3*"], "us.anthropic.claude-4-opus-v1:0", None),
            (["claude-3*"], [], "us.anthropic.claude-3-opus-v1:0", "not_allowed"),
        ):
            rules = Rules(
                models=Models(allowed=tuple(allowed), disallowed=tuple(disallowed))
            )
            error = self.check(rules, model)
            found = None if error is None else error.details["reason"]
            self.assertEqual(found, reason, model)
            if error is not None:
                self.assertEqual(
                    (error.code, error.status, error.details["model"]),
                    ("model_policy_violation", 400, model),
                )

    def test_the_name_that_should_not_count_counts_too(self) -> None:
        """A path may name one model and the body another."""
        rules = Rules(models=Models(disallowed=("gpt-5",)))
        demand = Demand(inference=True, model="gpt-4o", other="gpt-5")
        self.assertEqual(self.refused(rules, demand).details["model"], "gpt-5")

    def test_a_rule_closes_what_cannot_be_read(self) -> None:
        """It says why."""
        rules = Rules(models=Models(allowed=("*",)))
        for demand, word in (
            (Demand(inference=True, unreadable="not_json"), "not_json"),
            (Demand(inference=True), "names none"),
            (Demand(inference=True, model="a" * 300), "longer"),
        ):
            error = self.refused(rules, demand)
            self.assertEqual((error.code, error.status), ("body_unreadable", 400))
            self.assertIn(word, error.message)

    def test_only_what_makes_a_model_work_is_looked_at(self) -> None:
        """A list of models can always be fetched."""
        rules = Rules(models=Models(allowed=("x",)))
        self.assertIsNone(self.check(rules, Demand(unreadable="no_body")))


class OtherRuleTests(GuardCase):
    def test_a_cap_on_multipliers(self) -> None:
        """Whether or not there is a budget of tokens."""
        rules = Rules(
            models=Models(max_multiplier=2 * ONE),
            weighing=Weighing(multipliers={"gpt-5": 3 * ONE, "gpt-5-mini": ONE}),
        )
        error = self.refused(rules, "gpt-5-codex-x")
        self.assertEqual(error.code, "model_multiplier_cap_exceeded")
        self.assertEqual(
            error.details,
            {
                "model": "gpt-5-codex-x",
                "model_multiplier": 3,
                "max_model_multiplier": 2,
            },
        )
        self.assertIsNone(self.check(rules, "gpt-5-mini"))
        self.assertIsNone(self.check(rules, "auto"))
        for name in ("Auto", "github/auto", "auto?effort=high", "auto:x"):
            error = self.refused(rules, name, "copilot")
            self.assertEqual(error.code, "model_multiplier_cap_unverifiable")
            self.assertIsNone(error.details["model_multiplier"])

    def test_a_multiplier_for_auto_settles_it(self) -> None:
        """Then it can be compared."""
        rules = Rules(
            models=Models(max_multiplier=2 * ONE),
            weighing=Weighing(multipliers={"auto": 3 * ONE}),
        )
        error = self.refused(rules, "auto", "copilot")
        self.assertEqual(error.code, "model_multiplier_cap_exceeded")

    def test_retired_models(self) -> None:
        """Always; what is named like a part of Python is none."""
        error = self.refused(Rules(), "GPT-5-Codex")
        self.assertEqual((error.code, error.status), ("retired_model", 400))
        self.assertEqual(error.details["suggestion"], "gpt-5.3-codex")
        self.assertIsNone(self.check(Rules(), "__class__"))

    def test_models_without_a_price(self) -> None:
        """Are refused where there is a budget of money, unless it is said otherwise."""
        budgets = Budgets(ai_credits=1)
        error = self.refused(Rules(budgets=budgets), "zzz")
        self.assertEqual((error.code, error.status), ("unknown_model_ai_credits", 400))
        self.assertEqual(error.details, {"model": "zzz"})
        self.assertIsNone(self.check(Rules(budgets=budgets), "gpt-4o"))
        self.assertIsNone(self.check(Rules(budgets=budgets), "auto", "copilot"))
        self.assertIsNone(self.check(Rules(), "zzz"))
        self.assertIsNone(self.check(Rules(budgets=budgets), "unknown"))
        free = Rules(budgets=budgets, pricing=Pricing(unknown="free"))
        self.assertIsNone(self.check(free, "zzz"))

    def test_models_without_a_price_for_a_caller_with_a_budget(self) -> None:
        """It would be spent by none of them, however much they cost."""
        rich, poor = (
            Grant("ci", ("caller:ci",), (Allowance("caller:ci", measure, 9),))
            for measure in ("runs", "money")
        )
        default = Price.of(1, 1)
        for grant, pricing, refused in (
            (poor, Pricing(), True),
            (poor, Pricing(unknown="refuse"), True),
            (poor, Pricing(unknown="free"), False),
            (poor, Pricing(default=default), False),
            (rich, Pricing(), False),
            (None, Pricing(), False),
        ):
            error = self.check(Rules(pricing=pricing), "zzz", grant=grant)
            self.assertEqual(error is not None, refused, pricing)
        self.assertIsNone(self.check(Rules(), "gpt-4o", grant=poor))
        unnamed = self.check(Rules(), Demand(inference=True), grant=poor)
        assert unnamed is not None
        self.assertEqual(unnamed.code, "body_unreadable")
