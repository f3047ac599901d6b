"""Tests of ``apiproxy.policy.catalogue``, with the file that comes with it."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.catalogue import Catalogue, Dated, Entry, Step
from apiproxy.policy.prices import CATALOGUE

TODAY = "2026-11-23"


def small(**providers: list[Entry]) -> Catalogue:
    """A catalogue of a few models."""
    file = {"source": "s", "version": "1", "date": TODAY, "providers": providers}
    return Catalogue(lambda: msgspec.json.encode(file))


def entry(key: str, figure: int, *prefixes: str) -> Entry:
    return Entry([key], list(prefixes), [Dated("", [Step(0, [figure, figure])])])


class BundledTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.catalogue = Catalogue(CATALOGUE.read_bytes)

    def first(self, provider: str, model: str) -> tuple[str, list[int | None]] | None:
        """The place of a model, and its first price."""
        found = self.catalogue.find(provider, model)
        if found is None:
            return None
        return found[0], found[1].steps(TODAY, "")[0].figures

    def test_it_says_where_it_comes_from(self) -> None:
        """And when."""
        file = self.catalogue.file
        self.assertEqual(file.source, "genai-prices")
        self.assertRegex(file.date, r"^20\d\d-\d\d-\d\d$")
        self.assertRegex(file.version, r"^\d+\.\d+")

    def test_every_entry_can_be_read(self) -> None:
        """Of every provider, with a price today and on the first day of all."""
        number = 0
        for name, raw in self.catalogue.file.providers.items():
            for one in msgspec.json.decode(raw, type=list[Entry]):
                number += 1
                self.assertTrue(one.keys, name)
                for day in (TODAY, "2000-01-01"):
                    for step in one.steps(day, ""):
                        self.assertGreaterEqual(step.price.output, 0)
        self.assertGreater(number, 2000)

    def test_models_are_found_by_many_names(self) -> None:
        """At the provider that is asked, or at whoever made them."""
        sonnet = [3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000]
        for provider, model, place, figures in (
            ("openai", "gpt-4o", "openai", [2_500_000, 10_000_000, 1_250_000]),
            ("openai", "GPT-4O", "openai", [2_500_000, 10_000_000, 1_250_000]),
            (
                "openai",
                "openai/gpt-5.4-2026-03-01",
                "openai",
                [2_500_000, 15_000_000, 250_000],
            ),
            ("openai", "gpt-5.4-mini-fast", "openai", [750_000, 4_500_000, 75_000]),
            (
                "openai",
                "gpt-5.4?effort=high",
                "openai",
                [2_500_000, 15_000_000, 250_000],
            ),
            ("anthropic", "claude-sonnet-4-20250514", "anthropic", sonnet),
            ("copilot", "claude-sonnet-4.5", "anthropic", sonnet),
            ("vertex", "claude-sonnet-4-5@20250929", "google", sonnet),
            ("copilot", "raptor-mini", "curated", [250_000, 2_000_000, 25_000]),
            ("opencode", "gpt-4o", "openai", [2_500_000, 10_000_000, 1_250_000]),
        ):
            self.assertEqual(self.first(provider, model), (place, figures), model)

    def test_no_wrong_base_is_taken(self) -> None:
        """Something like a known model is not a known model."""
        for model in ("gpt-5-pro-x", "gpt-55", "zzz", "unknown", "auto", ""):
            self.assertIsNone(self.first("openai", model), model)

    def test_a_long_context_costs_more(self) -> None:
        """Where the provider says so."""
        found = self.catalogue.find("gemini", "gemini-2.5-pro")
        assert found is not None
        steps = found[1].steps(TODAY, "")
        self.assertEqual([step.above for step in steps], [0, 200_000])
        self.assertGreater(steps[1].price.input, steps[0].price.input)


class CatalogueTests(SynchronousTestCase):
    def test_only_what_is_asked_for_is_read(self) -> None:
        """A provider that is never asked costs nothing."""
        file = {"source": "s", "version": "1", "date": TODAY, "providers": {"x": 5}}
        catalogue = Catalogue(lambda: msgspec.json.encode(file))
        self.assertIsNone(catalogue.find("y", "m"))
        self.assertRaises(msgspec.ValidationError, catalogue.find, "x", "m")

    def test_the_provider_that_is_asked_goes_first(self) -> None:
        """Then the vendor in the name, then who makes models, then who sells them."""
        catalogue = small(
            mine=[entry("a", 1)],
            theirs=[entry("a", 2), entry("b", 2)],
            openai=[entry("b", 3), entry("c", 3)],
            openrouter=[entry("mine/d", 4), entry("e", 4)],
        )
        for provider, model, place in (
            ("mine", "a", "mine"),
            ("mine", "theirs/b", "theirs"),
            ("mine", "b", "openai"),
            ("other", "c", "openai"),
            ("other", "mine/d", "openrouter"),
        ):
            found = catalogue.find(provider, model)
            assert found is not None
            self.assertEqual(found[0], place)
        self.assertIsNone(catalogue.find("mine", "e"))

    def test_the_longest_beginning_is_found(self) -> None:
        """Where the file says that names may go on."""
        catalogue = small(mine=[entry("a", 1, "a"), entry("ab", 2, "a-b")])
        for model, figure in (("a-x", 1), ("a-b-x", 2)):
            found = catalogue.find("mine", model)
            assert found is not None
            self.assertEqual(found[1].steps(TODAY, "")[0].figures[0], figure)
        self.assertIsNone(catalogue.find("mine", "b"))

    def test_prices_begin_on_a_day(self) -> None:
        """Before the first of them, that one holds."""
        one = Entry(
            ["a"],
            [],
            [
                Dated("2026-01-01", [Step(0, [1, 0])]),
                Dated("2026-06-01", [Step(0, [2, 3])]),
            ],
            {"flex": [Dated("2026-06-01", [Step(0, [1, 0])])]},
        )
        for day, tier, figure in (
            ("2025-01-01", "", 1),
            ("2026-05-31", "", 1),
            ("2026-06-01", "", 2),
            ("2026-06-01", "FLEX", 1),
            ("2026-06-01", "priority", 2),
            ("2026-05-31", "flex", 1),
        ):
            self.assertEqual(one.steps(day, tier)[0].figures[0], figure)
        self.assertEqual(one.steps("2026-01-01", "")[0].price.output, 0)
