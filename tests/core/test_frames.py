"""The frame scanner: it stays in step whatever comes, and changes nothing but our pongs."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.frames import (
    FrameScanner,
    MessageTooLarge,
    close_frame,
    control_frame,
    text_frame,
    unmask,
)
from tests.kit.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_payload,
    frame,
)
from tests.kit.hypothesis_profile import STEADY

MASK = b"\x01\x80\xff\x37"
OURS = b"apiproxy-7"
LIMIT = 100_000
NEXT = frame(TEXT, b"next")


def scanner(limit: int = LIMIT) -> FrameScanner:
    """A scanner that takes out pongs with the payload ``OURS``."""
    scanner = FrameScanner(limit)
    scanner.awaited = OURS
    return scanner


def scan(scan: FrameScanner, *pieces: bytes) -> bytes:
    """What the scanner hands on of these pieces."""
    return b"".join([scan.feed(piece) for piece in pieces])


class PassingTests(SynchronousTestCase):
    def test_frames_pass_unchanged_however_they_are_cut(self) -> None:
        """Every length form, masked and not, cut in two at every offset."""
        for size in [0, 1, 2, 125, 126, 127, 300]:
            for mask in [None, MASK]:
                for opcode in [TEXT, BINARY, PING, PONG]:
                    data = frame(opcode, b"x" * size, mask=mask) + NEXT
                    for cut in range(len(data) + 1):
                        scanned = scanner()
                        out = scan(scanned, data[:cut], data[cut:])
                        self.assertEqual(out, data)
                        self.assertEqual(scanned.frames, 2)
                        self.assertEqual(scanned.messages, 2 - (opcode >= CLOSE))
                        self.assertTrue(scanned.at_boundary)

    def test_64_bit_length_is_followed(self) -> None:
        """A message of 64 KiB and more is one frame, however its head is cut."""
        data = frame(BINARY, b"x" * 65536, mask=MASK)
        for cut in [*range(20), 65000, len(data)]:
            scanned = scanner()
            self.assertEqual(scan(scanned, data[:cut], data[cut:], NEXT), data + NEXT)
            self.assertEqual((scanned.frames, scanned.messages), (2, 2))

    def test_length_longer_than_need_be_is_followed(self) -> None:
        """A wasteful length is the receiver's to refuse; the scanner stays in step."""
        for head in [b"\x81\x7e\x00\x03", b"\x81\x7f" + b"\x00" * 7 + b"\x03"]:
            scanned = scanner()
            self.assertEqual(scan(scanned, head + b"abc" + NEXT), head + b"abc" + NEXT)
            self.assertEqual(scanned.messages, 2)

    def test_whole_data_is_handed_on_without_a_copy(self) -> None:
        """On the usual way the very same bytes go out that came in."""
        data = frame(TEXT, b"a") + frame(BINARY, b"b" * 500, mask=MASK)
        self.assertIs(scanner().feed(data), data)

    def test_empty_message_is_one_message(self) -> None:
        """An empty frame is counted like any other."""
        scanned = scanner()
        scan(scanned, frame(TEXT), frame(TEXT, mask=MASK) + frame(TEXT, b"a"))
        self.assertEqual((scanned.frames, scanned.messages), (3, 3))

    def test_control_frames_may_come_between_fragments(self) -> None:
        """A fragmented message is one message, pings in its middle or not."""
        data = b"".join(
            [
                frame(TEXT, b"a", fin=False),
                frame(PING, b"?"),
                frame(CONTINUATION, b"", fin=False),
                frame(PONG),
                frame(CONTINUATION, b"b"),
                NEXT,
            ]
        )
        for cut in range(len(data) + 1):
            scanned = scanner()
            self.assertEqual(scan(scanned, data[:cut], data[cut:]), data)
            self.assertEqual((scanned.frames, scanned.messages), (6, 2))

    def test_reserved_bits_and_opcodes_stay_in_step(self) -> None:
        """A frame that means nothing yet still has a length."""
        for opcode in range(16):
            for rsv in range(8):
                for fin in [True, False]:
                    data = frame(opcode, b"odd", rsv=rsv, fin=fin, mask=MASK) + NEXT
                    scanned = scanner()
                    out = [scanned.feed(data[i : i + 1]) for i in range(len(data))]
                    self.assertEqual(b"".join(out), data)
                    self.assertEqual(scanned.frames, 2)
                    self.assertTrue(scanned.at_boundary)

    def test_boundary_is_that_of_what_was_handed_on(self) -> None:
        """A frame of ours may go in where no other frame is under way."""
        data = frame(TEXT, b"ab", mask=MASK)
        scanned = scanner()
        story = []
        for i in range(len(data)):
            out = scanned.feed(data[i : i + 1])
            story.append((len(out), scanned.at_boundary))
        self.assertEqual(
            story, [(0, True)] * 5 + [(6, False)] + [(1, False), (1, True)]
        )
        self.assertEqual(repr(scanned), "<FrameScanner 1 messages, between frames>")
        scanned.feed(frame(TEXT, b"abc")[:-1])
        self.assertEqual(repr(scanned), "<FrameScanner 1 messages, 1 bytes to go>")


class CloseTests(SynchronousTestCase):
    def test_close_is_read_as_it_passes(self) -> None:
        """Code and reason are known afterwards, masked or not, cut anywhere."""
        for payload, code, reason in [
            (close_payload(1000, "bye"), 1000, b"bye"),
            (close_payload(4999), 4999, b""),
            (close_payload(1008, "é" * 61), 1008, "é".encode() * 61),
            (b"", None, b""),
            (b"\x03", None, b""),
        ]:
            for mask in [None, MASK]:
                data = frame(CLOSE, payload, mask=mask)
                for cut in range(len(data) + 1):
                    scanned = scanner()
                    out = scanned.feed(data[:cut])
                    self.assertEqual(scanned.closed, cut == len(data))
                    self.assertEqual(out + scanned.feed(data[cut:]), data)
                    self.assertEqual(
                        (scanned.closed, scanned.close_code, scanned.close_reason),
                        (True, code, reason),
                    )

    def test_first_close_counts(self) -> None:
        """What comes after a Close passes, but does not reword it."""
        scanned = scanner()
        data = (
            frame(CLOSE, close_payload(1000)) + frame(CLOSE, close_payload(1011)) + NEXT
        )
        self.assertEqual(scanned.feed(data), data)
        self.assertEqual(scanned.close_code, 1000)

    def test_close_between_fragments_is_seen(self) -> None:
        """A side may give up in the middle of its message."""
        scanned = scanner()
        scan(scanned, frame(TEXT, b"a", fin=False) + frame(CLOSE, close_payload(1001)))
        self.assertEqual((scanned.closed, scanned.close_code), (True, 1001))
        self.assertEqual(scanned.messages, 0)

    def test_close_that_is_too_long_is_not_kept(self) -> None:
        """An illegal Close is seen, but its payload fills no memory."""
        scanned = scanner()
        data = frame(CLOSE, b"\x03\xe8" + b"x" * 5000) + NEXT
        self.assertEqual(scan(scanned, data[:50], data[50:]), data)
        self.assertEqual((scanned.closed, scanned.close_code), (True, None))


class PongTests(SynchronousTestCase):
    def test_our_pong_is_taken_out(self) -> None:
        """The other side never asked; it sees everything around, in order."""
        before, after = frame(TEXT, b"before", mask=MASK), frame(BINARY, b"after")
        for mask in [None, MASK]:
            data = before + frame(PONG, OURS, mask=mask) + after
            for cut in range(len(data) + 1):
                scanned = scanner()
                self.assertEqual(scan(scanned, data[:cut], data[cut:]), before + after)
                self.assertTrue(scanned.at_boundary)
                self.assertEqual(scanned.messages, 2)
            scanned = scanner()
            singles = [data[i : i + 1] for i in range(len(data))]
            self.assertEqual(scan(scanned, *singles), before + after)

    def test_only_ours_are_taken_out(self) -> None:
        """Pongs that answer the other side's pings, or nobody's, pass."""
        foreign = [frame(PONG), frame(PONG, b"apiproxy-8"), frame(PONG, OURS + b"x")]
        data = b"".join(frame(PONG, OURS) + pong for pong in foreign) + NEXT
        expected = b"".join(foreign) + NEXT
        for cut in range(len(data) + 1):
            self.assertEqual(scan(scanner(), data[:cut], data[cut:]), expected)
        ping = frame(PING, OURS)
        self.assertEqual(scanner().feed(ping), ping)

    def test_our_pong_between_fragments_is_taken_out(self) -> None:
        """A message around it stays one message."""
        scanned = scanner()
        first, last = frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"b")
        out = scan(scanned, first + frame(PONG, OURS, mask=MASK) + last)
        self.assertEqual((out, scanned.messages), (first + last, 1))

    def test_a_pong_is_ours_by_all_its_payload(self) -> None:
        """Unmasked, and wherever it is cut; none is while none is awaited."""
        others = frame(PONG, OURS[:-1]) + frame(PONG) + frame(PONG, OURS + b"0")
        data = others + frame(PONG, OURS, mask=MASK) + NEXT
        pieces = [data[i : i + 1] for i in range(len(data))]
        self.assertEqual(scan(scanner(), *pieces), others + NEXT)
        self.assertEqual(scan(FrameScanner(LIMIT), *pieces), data)

    def test_pong_that_is_too_long_is_never_ours(self) -> None:
        """However it is cut, one that only begins like ours passes whole."""
        data = frame(PONG, OURS + b"x" * 200) + NEXT
        for cut in range(len(data) + 1):
            scanned = scanner()
            self.assertEqual(scan(scanned, data[:cut], data[cut:]), data)
            self.assertEqual((scanned.frames, scanned.messages), (2, 1))


class LimitTests(SynchronousTestCase):
    def test_message_up_to_the_limit_passes(self) -> None:
        """Each message counts for itself, and control frames beside it."""
        scanned = scanner(10)
        for piece in [
            frame(TEXT, b"x" * 10),
            frame(TEXT, b"x" * 6, fin=False),
            frame(PING, b"x" * 10),
            frame(CONTINUATION, b"x" * 4),
            frame(BINARY, b"x" * 10, mask=MASK),
        ]:
            self.assertEqual(scanned.feed(piece), piece)

    def test_message_over_the_limit_is_refused(self) -> None:
        """As soon as a head announces it, before its payload is there."""
        for data in [
            frame(TEXT, length=11),
            frame(BINARY, mask=MASK, length=126),
            frame(0x3, length=2**63),
            frame(PING, length=11),
            frame(CLOSE, length=11),
            frame(PONG, length=200),
            frame(TEXT, b"x" * 10, fin=False) + frame(CONTINUATION, b"x"),
            frame(TEXT, b"x" * 6, fin=False)
            + frame(PING)
            + frame(CONTINUATION, fin=False)
            + frame(CONTINUATION, length=5),
        ]:
            with self.assertRaises(MessageTooLarge):
                scanner(10).feed(data)
            scanned = scanner(10)
            with self.assertRaises(MessageTooLarge):
                scan(scanned, *(data[i : i + 1] for i in range(len(data))))

    def test_refused_message_was_not_begun(self) -> None:
        """Nothing of it was handed on, so a Close of ours may still go in, or may not."""
        for before, boundary in [
            ([], True),
            ([NEXT], True),
            ([frame(TEXT, b"x", fin=False)], True),
            ([NEXT[:-1]], False),
        ]:
            scanned = scanner(10)
            scan(scanned, *before)
            rest = b"" if boundary else NEXT[-1:]
            with self.assertRaises(MessageTooLarge):
                scanned.feed(rest + NEXT + frame(CONTINUATION, length=99))
            self.assertIs(scanned.at_boundary, boundary)


frames = st.builds(
    frame,
    st.integers(0, 15),
    st.one_of(
        st.binary(max_size=9), st.just(OURS), st.binary(min_size=120, max_size=140)
    ),
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    mask=st.one_of(st.none(), st.binary(min_size=4, max_size=4)),
)


class CutTests(SynchronousTestCase):
    @STEADY
    @given(st.lists(frames, max_size=8), st.lists(st.integers(0, 600), max_size=8))
    def test_all_passes_but_our_pongs(self, sent: list[bytes], cuts: list[int]) -> None:
        """Any frames, cut anywhere: out comes what went in, less the pongs of ours."""
        data = b"".join(sent)
        ends = sorted(min(cut, len(data)) for cut in cuts)
        pieces = [
            data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)
        ]
        expected = b"".join(one for one in sent if not is_our_pong(one))
        scanned = scanner()
        self.assertEqual(scan(scanned, *pieces), expected)
        self.assertEqual(scanned.frames, len(sent))
        self.assertTrue(scanned.at_boundary)

    def test_a_continuation_of_nothing(self) -> None:
        """It begins at nothing, whatever size the message before it had."""
        whole = bytes((0x82, 60)) + bytes(60)
        stray = bytes((0x80, 60)) + bytes(60)
        for cut in (len(whole), len(whole) - 1):
            scanner = FrameScanner(100)
            scanner.feed(whole[:cut])
            scanner.feed(whole[cut:] + stray)
            self.assertEqual(scanner.frames, 2)

    @STEADY
    @given(st.binary(max_size=60))
    def test_any_bytes_keep_their_order(self, data: bytes) -> None:
        """Noise passes as it is, but for the head of a frame that is not whole."""
        whole, singles = scanner(2**64), scanner(2**64)
        out = whole.feed(data)
        self.assertTrue(data.startswith(out))
        self.assertEqual(
            scan(singles, *(data[i : i + 1] for i in range(len(data)))), out
        )
        self.assertEqual(singles.at_boundary, whole.at_boundary)
        self.assertEqual(singles.messages, whole.messages)


def is_our_pong(one: bytes) -> bool:
    """Whether this frame, which is whole, is a pong of ours."""
    if one[0] & 0x0F != PONG or one[1] & 0x7F != len(OURS):
        return False
    if one[1] & 0x80:
        return unmask(one[6:], one[2:6]) == OURS
    return one[2:] == OURS


class UnmaskTests(SynchronousTestCase):
    def test_mask_is_taken_off(self) -> None:
        """The example of RFC 6455, section 5.7."""
        masked = b"\x7f\x9f\x4d\x51\x58"
        self.assertEqual(unmask(masked, b"\x37\xfa\x21\x3d"), b"Hello")
        self.assertEqual(unmask(b"", MASK), b"")

    def test_large_payloads_are_masked_like_small_ones(self) -> None:
        """Every byte gets its own of the four, whatever the length."""
        for size in [1, 3, 4, 5, 1023, 70_000]:
            payload = bytes(i % 251 for i in range(size))
            expected = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
            self.assertEqual(unmask(payload, MASK), expected)


class TextFrameTests(SynchronousTestCase):
    def test_our_own_messages_are_as_the_rfc_has_them(self) -> None:
        """Every form of length, masked toward a provider and not toward an agent."""
        for size in [0, 1, 125, 126, 65_535, 65_536]:
            for mask in [b"", MASK]:
                self.assertEqual(
                    text_frame(b"x" * size, mask),
                    frame(TEXT, b"x" * size, mask=mask or None),
                )


class ControlFrameTests(SynchronousTestCase):
    def test_our_own_frames_are_as_the_rfc_has_them(self) -> None:
        """Masked toward a provider, not toward an agent."""
        for opcode in [PING, PONG, CLOSE]:
            for payload in [b"", b"Hello", b"x" * 125]:
                for mask in [b"", MASK]:
                    self.assertEqual(
                        control_frame(opcode, payload, mask),
                        frame(opcode, payload, mask=mask or None),
                    )

    def test_control_frame_has_at_most_125_bytes(self) -> None:
        """A longer one would put the other side out of step."""
        self.assertRaises(AssertionError, control_frame, PING, b"x" * 126)
        self.assertRaises(AssertionError, close_frame, 1000, b"x" * 124)

    def test_close_says_code_and_reason(self) -> None:
        """The scanner reads what we write."""
        for mask in [b"", MASK]:
            data = close_frame(1009, b"message too big", mask)
            self.assertEqual(
                data,
                frame(CLOSE, close_payload(1009, "message too big"), mask=mask or None),
            )
            scanned = scanner()
            scanned.feed(data)
            self.assertEqual(
                (scanned.close_code, scanned.close_reason), (1009, b"message too big")
            )
