"""A little of the fuzzing, in every run of the tests: seeds, changed seeds, and noise."""

from hypothesis import HealthCheck, given, settings, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.targets import SEEDS, TARGETS

_SOME = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)


class TargetTests(SynchronousTestCase):
    """None of them finds a broken promise."""

    def test_every_target_has_seeds(self) -> None:
        """And takes them."""
        self.assertEqual(SEEDS.keys(), TARGETS.keys())
        for name, target in TARGETS.items():
            for seed in (b"", *SEEDS[name]):
                target(seed)

    @_SOME
    @given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=200))
    def test_noise(self, name: str, data: bytes) -> None:
        """Any bytes."""
        TARGETS[name](data)

    @_SOME
    @given(st.data())
    def test_seeds_with_changes(self, data: st.DataObject) -> None:
        """A byte changed, a piece left out, put in, or repeated."""
        name = data.draw(st.sampled_from(sorted(TARGETS)))
        seed = data.draw(st.sampled_from(SEEDS[name]))
        start, end = sorted(
            data.draw(st.tuples(*[st.integers(0, len(seed))] * 2), label="piece")
        )
        piece = data.draw(
            st.one_of(st.binary(max_size=8), st.just(seed[start:end] * 2))
        )
        TARGETS[name](seed[:start] + piece + seed[end:])
