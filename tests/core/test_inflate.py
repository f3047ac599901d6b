"""Inflating: all codings, cut anywhere, in small pieces, and never more than the limit."""

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.inflate import PIECE, PLENTY, Inflate, read_codings
from tests.kit.hypothesis_profile import STEADY

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1024 * 1024
TEXT = b'data: {"usage": {"input_tokens": 7}}\n\n' * 40
NOISE = b"".join(i.to_bytes(4) + bytes(i % 7) for i in range(40_000))


def raw(data: bytes) -> bytes:
    """Deflate without the wrapper of zlib."""
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


CODINGS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"X-Gzip": gzip.compress,
    b"deflate": zlib.compress,
    b" Deflate\t": raw,
    b"zstd": zstd.compress,
    b"br": lambda data: brotli.compress(data, quality=4),
}


class Body:
    """What was inflated of one body."""

    def __init__(self, encoding: bytes, limit: int = 64 * MIB) -> None:
        self.pieces: list[bytes] = []
        self.inflate = Inflate(encoding, self.pieces.append, limit)

    def read(self, *data: bytes) -> "Body":
        """Feed all of this, and end."""
        for piece in data:
            self.inflate.feed(piece)
        self.inflate.end()
        return self

    @property
    def told(self) -> tuple[bytes, str]:
        """What came out, and what went wrong."""
        return b"".join(self.pieces), self.inflate.gap


class CodingTests(SynchronousTestCase):
    def test_every_coding_is_inflated(self) -> None:
        """Short and long bodies come out as they were, in pieces of at most 64 KiB."""
        for encoding, deflate in CODINGS.items():
            for text in [b"", b"x", TEXT, NOISE, bytes(3 * MIB)]:
                body = Body(encoding).read(deflate(text))
                self.assertEqual(body.told, (text, ""), encoding)
                self.assertLessEqual(max(map(len, body.pieces), default=0), PIECE)
                self.assertFalse(body.inflate.identity)

    def test_every_coding_may_be_cut_anywhere(self) -> None:
        """Cut in two at every offset, a body is the same."""
        for encoding, deflate in CODINGS.items():
            data = deflate(TEXT)
            for cut in range(len(data) + 1):
                body = Body(encoding).read(data[:cut], data[cut:])
                self.assertEqual(body.told, (TEXT, ""))

    @STEADY
    @given(
        st.sampled_from(sorted(CODINGS)),
        st.binary(max_size=2000),
        st.lists(st.integers(1, 300)),
    )
    def test_any_bytes_in_any_pieces(
        self, encoding: bytes, text: bytes, sizes: list[int]
    ) -> None:
        """However a body is cut, it is the same."""
        data = CODINGS[encoding](text)
        pieces = []
        for size in sizes:
            pieces.append(data[:size])
            data = data[size:]
        body = Body(encoding).read(*pieces, data)
        self.assertEqual(body.told, (text, ""))

    def test_two_codings_are_taken_off_in_order(self) -> None:
        """The last one put on is the first one taken off."""
        data = zstd.compress(gzip.compress(NOISE))
        body = Body(b"gzip, zstd").read(data[:100], data[100:])
        self.assertEqual(body.told, (NOISE, ""))

    def test_streams_one_after_the_other_are_one_body(self) -> None:
        """Both gzip and zstd may be made of several; other bytes are passed over."""
        for encoding, deflate in [(e, CODINGS[e]) for e in (b"gzip", b"zstd")]:
            data = deflate(b"one ") + deflate(b"") + deflate(b"two") + b"\0\0" + TEXT
            for cut in range(len(data) + 1):
                body = Body(encoding).read(data[:cut], data[cut:])
                self.assertEqual(body.told, (b"one two", ""))

    def test_event_comes_out_when_it_was_flushed(self) -> None:
        """An event of a compressed stream is read as soon as it is there."""
        deflate = zlib.compressobj(wbits=31)
        body = Body(b"gzip")
        for i in range(5):
            event = b"data: %d\n\n" % i
            piece = deflate.compress(event) + deflate.flush(zlib.Z_SYNC_FLUSH)
            body.inflate.feed(piece)
            self.assertEqual(body.pieces[-1], event)

    def test_identity_is_handed_on_as_it_is(self) -> None:
        """A body that is not encoded costs nothing: its feed is the consumer."""
        for encoding in [b"", b"identity", b" Identity , identity", b","]:
            taken: list[bytes] = []
            take = taken.append
            inflate = Inflate(encoding, take, 0)
            self.assertIs(inflate.feed, take)
            self.assertTrue(inflate.identity)
            inflate.end()
            self.assertEqual(repr(inflate), "<Inflate identity>")

    def test_names_of_codings(self) -> None:
        """Names are told apart by commas, in any case, and identity is none."""
        self.assertEqual(read_codings(b"GZIP,\tidentity , br"), (b"gzip", b"br"))


class GapTests(SynchronousTestCase):
    def test_unknown_coding_is_told(self) -> None:
        """What we cannot inflate is not read, and we say so at once."""
        for encoding in [b"compress", b"gzip, aws-chunked", b"gzip, gzip, gzip"]:
            body = Body(encoding)
            self.assertEqual(body.inflate.gap, "content_encoding")
            self.assertEqual(body.read(TEXT).told, (b"", "content_encoding"))
            self.assertEqual(repr(body.inflate), "<Inflate content_encoding>")

    def test_broken_bytes_are_told(self) -> None:
        """Bytes that are none of the coding end the reading, and what follows is ignored."""
        for encoding, deflate in CODINGS.items():
            body = Body(encoding)
            self.assertEqual(repr(body.inflate), "<Inflate running>")
            body.read(b"\x07\xff<html>" + TEXT, deflate(TEXT))
            self.assertEqual(body.told, (b"", "encoding_broken"), encoding)

    @STEADY
    @given(st.sampled_from(sorted(CODINGS)), st.integers(0, 400), st.binary(min_size=1))
    def test_nothing_is_raised_for_what_is_sent(
        self, encoding: bytes, at: int, junk: bytes
    ) -> None:
        """Whatever is in a body, it is read or told to be broken."""
        data = bytearray(CODINGS[encoding](NOISE[:1000]))
        data[at : at + len(junk)] = junk
        body = Body(encoding).read(bytes(data))
        gaps = ["", "encoding_broken", "encoding_cut", "encoding_limit"]
        self.assertIn(body.inflate.gap, gaps)

    def test_cut_body_is_told(self) -> None:
        """What was there is read, and that it was not all is known at the end."""
        for encoding, deflate in CODINGS.items():
            body = Body(encoding).read(deflate(NOISE)[:-9])
            self.assertEqual(body.inflate.gap, "encoding_cut", encoding)
            self.assertTrue(NOISE.startswith(body.told[0]))
            self.assertGreater(len(body.told[0]), 1000)

    def test_empty_body_is_not_cut(self) -> None:
        """An answer without a body may have the header all the same."""
        self.assertEqual(Body(b"gzip").read().told, (b"", ""))

    def test_bomb_goes_off_in_small_pieces_up_to_the_limit(self) -> None:
        """A hundred megabytes in a hundred kilobytes: we stop at the limit and say so."""
        for encoding, deflate in CODINGS.items():
            body = Body(encoding, limit=MIB).read(deflate(bytes(20 * MIB)), b"more")
            data, gap = body.told
            self.assertEqual(gap, "encoding_limit", encoding)
            self.assertLessEqual(len(data), MIB)
            self.assertGreater(len(data), MIB - 2 * PIECE)
            self.assertLessEqual(max(map(len, body.pieces)), PIECE)

    def test_a_lot_out_of_next_to_nothing(self) -> None:
        """It is a bomb within any limit; the same out of enough is not."""
        for encoding, deflate in CODINGS.items():
            body = Body(encoding, limit=64 * MIB).read(deflate(bytes(20 * MIB)))
            data, gap = body.told
            self.assertEqual(gap, "encoding_limit", encoding)
            self.assertLess(len(data), 2 * PLENTY)
            for text in (bytes(PLENTY), NOISE + bytes(8 * MIB)):
                body = Body(encoding, limit=64 * MIB).read(deflate(text))
                self.assertEqual(body.told, (text, ""), encoding)

    def test_bomb_within_a_bomb_is_stopped_too(self) -> None:
        """The limit holds for what is between two codings as well."""
        data = gzip.compress(gzip.compress(bytes(20 * MIB)))
        body = Body(b"gzip, gzip", limit=MIB).read(data)
        self.assertEqual(body.inflate.gap, "encoding_limit")
        deep = gzip.compress(b"".join(gzip.compress(b"") for _ in range(4000)))
        self.assertEqual(Body(b"gzip, gzip", limit=PIECE).read(deep).told[0], b"")

    def test_endless_empty_streams_end(self) -> None:
        """A body of nothing but empty members keeps nobody busy for long."""
        body = Body(b"gzip").read(gzip.compress(b"") * 5000)
        self.assertEqual(body.told, (b"", "encoding_broken"))

    def test_zstd_with_a_huge_window_is_refused(self) -> None:
        """A window over 8 MiB would grow the process, and may not be used on the web."""
        options = {int(zstd.CompressionParameter.window_log): 27}
        streamed = zstd.ZstdCompressor(options=options)
        data = streamed.compress(NOISE) + streamed.flush()
        self.assertEqual(Body(b"zstd").read(data).inflate.gap, "encoding_broken")

    def test_libraries_are_imported_when_they_are_needed(self) -> None:
        """Starting the proxy loads neither brotli nor zstd."""
        code = (
            "import sys, apiproxy.core.inflate;"
            "print([m for m in sys.modules if 'brotli' in m or 'zstd' in m])"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        self.assertEqual(result.stdout, "[]\n")
