"""WebSocket messages: what they say, and where they are, however their bytes are cut."""

import random

from hypothesis import given, strategies as st
from msgspec.structs import astuple, replace
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.deflate import DeflateTerms
from apiproxy.core.messages import Message, MessageReader
from tests.kit.deflate import Deflater, deflated
from tests.kit.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame
from tests.kit.hypothesis_profile import STEADY

MASK = b"\x01\x80\xff\x37"
LIMIT = 1000
RSV1 = 4
TERMS = DeflateTerms()


def read(
    *pieces: bytes,
    deflate: DeflateTerms | None = None,
    markers: tuple[bytes, ...] = (),
    limit: int = LIMIT,
) -> tuple[list[Message], int, int]:
    """The messages of a socket, their ends in the whole of it, and the counts."""
    reader = MessageReader(deflate, limit, markers)
    told, total = [], 0
    for piece in pieces:
        for message in reader.feed(piece):
            told.append(replace(message, end=message.end + total))
        total += len(piece)
    return told, reader.messages, reader.skipped


def each(data: bytes) -> list[bytes]:
    """Byte by byte."""
    return [data[i : i + 1] for i in range(len(data))]


def said(messages: list[Message]) -> list[bytes | str | None]:
    """What the messages say, or why that is not known."""
    return [message.gap or message.payload for message in messages]


class MessageTests(SynchronousTestCase):
    def test_whole_messages_are_read_wherever_they_are_cut(self) -> None:
        """Every form of length, masked and not, with all there is to know."""
        for size in [0, 1, 125, 126, 300]:
            for mask in [None, MASK]:
                first = frame(TEXT, b"x" * size, mask=mask)
                data = first + frame(BINARY, b"next", mask=mask)
                expected = [
                    Message(TEXT, b"x" * size, "", len(first)),
                    Message(BINARY, b"next", "", len(data)),
                ]
                for cut in range(len(data) + 1):
                    self.assertEqual(read(data[:cut], data[cut:]), (expected, 2, 0))
                self.assertEqual(read(*each(data)), (expected, 2, 0))

    def test_large_masked_message_is_read(self) -> None:
        """Two megabytes, masked, in the pieces of a socket."""
        payload = random.Random(7).randbytes(2 << 20)
        data = frame(TEXT, payload, mask=MASK)
        pieces = [data[at : at + 16_383] for at in range(0, len(data), 16_383)]
        told, _, _ = read(*pieces, limit=len(payload))
        self.assertEqual([message.payload for message in told], [payload])

    def test_fragments_are_put_together(self) -> None:
        """Control frames between them are no part of the message, but lie within it."""
        frames = [
            frame(PING, b"before"),
            frame(TEXT, b"a", fin=False, mask=MASK),
            frame(PING, b"?" * 9, mask=MASK),
            frame(CONTINUATION, fin=False, mask=MASK),
            frame(PONG),
            frame(CONTINUATION, b"bc", mask=MASK),
            frame(CLOSE, b"\x03\xe8"),
        ]
        data = b"".join(frames)
        expected = [Message(TEXT, b"abc", "", len(data) - len(frames[6]))]
        for cut in range(len(data) + 1):
            self.assertEqual(read(data[:cut], data[cut:]), (expected, 1, 0))
        self.assertEqual(read(*each(data)), (expected, 1, 0))

    def test_an_end_is_that_in_the_last_data(self) -> None:
        """However much of the message had come before."""
        reader = MessageReader(None, LIMIT)
        data = frame(TEXT, b"abc")
        reader.feed(data + data[:4])
        (message,) = reader.feed(data[4:] + data)[:1]
        self.assertEqual(message.end, 1)

    def test_what_is_clear_is_known(self) -> None:
        """Whoever holds messages back can tell where the first unfinished one begins."""
        reader = MessageReader(None, LIMIT)
        text, ping = frame(TEXT, b"abc"), frame(PING, b"abc")
        for data, clear in [
            (text, 5),
            (text + text[:1], 5),
            (text[1:4], -1),
            (text[4:] + ping, 6),
            (ping + ping[:3], 5),
            (ping[3:], 2),
            (frame(TEXT, b"a", fin=False), 0),
            (ping, -3),
            (ping[:2], -8),
            (ping[2:] + frame(CONTINUATION, b""), 5),
            (b"", 0),
        ]:
            reader.feed(data)
            self.assertEqual(reader.clear, clear)

    def test_broken_order_stays_in_step(self) -> None:
        """A stray continuation is a message; one begun within another replaces it."""
        data = frame(CONTINUATION, b"stray") + frame(TEXT, b"lost", fin=False)
        data += frame(TEXT, b"new") + frame(0x3, b"odd")
        for pieces in [[data], each(data)]:
            told, count, _ = read(*pieces)
            self.assertEqual(said(told), [b"stray", b"new", b"odd"])
            self.assertEqual([message.opcode for message in told], [0, TEXT, 3])
            self.assertEqual(count, 3)


class MarkerTests(SynchronousTestCase):
    def test_only_messages_with_a_marker_are_told(self) -> None:
        """The rest is counted, in whatever pieces and frames it comes."""
        delta, done = frame(TEXT, b"delta"), frame(TEXT, b"usage")
        masked = frame(TEXT, b"delta", mask=MASK) + frame(TEXT, b"usage", mask=MASK)
        parts = frame(TEXT, b"us", fin=False) + frame(CONTINUATION, b"age")
        data = delta + delta + done + masked + parts + delta
        skipped = 3 * len(delta) + len(frame(TEXT, b"delta", mask=MASK))
        for pieces in [[data], each(data), [delta, delta, done, masked, parts, delta]]:
            told, count, passed = read(*pieces, markers=(b"none", b"usage"))
            self.assertEqual(said(told), [b"usage"] * 3)
            self.assertEqual((count, passed), (7, skipped))

    def test_marker_in_the_head_of_a_frame_does_not_count(self) -> None:
        """It is the text that is looked at."""
        data = frame(TEXT, b"y" * 120)
        for pieces in [[data], [data + data], each(data)]:
            self.assertEqual(read(*pieces, markers=(b"x",))[0], [])

    def test_marker_in_a_compressed_message_is_found(self) -> None:
        """It is looked for in what the message says."""
        deflate = Deflater()
        data = b""
        for text in [b"usage 1", b"delta", b"usage 2"]:
            data += frame(TEXT, deflate(text), rsv=RSV1)
        told, _, _ = read(data, deflate=TERMS, markers=(b"usage",))
        self.assertEqual(said(told), [b"usage 1", b"usage 2"])


class DeflateTests(SynchronousTestCase):
    def test_compressed_messages_are_read(self) -> None:
        """Fragmented or not, masked or not, beside others that are not compressed."""
        deflate = Deflater()
        one, two, three = (deflate(text) for text in [b"one" * 9, b"two" * 9, b"one"])
        data = frame(TEXT, one, rsv=RSV1, mask=MASK)
        data += frame(TEXT, two[:3], rsv=RSV1, fin=False) + frame(PING, b"x")
        data += frame(CONTINUATION, two[3:], mask=MASK) + frame(TEXT, b"plain")
        data += frame(TEXT, three, rsv=RSV1)
        for pieces in [[data], each(data)]:
            told, _, _ = read(*pieces, deflate=TERMS)
            self.assertEqual(said(told), [b"one" * 9, b"two" * 9, b"plain", b"one"])

    def test_extension_that_was_not_agreed_is_told(self) -> None:
        """A message with reserved bits that mean nothing to us cannot be read."""
        for rsv, deflate in [(RSV1, None), (2, TERMS), (RSV1 | 1, TERMS)]:
            data = frame(TEXT, b"???", rsv=rsv) + frame(TEXT, b"next")
            for pieces in [[data], each(data)]:
                told, _, _ = read(*pieces, deflate=deflate, markers=(b"next",))
                self.assertEqual(said(told), ["unknown_extension", b"next"])
                self.assertIsNone(told[0].payload)

    def test_broken_message_loses_those_that_refer_to_it(self) -> None:
        """They are told to be lost; what is not compressed is still read."""
        data = frame(TEXT, b"\xff\xff", rsv=RSV1) + frame(TEXT, b"plain")
        data += frame(TEXT, deflated(b"a"), rsv=RSV1)
        told, _, _ = read(data, deflate=TERMS)
        self.assertEqual(said(told), ["deflate_broken", b"plain", "deflate_lost"])

    def test_message_left_unfinished_loses_the_context(self) -> None:
        """What it would have been, nobody knows."""
        data = frame(TEXT, b"\x00", rsv=RSV1, fin=False)
        data += frame(TEXT, deflated(b"a"), rsv=RSV1)
        self.assertEqual(said(read(data, deflate=TERMS)[0]), ["deflate_lost"])


class LimitTests(SynchronousTestCase):
    def test_message_over_the_limit_is_told(self) -> None:
        """In one frame or many, compressed or not, and the next one is read."""
        large, deflate = b"x" * (LIMIT + 1), Deflater()
        for messages, terms in [
            ([frame(TEXT, large), frame(TEXT, b"next")], None),
            ([frame(TEXT, large, mask=MASK), frame(TEXT, b"next", mask=MASK)], None),
            (
                [
                    frame(TEXT, large[:-1], fin=False) + frame(CONTINUATION, b"x"),
                    frame(TEXT, b"next"),
                ],
                None,
            ),
            (
                [
                    frame(TEXT, deflate(large), rsv=RSV1),
                    frame(TEXT, deflate(b"next"), rsv=RSV1),
                ],
                TERMS,
            ),
        ]:
            data = b"".join(messages)
            for pieces in [[data], messages, each(data)]:
                for markers in [(), (b"next",)]:
                    told, count, _ = read(*pieces, deflate=terms, markers=markers)
                    self.assertEqual(said(told), ["message_too_large", b"next"])
                    self.assertEqual(count, 2)
                    self.assertEqual(told[0].end, len(messages[0]))

    def test_message_up_to_the_limit_is_read(self) -> None:
        """A message may be just as large as it may be."""
        for pieces in [[frame(TEXT, b"x" * LIMIT)], each(frame(TEXT, b"x" * LIMIT))]:
            self.assertEqual(said(read(*pieces)[0]), [b"x" * LIMIT])

    def test_what_is_held_of_an_unfinished_message(self) -> None:
        """As much as it has said so far; nothing behind its end."""
        for deflate, data in (
            (None, frame(TEXT, b"x" * 900)),
            (DeflateTerms(), frame(TEXT, Deflater()(b"x" * 900), rsv=4)),
        ):
            reader = MessageReader(deflate, LIMIT)
            reader.feed(data[:-1])
            self.assertGreater(reader.held, 800)
            reader.feed(data[-1:])
            self.assertEqual(reader.held, 0)

    def test_endless_message_is_not_held(self) -> None:
        """A frame may claim to be of any size; memory is bounded."""
        for mask in [None, MASK]:
            reader = MessageReader(None, LIMIT)
            reader.feed(frame(TEXT, mask=mask, length=2**63 - 1))
            for _ in range(50):
                self.assertEqual(reader.feed(b"x" * 300), [])
                self.assertLessEqual(len(reader._body), LIMIT)


texts = st.sampled_from([b"", b"usage", b"delta", b"x" * 130, b"y" * (LIMIT + 1)])
masks = st.sampled_from([None, MASK])


@st.composite
def sockets(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """The bytes of one direction, compressed here and there, and what its messages say."""
    deflate, data, said = Deflater(), b"", []
    for text in draw(st.lists(texts, max_size=6)):
        said.append(text)
        compressed = draw(st.booleans())
        rest, opcode = deflate(text) if compressed else text, TEXT
        rsv = RSV1 if compressed else 0
        for size in draw(st.lists(st.integers(0, 40), max_size=3)):
            part, rest = rest[:size], rest[size:]
            data += frame(opcode, part, fin=False, rsv=rsv, mask=draw(masks))
            data += draw(st.sampled_from([b"", frame(PING, b"?"), frame(PONG)]))
            opcode = rsv = 0
        data += frame(opcode, rest, rsv=rsv, mask=draw(masks))
    return data, said


class CutTests(SynchronousTestCase):
    @STEADY
    @given(
        sockets(),
        st.lists(st.integers(0, 60), max_size=20),
        st.sampled_from([(), (b"usage", b"x")]),
    )
    def test_any_messages_in_any_pieces(
        self,
        socket: tuple[bytes, list[bytes]],
        sizes: list[int],
        markers: tuple[bytes, ...],
    ) -> None:
        """What is read does not depend on how the bytes come."""
        data, texts = socket
        whole = read(data, deflate=TERMS, markers=markers)
        expected = [
            text if len(text) <= LIMIT else "message_too_large"
            for text in texts
            if not markers or len(text) > LIMIT or b"usage" in text or b"x" in text
        ]
        self.assertEqual(said(whole[0]), expected)
        pieces, rest = [], data
        for size in sizes:
            pieces.append(rest[:size])
            rest = rest[size:]
        self.assertEqual(read(*pieces, rest, deflate=TERMS, markers=markers), whole)
        self.assertEqual(read(*each(data), deflate=TERMS, markers=markers), whole)

    @STEADY
    @given(st.binary(max_size=80))
    def test_any_bytes_in_any_pieces(self, data: bytes) -> None:
        """Nothing is raised, whatever comes."""
        told, count, skipped = read(data, deflate=TERMS)
        singles = read(*each(data), deflate=TERMS)
        self.assertEqual(
            [astuple(one) for one in singles[0]], [astuple(m) for m in told]
        )
        self.assertEqual(singles[1:], (count, skipped))
