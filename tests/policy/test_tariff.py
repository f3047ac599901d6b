"""Tests of ``apiproxy.policy.tariff``."""

from decimal import Decimal

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.policy.tariff import Price, bill, per_million, tenth

M = 1_000_000


class PriceTests(SynchronousTestCase):
    def test_what_is_not_said_is_made_of_what_is(self) -> None:
        """Nothing that is not said is free."""
        self.assertEqual(Price.of(3, 15), Price(3, 3, 3, 3, 15, 3, 15, 3, 15))

    def test_a_cache_for_an_hour_costs_twice_the_input(self) -> None:
        """Where writing costs anything, and no price of its own is said."""
        price = Price.of(3 * M, 15 * M, 300_000, 3_750_000)
        self.assertEqual(price.written_hour, 6 * M)
        self.assertEqual(Price.of(2, 9, written=5).written_hour, 5)
        self.assertEqual(Price.of(3, 15, 1, 4, 7).written_hour, 7)

    def test_prices_are_read_from_dollars(self) -> None:
        """For a million tokens, and nothing absurd."""
        self.assertEqual(per_million(Decimal("0.0028")), 2800)
        self.assertEqual(tenth(2800), 280)
        for dollars in ("-1", "NaN", "Infinity", "1e9"):
            self.assertRaises(ValueError, per_million, Decimal(dollars))


class BillTests(SynchronousTestCase):
    def test_every_token_is_counted_once(self) -> None:
        """1000 in, of which 400 are from the cache, and 100 out of gpt-4o: 0.3 credits."""
        price = Price.of(2_500_000, 10 * M, 1_250_000)
        found = bill(Usage(input=600, cached=400, output=100, inclusive=True), price)
        self.assertEqual(found.total, 3_000_000)
        self.assertEqual(
            (found.input, found.cached, found.written, found.output),
            (1_500_000, 500_000, 0, 1_000_000),
        )

    def test_writing_to_a_cache_costs(self) -> None:
        """Claude Sonnet 4.5: 0.537 credits; an hour of it costs more than five minutes."""
        price = Price.of(3 * M, 15 * M, 300_000, 3_750_000, 6 * M)
        usage = Usage(input=1000, cached=400, written=200, output=100)
        self.assertEqual(bill(usage, price).total, 5_370_000)
        hour = Usage(input=1000, cached=400, written_hour=200, output=100)
        self.assertEqual(bill(hour, price).total, 5_820_000)

    def test_sound_and_pictures_have_prices_of_their_own(self) -> None:
        """And are not paid for as text as well, nor more of them than there are."""
        price = Price.of(1000, 2000, None, None, None, 5000, 7000, 3000, 4000)
        usage = Usage(input=10, audio_input=4, image_input=3, output=10, audio_output=9)
        self.assertEqual(bill(usage, price).total, 3 + 20 + 9 + 63 + 2)
        self.assertEqual(
            bill(Usage(input=1, audio_input=9, image_input=9), price).total, 5
        )

    def test_a_bill_is_rounded_up(self) -> None:
        """To a billionth of a dollar, once."""
        self.assertEqual(bill(Usage(input=1), Price.of(1, 1)).total, 1)
        self.assertEqual(bill(Usage(), Price.of(1, 1)).total, 0)
