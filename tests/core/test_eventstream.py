"""Amazon's event streams: whole messages, checked, cut anywhere."""

from binascii import crc32
from struct import pack

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.eventstream import EventStream
from tests.kit.hypothesis_profile import STEADY

LIMIT = 300
Told = tuple[list[tuple[dict[str, str], bytes]], str, int]


def header(name: str, kind: int, value: bytes) -> bytes:
    """One header, its value as it is on the wire."""
    return bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value


def text(name: str, value: str) -> bytes:
    """A header that is text."""
    return header(name, 7, pack("!H", len(value.encode())) + value.encode())


def message(headers: bytes, payload: bytes, claimed: int | None = None) -> bytes:
    """One message; ``claimed`` is what it says of the size of its headers."""
    sizes = pack(
        "!II",
        16 + len(headers) + len(payload),
        len(headers) if claimed is None else claimed,
    )
    data = sizes + pack("!I", crc32(sizes)) + headers + payload
    return data + pack("!I", crc32(data))


def read(*pieces: bytes) -> Told:
    """The messages of a body in these pieces, what is wrong with it, and the count lost."""
    told: list[tuple[dict[str, str], bytes]] = []
    stream = EventStream(
        lambda headers, payload: told.append((headers, payload)), LIMIT
    )
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    assert stream.messages == len(told)
    return told, stream.gap, stream.oversized


def read_everywhere(case: SynchronousTestCase, data: bytes, expected: Told) -> None:
    """The same comes of it in one piece, in two, and byte by byte."""
    case.assertEqual(read(*[data[i : i + 1] for i in range(len(data))]), expected)
    for cut in range(len(data) + 1):
        case.assertEqual(read(data[:cut], data[cut:]), expected)


DELTA = {":event-type": "contentBlockDelta", ":message-type": "event"}
FIRST = message(
    text(":event-type", "contentBlockDelta") + text(":message-type", "event"),
    b'{"delta":{"text":"Hi"}}',
)
LAST = message(text(":event-type", "metadata"), b'{"usage":{"inputTokens":7}}')
LAST_TOLD = ({":event-type": "metadata"}, b'{"usage":{"inputTokens":7}}')


class MessageTests(SynchronousTestCase):
    def test_messages_come_whole(self) -> None:
        """Headers and payload of each, wherever the bytes are cut."""
        expected = [(DELTA, b'{"delta":{"text":"Hi"}}'), LAST_TOLD]
        read_everywhere(self, FIRST + LAST, (expected, "", 0))

    def test_message_of_the_documentation_is_read(self) -> None:
        """The smallest message there is, byte for byte: no headers, no payload."""
        data = bytes.fromhex("000000100000000005c248eb7d98c8ff")
        self.assertEqual(read(data), ([({}, b"")], "", 0))

    def test_headers_of_other_types_are_passed_over(self) -> None:
        """Numbers, times, flags and bytes are no text, and do not confuse us."""
        others = b"".join(
            header("x", kind, bytes(size))
            for kind, size in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8)]
        )
        others += header("id", 9, bytes(16)) + header("b", 6, b"\0\3abc")
        data = message(others + text("é", "ü") + header("bad", 7, b"\0\1\xff"), b"!")
        self.assertEqual(read(data), ([({"é": "ü", "bad": "\ufffd"}, b"!")], "", 0))

    @STEADY
    @given(st.lists(st.binary(max_size=150)), st.lists(st.integers(0, 200)))
    def test_any_messages_in_any_pieces(
        self, payloads: list[bytes], sizes: list[int]
    ) -> None:
        """However the body is cut, the messages are the same."""
        rest = b"".join([message(text("a", "b"), payload) for payload in payloads])
        pieces = []
        for size in sizes:
            pieces.append(rest[:size])
            rest = rest[size:]
        told = [({"a": "b"}, payload) for payload in payloads]
        self.assertEqual(read(*pieces, rest), (told, "", 0))


class GapTests(SynchronousTestCase):
    def test_every_flipped_byte_is_noticed(self) -> None:
        """A message that was damaged on its way is not told, nor is what follows."""
        for at in range(len(FIRST)):
            damaged = bytearray(FIRST)
            damaged[at] ^= 0x40
            told = read(LAST + bytes(damaged) + FIRST)
            self.assertEqual(told, ([LAST_TOLD], "eventstream_crc", 0))
        damaged = bytearray(FIRST)
        damaged[-5] ^= 1
        data = LAST + bytes(damaged) + FIRST
        read_everywhere(self, data, ([LAST_TOLD], "eventstream_crc", 0))

    def test_sizes_that_cannot_be_are_noticed(self) -> None:
        """Headers longer than their message, and a message shorter than its frame."""
        small = pack("!II", 15, 0)
        for data in [message(b"", b"abc", 4), small + pack("!I", crc32(small)) + LAST]:
            self.assertEqual(read(data + LAST), ([], "eventstream_broken", 0))

    def test_headers_that_cannot_be_are_noticed(self) -> None:
        """A name or value that ends outside, and a type that does not exist."""
        for headers in [
            b"\x05ab",
            b"\x01a",
            header("a", 7, b"\0\5abc"),
            header("a", 10, b""),
        ]:
            read_everywhere(
                self,
                LAST + message(headers, b""),
                ([LAST_TOLD], "eventstream_broken", 0),
            )

    def test_cut_body_is_told(self) -> None:
        """What was whole is read, and the rest is known to be missing."""
        for cut in range(1, len(FIRST)):
            told = read(LAST + FIRST[:cut])
            self.assertEqual(told, ([LAST_TOLD], "eventstream_cut", 0))
        self.assertEqual(read(), ([], "", 0))

    def test_message_over_the_limit_is_passed_over(self) -> None:
        """It is counted, never held, and the next one is read."""
        data = message(b"", bytes(LIMIT - 16)) + message(b"", bytes(LIMIT - 15)) + LAST
        expected = [({}, bytes(LIMIT - 16)), LAST_TOLD]
        read_everywhere(self, data, (expected, "", 1))
        sizes = pack("!II", 2**32 - 1, 0)
        stream = EventStream(lambda headers, payload: None, LIMIT)
        stream.feed(sizes + pack("!I", crc32(sizes)))
        for _ in range(100):
            stream.feed(bytes(1000))
            self.assertEqual(len(stream._held), 0)
        stream.end()
        self.assertEqual(stream.gap, "eventstream_cut")
