"""Statistics of few samples: medians with their spread, percentiles, ratios."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen


@frozen
class Spread:
    """What a few samples say.

    Attributes:
        median: of them.
        least: the smallest.
        most: the largest.
        count: how many there were.
    """

    median: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, samples: Iterable[float]) -> "Spread | None":
        """The spread of these; None if there are none."""
        values = sorted(samples)
        if not values:
            return None
        return cls(statistics.median(values), values[0], values[-1], len(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed.

    Args:
        values: sorted, at least one.
        share: 0 to 1, such as 0.99.
    """
    rank = math.ceil(share * len(values))
    return values[min(len(values), max(1, rank)) - 1]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """How many times theirs ours is; None if there is nothing to compare.

    Where both were measured in the same rounds it is the median of the rounds' ratios: what
    the machine does from one minute to the next is in both and cancels out.
    """
    mine, yours = Spread.of(ours), Spread.of(theirs)
    if mine is None or yours is None or yours.least <= 0:
        return None
    if mine.count != yours.count:
        return mine.median / yours.median
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def drift(samples: Sequence[float]) -> float | None:
    """Largest sample over the smallest; None where that says nothing."""
    spread = Spread.of(samples)
    if spread is None or spread.least <= 0:
        return None
    return spread.most / spread.least


def rounds(times: Mapping[str, int]) -> list[tuple[int, str]]:
    """The order of measurements: every name once a round, every other round backwards.

    What the machine does over the minutes then falls on all of them alike.

    Args:
        times: how many rounds, by the name of the contestant; whoever has fewer takes part
            in the first ones.
    """
    order = []
    for number in range(max(times.values(), default=0)):
        turn = [name for name, most in times.items() if number < most]
        order += [(number, name) for name in (turn if number % 2 == 0 else turn[::-1])]
    return order


def flatness(by_count: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """What a unit costs at each number, as a share of what it costs at the smallest.

    Each round is compared with itself and the median taken over the rounds.

    Args:
        by_count: the samples at each number, in the order of the rounds.
    """
    base = by_count[min(by_count)]
    shares = {count: ratio(samples, base) for count, samples in by_count.items()}
    return {count: share for count, share in shares.items() if share is not None}


def digits(value: float) -> str:
    """A figure with as many digits as it deserves: three, or all before the point.

    What was counted, an ``int``, has all of its digits and no point.
    """
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"
    before = math.floor(math.log10(abs(value))) + 1
    places = max(0, 3 - before) if before > 0 else 2
    return f"{value:,.{min(places, 2)}f}"


def most_that_passes(
    passes: Callable[[int], bool], start: int, limit: int, grain: float = 0.125
) -> int:
    """The largest number that passes, by doubling or halving, then bisecting.

    Args:
        passes: tries a number; whatever is above one that does not pass does not either.
        start: the number to try first.
        limit: the largest to try.
        grain: how far from the truth it may be, as a share of it.

    Returns:
        0 if not even one passes.
    """
    good, bad, number = 0, 0, min(start, limit)
    while not bad and good < limit:
        if passes(number):
            good, number = number, min(2 * number, limit)
        else:
            bad = number
    while bad - good > max(1, grain * good):
        number = (good + bad) // 2 if good else max(1, bad // 2)
        if passes(number):
            good = number
        else:
            bad = number
    return good
