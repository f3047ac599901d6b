"""Tests of ``apiproxy.policy.rate``."""

from array import array
from collections import deque

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import BodyTooLarge, RateLimited
from apiproxy.policy.rate import SHORT, RateLimits
from apiproxy.policy.rules import Rates
from tests.kit.hypothesis_profile import STEADY

NAMES = ("openai", "anthropic")
START = 1_700_000_000.0


class Desk:
    """Some processes with the same limits, figures and clock."""

    def __init__(self, rates: Rates, workers: int = 1) -> None:
        self.now = START
        figures = array("q", bytes(8 * RateLimits.size(len(NAMES), workers)))
        self.all = [
            RateLimits(
                rates, figures, NAMES, lambda: self.now, worker=worker, workers=workers
            )
            for worker in range(workers)
        ]
        self.limits = self.all[0]

    def passes(self, number: int, size: int = 0) -> int:
        """How many of so many requests pass."""
        return sum(self.limits.admit("openai", size) is None for _ in range(number))

    def refused(self, size: int = 0) -> RateLimited:
        error = self.limits.admit("openai", size)
        assert isinstance(error, RateLimited)
        return error


def rates(
    rpm: int | None = None, rph: int | None = None, bytes_pm: int | None = None
) -> Rates:
    return Rates(enabled=True, rpm=rpm, rph=rph, bytes_pm=bytes_pm)


class RequestTests(SynchronousTestCase):
    def test_off_is_off(self) -> None:
        """Nothing is counted, and nothing shown."""
        desk = Desk(Rates())
        self.assertEqual(desk.passes(2000), 2000)
        desk.limits.charge("openai", 10**9)
        self.assertEqual(desk.limits.state(), {})

    def test_a_minute_slides(self) -> None:
        """A request counts for sixty seconds, and no minute has more than the limit."""
        desk = Desk(rates(rpm=3))
        self.assertEqual(desk.passes(2), 2)
        desk.now += 30
        self.assertEqual(desk.passes(5), 1)
        desk.now += 29
        self.assertEqual(desk.passes(5), 0)
        desk.now += 1
        self.assertEqual(desk.passes(5), 2)

    def test_the_refusal_says_when_to_come_back(self) -> None:
        """In seconds and as a moment, and coming back then helps."""
        desk = Desk(rates(rpm=2))
        desk.passes(1)
        desk.now += 20.5
        desk.passes(1)
        desk.now += 10
        error = desk.refused()
        self.assertEqual(
            dict(error.fields),
            {
                b"Retry-After": b"30",
                b"X-RateLimit-Limit": b"2",
                b"X-RateLimit-Remaining": b"0",
                b"X-RateLimit-Reset": b"%d" % (START + 61),
            },
        )
        self.assertEqual(
            error.details,
            {
                "provider": "openai",
                "limit": 2,
                "window": "per_minute",
                "retry_after": 30,
            },
        )
        self.assertEqual(SHORT["per_minute"], "rpm")
        desk.now += 30
        self.assertEqual(desk.passes(2), 1)

    def test_an_hour_slides_by_minutes(self) -> None:
        """And its refusal waits until the right minute is over."""
        desk = Desk(rates(rph=2))
        desk.now = START - START % 60 + 50
        desk.passes(2)
        desk.now += 15
        error = desk.refused()
        self.assertEqual(error.details["window"], "per_hour")
        self.assertEqual(error.details["retry_after"], 3600 - 65)
        desk.now += 3600 - 65
        self.assertEqual(desk.passes(3), 2)

    def test_providers_are_apart(self) -> None:
        """One that is busy does not stop another."""
        desk = Desk(rates(rpm=1))
        desk.passes(2)
        self.assertIsNone(desk.limits.admit("anthropic"))

    def test_what_is_refused_is_not_counted(self) -> None:
        """An agent that tries again at once does not lock itself out."""
        desk = Desk(rates(rpm=5, rph=1))
        desk.passes(4)
        shown = desk.limits.state()["openai"]
        self.assertEqual(shown["rpm"], {"limit": 5, "remaining": 4, "reset": 0})


class ByteTests(SynchronousTestCase):
    def test_bytes_count_as_they_pass(self) -> None:
        """Those of a body without a length, and those of a WebSocket."""
        desk = Desk(rates(bytes_pm=100))
        self.assertEqual(desk.passes(1, 60), 1)
        desk.limits.charge("openai", 70)
        error = desk.refused()
        self.assertEqual(error.details["window"], "per_minute_bytes")
        self.assertEqual(error.details["retry_after"], 60)
        desk.now += 60
        self.assertEqual(desk.passes(1, 100), 1)

    def test_the_time_to_wait_is_enough_for_its_size(self) -> None:
        """Not only for the first byte of it."""
        desk = Desk(rates(bytes_pm=100))
        desk.passes(1, 10)
        desk.now += 10
        desk.passes(1, 80)
        self.assertEqual(desk.refused(20).details["retry_after"], 50)
        error = desk.refused(30)
        self.assertEqual(error.details["retry_after"], 60)
        self.assertEqual(dict(error.fields)[b"X-RateLimit-Remaining"], b"10")
        desk.now += 60
        self.assertEqual(desk.passes(1, 100), 1)

    def test_what_never_fits_is_told_so(self) -> None:
        """Instead of being told to come back in a second, for ever."""
        desk = Desk(rates(bytes_pm=100))
        error = desk.limits.admit("openai", 101)
        self.assertIsInstance(error, BodyTooLarge)
        self.assertFalse(error is None or error.retriable)

    def test_no_limit_on_bytes_counts_none(self) -> None:
        """A stream costs nothing then."""
        desk = Desk(rates(rpm=1))
        desk.limits.charge("openai", 5)
        self.assertEqual(desk.limits.state(), {})


class HealthTests(SynchronousTestCase):
    def test_providers_are_shown_once_they_were_asked(self) -> None:
        """In the shape of the older sidecar, with bytes as well."""
        desk = Desk(rates(rpm=2, rph=9, bytes_pm=50))
        self.assertEqual(desk.limits.state(), {})
        desk.passes(2, 10)
        self.assertEqual(
            desk.limits.state(),
            {
                "openai": {
                    "enabled": True,
                    "rpm": {"limit": 2, "remaining": 0, "reset": int(START) + 60},
                    "rph": {"limit": 9, "remaining": 7, "reset": 0},
                    "bytes_pm": {"limit": 50, "remaining": 30, "reset": 0},
                }
            },
        )


class ClockTests(SynchronousTestCase):
    def test_a_clock_that_is_set_back_a_little_is_not_followed(self) -> None:
        """Nothing that was counted comes again or is lost."""
        desk = Desk(rates(rpm=2))
        desk.passes(1)
        desk.now -= 30
        self.assertEqual(desk.passes(3), 1)
        self.assertEqual(desk.refused().details["retry_after"], 60)

    def test_a_clock_that_was_far_ahead_does_not_block_for_ever(self) -> None:
        """What was counted by it is forgotten."""
        desk = Desk(rates(rpm=2, rph=5))
        desk.now += 10**7
        desk.passes(2)
        desk.now -= 10**7
        self.assertEqual(desk.passes(3), 2)


class SharedTests(SynchronousTestCase):
    def test_a_limit_holds_for_all_processes(self) -> None:
        """Each counts for itself, and all see the sum."""
        desk = Desk(rates(rpm=4), workers=3)
        for each in desk.all:
            self.assertIsNone(each.admit("openai"))
        self.assertIsNone(desk.all[0].admit("openai"))
        for each in desk.all:
            self.assertIsInstance(each.admit("openai"), RateLimited)

    def test_what_an_idle_process_has_counted_leaves_the_window(self) -> None:
        """Though nobody has slid it."""
        desk = Desk(rates(rpm=2), workers=2)
        desk.all[1].admit("openai")
        desk.now += 30
        desk.all[1].admit("openai")
        desk.now += 29
        self.assertEqual(desk.passes(1), 0)
        desk.now += 1
        self.assertEqual(desk.passes(2), 1)
        desk.now += 10**6
        self.assertEqual(desk.passes(3), 2)

    def test_clocks_may_differ_a_little(self) -> None:
        """What a process ahead of us has counted is counted now."""
        desk = Desk(rates(rpm=2), workers=2)
        desk.now += 3
        desk.all[1].admit("openai")
        desk.all[1].admit("openai")
        desk.now -= 3
        self.assertEqual(desk.refused().details["retry_after"], 60)

    def test_a_process_that_was_killed_in_mid_change(self) -> None:
        """The one that replaces it counts on in its rings, and first makes them right."""
        figures = array("q", bytes(8 * RateLimits.size(1, 2)))

        def worker(number: int) -> RateLimits:
            return RateLimits(
                Rates(enabled=True, rpm=5),
                figures,
                ["openai"],
                lambda: START,
                worker=number,
                workers=2,
            )

        first, second = worker(0), worker(1)
        for limits in (first, first, second):
            self.assertIsNone(limits.admit("openai"))
        figures[1] -= (
            1  # the sum of the first ring: its slot was counted, and it was not
        )
        first = worker(0)
        first.mend()
        passed = [first.admit("openai") is None for _ in range(4)]
        self.assertEqual(passed, [True, True, False, False])

    def test_shared_memory_will_do(self) -> None:
        """A view of whole numbers of eight bytes."""
        view = memoryview(bytearray(8 * RateLimits.size(1))).cast("q")
        limits = RateLimits(rates(rpm=1), view, ["x"], lambda: START)
        self.assertIsNone(limits.admit("x"))
        self.assertIsNotNone(limits.admit("x"))


Steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0, 0, 0, 1, 7, 59, 60, 61, 300]),
        st.integers(0, 40),
    ),
    max_size=120,
)


class PropertyTests(SynchronousTestCase):
    @STEADY
    @given(Steps)
    def test_it_decides_as_a_list_of_all_requests_would(
        self, steps: list[tuple[int, int, int]]
    ) -> None:
        """Over any times, sizes and processes."""
        desk = Desk(rates(rpm=4, bytes_pm=100), workers=3)
        past: deque[tuple[int, int]] = deque()
        for worker, pause, size in steps:
            desk.now += pause
            while past and past[0][0] <= desk.now - 60:
                past.popleft()
            fits = len(past) < 4 and sum(each for _, each in past) + size <= 100
            error = desk.all[worker].admit("openai", size)
            self.assertEqual(error is None, fits)
            if error is None:
                past.append((int(desk.now), size))
            else:
                self.wait_is_right(past, int(desk.now), size, error)

    def wait_is_right(
        self, past: deque[tuple[int, int]], now: int, size: int, error: object
    ) -> None:
        """Coming back then helps with this limit, and a second earlier does not."""
        assert isinstance(error, RateLimited)
        wait = error.details["retry_after"]
        assert isinstance(wait, int)
        for seconds, helps in ((wait, True), (wait - 1, False)):
            left = [each for at, each in past if at > now + seconds - 60]
            if error.details["window"] == "per_minute":
                self.assertEqual(len(left) < 4, helps)
            else:
                self.assertEqual(sum(left) + size <= 100, helps)
