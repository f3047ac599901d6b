"""What a token costs, and what that makes for a response.

Prices are whole numbers, *picodollars* for one token, which are millionths of a dollar for a
million of them. So $3.00 for a million tokens is 3,000,000, the cheapest price there is a few
hundred, and nothing is rounded but the cost of a whole response, up to the next billionth of
a dollar.
"""

from decimal import ROUND_HALF_UP, Decimal

from msgspec import Struct

from apiproxy.core.usage import Usage

PER_MILLION = 1_000_000
"""Picodollars for one token that make one dollar for a million."""

MOST = 10**12
"""A price above a million dollars for a million tokens is a mistake."""


class Price(Struct, frozen=True, array_like=True, gc=False):
    """Picodollars for one token.

    Attributes:
        input: that is read as new.
        cached: that is read from a cache.
        written: that is written to a cache for minutes.
        written_hour: that is written to a cache for an hour.
        output: that is made, reasoning included.
        audio_input: of sound that is heard.
        audio_output: of sound that is made.
        image_input: of a picture that is seen.
        image_output: of a picture that is made.
    """

    input: int
    cached: int
    written: int
    written_hour: int
    output: int
    audio_input: int
    audio_output: int
    image_input: int
    image_output: int

    @classmethod
    def of(
        cls,
        input: int,
        output: int,
        cached: int | None = None,
        written: int | None = None,
        written_hour: int | None = None,
        audio_input: int | None = None,
        audio_output: int | None = None,
        image_input: int | None = None,
        image_output: int | None = None,
    ) -> "Price":
        """What is not said is made of what is.

        A provider that writes to its caches for money charges twice the input for an hour.
        What it has no other price for costs as input or output does, never nothing.
        """
        written = input if written is None else written
        if written_hour is None:
            written_hour = max(written, 2 * input) if written > input else written
        return cls(
            input,
            input if cached is None else cached,
            written,
            written_hour,
            output,
            input if audio_input is None else audio_input,
            output if audio_output is None else audio_output,
            input if image_input is None else image_input,
            output if image_output is None else image_output,
        )


class Bill(Struct, frozen=True, gc=False):
    """What a response has cost, in billionths of a dollar.

    Attributes:
        total: all of it, rounded up.
        input: what was read as new.
        cached: what was read from a cache.
        written: what was written to a cache.
        output: what was made.
    """

    total: int
    input: int
    cached: int
    written: int
    output: int


def bill(usage: Usage, price: Price) -> Bill:
    """What this usage costs; every token is counted once."""
    new, made = usage.input * price.input, usage.output * price.output
    if usage.audio_input or usage.image_input:
        new = _kinds(
            usage.input,
            (usage.audio_input, usage.image_input),
            (price.input, price.audio_input, price.image_input),
        )
    if usage.audio_output or usage.image_output:
        made = _kinds(
            usage.output,
            (usage.audio_output, usage.image_output),
            (price.output, price.audio_output, price.image_output),
        )
    cached = usage.cached * price.cached
    written = usage.written * price.written + usage.written_hour * price.written_hour
    return Bill(
        -(-(new + cached + written + made) // 1000),
        (new + 500) // 1000,
        (cached + 500) // 1000,
        (written + 500) // 1000,
        (made + 500) // 1000,
    )


def _kinds(tokens: int, special: tuple[int, int], prices: tuple[int, int, int]) -> int:
    """The cost of tokens of which some are sound and some are pictures."""
    audio = min(special[0], tokens)
    image = min(special[1], tokens - audio)
    plain = tokens - audio - image
    return plain * prices[0] + audio * prices[1] + image * prices[2]


def per_million(dollars: Decimal) -> int:
    """Picodollars for one token, from dollars for a million.

    Raises:
        ValueError: it is negative, not a number, or far too high.
    """
    if not dollars.is_finite() or not 0 <= dollars * PER_MILLION <= MOST:
        raise ValueError("must be a price, at least 0")
    return int((dollars * PER_MILLION).to_integral_value(ROUND_HALF_UP))


def tenth(price: int) -> int:
    """What a token from a cache costs where only the price of input is known."""
    return (price + 5) // 10
