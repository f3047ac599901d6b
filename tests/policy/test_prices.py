"""Tests of ``apiproxy.policy.prices``."""

import math
from datetime import UTC, datetime
from importlib.metadata import version

from genai_prices import Usage as TheirUsage, calc_price
from genai_prices.data import providers
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.policy.catalogue import Step
from apiproxy.policy.overlay import NO_PRICES, Overlay, read_overlay
from apiproxy.policy.prices import CATALOGUE, Prices
from apiproxy.policy.rules import Pricing, Unknown
from apiproxy.policy.tariff import Price

TODAY = "2026-11-23"
OURS = {"google": "gemini", "github-copilot": "copilot", "aws": "bedrock"}
"""What we call providers that have another name there."""

OWN = read_overlay(
    '{"openai":{"models":{"gpt-4o":{"cost":{"input":1e-6,"output":1e-6}}}}}'
)
SMALL = Usage(input=1000, output=100)


class PricesCase(SynchronousTestCase):
    def prices(
        self,
        overlay: Overlay = NO_PRICES,
        default: Price | None = None,
        unknown: Unknown = "free",
    ) -> Prices:
        self.day = TODAY
        pricing = Pricing(overlay=overlay, default=default)
        return Prices(pricing, unknown, lambda: self.day, CATALOGUE.read_bytes)


class QuoteTests(PricesCase):
    def test_what_the_older_sidecar_counted(self) -> None:
        """Its own examples, in AI credits; and one token is never counted twice."""
        prices = self.prices()
        cached = Usage(input=600, cached=400, output=100, inclusive=True)
        written = Usage(input=1000, cached=400, written=200, output=100)
        inclusive = Usage(
            input=400, cached=400, written=200, output=100, inclusive=True
        )
        for provider, model, usage, credits in (
            ("openai", "gpt-4o", cached, 0.3),
            ("anthropic", "claude-sonnet-4-5", written, 0.537),
            ("copilot", "claude-sonnet-4.5", inclusive, 0.357),
            ("copilot", "auto", SMALL, 1.5),
            ("openai", "unknown", SMALL, 0.45),
        ):
            quote = prices.quote(provider, model)
            assert quote is not None
            self.assertEqual(quote.bill(usage).total, round(credits * 10**7), model)

    def test_ones_own_price_is_of_no_other_model(self) -> None:
        """Else a budget would count the dear one at the price of the cheap one."""
        own = self.prices(OWN)
        for model in ("gpt-4o-mini", "gpt-4o-audio-preview"):
            quote, known = (
                own.quote("openai", model),
                self.prices().quote("openai", model),
            )
            assert quote is not None
            self.assertEqual(quote, known)
            self.assertEqual(quote.source, "genai-prices")

    def test_each_price_says_where_it_comes_from(self) -> None:
        """In the words of the usage log."""
        prices = self.prices(OWN, default=Price.of(1, 1), unknown="default")
        prices.tell("copilot", {"GPT-4.1": (Step(0, [5, 6]),)})
        for provider, model, source, policy, fallback in (
            ("openai", "GPT-4o-2024-08-06", "operator", "concrete_model", False),
            ("copilot", "gpt-4.1", "provider", "concrete_model", False),
            ("openai", "gpt-4.1", "genai-prices", "concrete_model", False),
            ("copilot", "raptor-mini", "curated", "concrete_model", False),
            ("openai", "zzz", "configured_default", "unknown_model_fallback", True),
            (
                "copilot",
                "Auto",
                "dynamic_selector_fallback",
                "dynamic_selector_fallback",
                True,
            ),
        ):
            quote = prices.quote(provider, model)
            assert quote is not None
            self.assertEqual(
                (quote.source, quote.policy, quote.fallback),
                (source, policy, fallback),
                model,
            )

    def test_tiers_have_the_references_names(self) -> None:
        """By what went in."""
        quote = self.prices().quote("gemini", "gemini-2.5-pro")
        auto = self.prices().quote("copilot", "auto")
        assert quote is not None and auto is not None
        self.assertEqual(quote.tier(200_000), "default")
        self.assertEqual(quote.tier(200_001), "long_context")
        self.assertEqual(auto.tier(1), "conservative")
        self.assertEqual(auto.selector, "copilot:auto")
        long = quote.bill(Usage(input=100_000, cached=100_001))
        self.assertEqual(long.input, 250_000_000)

    def test_the_provider_may_choose_at_a_known_price(self) -> None:
        """Then it is not a guess."""
        prices = self.prices()
        prices.tell("copilot", {"auto": (Step(0, [5, 6]),)})
        quote = prices.quote("copilot", "auto")
        assert quote is not None
        self.assertEqual(quote.policy, "dynamic_selector_runtime")

    def test_faster_service_costs_more(self) -> None:
        """By the tier of the answer."""
        prices = self.prices()
        plain = prices.quote("openai", "gpt-4.1")
        fast = prices.quote("openai", "gpt-4.1", "priority")
        assert plain is not None and fast is not None
        self.assertGreater(fast.price(1).input, plain.price(1).input)


class AgreementTests(PricesCase):
    def test_it_says_what_genai_prices_says(self) -> None:
        """Of every model, for short and long contexts; by the request nobody pays here."""
        prices, file = self.prices(), self.prices().catalogue.file
        if file.version != version("genai-prices"):
            raise SkipTest(f"prices are of {file.version}: make prices")
        checked = 0
        for provider in providers:
            ours = OURS.get(provider.id, provider.id)
            for model in provider.models if provider.id != "perplexity" else ():
                for input in (1000, 300_000):
                    theirs = self.theirs(provider.id, model.id, input)
                    if theirs is None:
                        continue
                    quote = prices.quote(ours, model.id)
                    total = 0
                    if quote is not None:
                        usage = Usage(input=input, cached=300, output=200)
                        total = quote.bill(usage).total
                    checked += 1
                    off = abs(total - theirs)  # they have prices with more decimals
                    self.assertLessEqual(off, 2, (provider.id, model.id, input))
        self.assertGreater(checked, 4000)

    def theirs(self, provider: str, model: str, input: int) -> int | None:
        """Billionths of a dollar, rounded up; None if they do not know either."""
        usage = TheirUsage(
            input_tokens=input + 300, cache_read_tokens=300, output_tokens=200
        )
        try:
            price = calc_price(
                usage,
                model,
                provider_id=provider,
                genai_request_timestamp=datetime(2026, 11, 23, 2, tzinfo=UTC),
            )
        except (LookupError, ValueError):
            return None
        return math.ceil(price.total_price * 10**9)


class UnknownTests(PricesCase):
    def test_nobody_knows_it(self) -> None:
        """No price, the configured one, or that of a good model."""
        own = Price.of(7, 7)
        for unknown, default, source in (
            ("free", None, None),
            ("free", own, None),
            ("refuse", own, None),
            ("default", own, "configured_default"),
            ("default", None, "builtin_fallback"),
        ):
            prices = self.prices(default=default, unknown=unknown)  # type: ignore[arg-type]
            quote = prices.quote("openai", "zzz")
            self.assertEqual(None if quote is None else quote.source, source)
        self.assertIsNone(self.prices().quote("openai", ""))

    def test_a_known_name_goes_before_a_guess(self) -> None:
        """The answer may have another name than the request."""
        prices = self.prices(unknown="default")
        for models, source in (
            (("zzz", "gpt-4o"), "genai-prices"),
            (("gpt-4o", "zzz"), "genai-prices"),
            (("zzz", ""), "builtin_fallback"),
        ):
            quote = prices.best("openai", models)
            assert quote is not None
            self.assertEqual(quote.source, source)
        self.assertIsNone(self.prices().best("openai", ("zzz", "")))
        self.assertIsNone(self.prices().best("openai", ("",)))


class MemoryTests(PricesCase):
    def test_prices_change_at_midnight(self) -> None:
        """What was remembered of yesterday is forgotten."""
        prices = self.prices()
        self.day = "2026-01-01"
        before = prices.quote("anthropic", "claude-opus-4-6")
        self.day = TODAY
        after = prices.quote("anthropic", "claude-opus-4-6")
        assert before is not None and after is not None
        self.assertEqual((len(before.steps), len(after.steps)), (2, 1))

    def test_made_up_names_do_not_fill_the_memory(self) -> None:
        """However many an agent sends."""
        prices = self.prices()
        for number in range(2100):
            prices.quote("openai", f"made-up-{number}x")
        self.assertLessEqual(len(prices._quotes), 1024)

    def test_what_a_provider_says_replaces_what_it_said(self) -> None:
        """Of its own models only."""
        prices = self.prices()
        prices.tell("copilot", {"a1": (Step(0, [5, 6]),)})
        prices.tell("openai", {"a2": (Step(0, [5, 6]),)})
        self.assertIsNotNone(prices.quote("copilot", "a1"))
        prices.tell("copilot", {})
        self.assertIsNone(prices.quote("copilot", "a1"))
        self.assertIsNotNone(prices.quote("openai", "a2"))
