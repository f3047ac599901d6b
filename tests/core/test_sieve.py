"""Control frames are told from the others at any cut."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.sieve import ControlSieve
from tests.kit.frames import CLOSE, CONTINUATION, PING, TEXT, frame
from tests.kit.hypothesis_profile import STEADY

MASK = b"mask"
SMALL = st.binary(max_size=125)
FRAMES = st.lists(
    st.one_of(
        st.builds(lambda data: (True, frame(PING, data, mask=MASK)), SMALL),
        st.builds(
            lambda data, fin: (False, frame(TEXT, data, fin=fin, mask=MASK)),
            st.sampled_from([b"", b"x", b"y" * 126, b"z" * 70_000]),
            st.booleans(),
        ),
        st.builds(lambda data: (False, frame(CONTINUATION, data)), SMALL),
    ),
    max_size=8,
)


class SieveTests(SynchronousTestCase):
    @STEADY
    @given(FRAMES, st.lists(st.integers(1, 200), max_size=30))
    def test_at_any_cut(
        self, frames: list[tuple[bool, bytes]], sizes: list[int]
    ) -> None:
        """All control frames on one side, all others on the other, in order."""
        data = b"".join(one for _, one in frames)
        sieve = ControlSieve()
        control = rest = b""
        for size in [*sizes, len(data) + 1]:
            piece, data = data[:size], data[size:]
            found, others = sieve.feed(piece)
            control += found
            rest += others
        self.assertEqual(control, b"".join(one for is_it, one in frames if is_it))
        self.assertEqual(rest, b"".join(one for is_it, one in frames if not is_it))
        self.assertFalse(sieve.closed)
        self.assertEqual(repr(sieve), "<ControlSieve 0 bytes to go>")

    def test_a_close_is_noticed(self) -> None:
        """Once it is whole."""
        close = frame(CLOSE, b"\x03\xe8", mask=MASK)
        sieve = ControlSieve()
        self.assertEqual(sieve.feed(close[:-1]), (b"", b""))
        self.assertFalse(sieve.closed)
        self.assertEqual(sieve.feed(close[-1:]), (close, b""))
        self.assertTrue(sieve.closed)

    def test_a_control_frame_that_is_too_long(self) -> None:
        """Is left where it stands."""
        ping = frame(PING, b"x" * 126)
        self.assertEqual(ControlSieve().feed(ping), (b"", ping))
