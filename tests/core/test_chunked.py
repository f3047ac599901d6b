"""Chunked bodies, cut anywhere: the payload comes out, and nothing that follows it."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.chunked import LAST_CHUNK, ChunkedError, ChunkedReader, chunk
from tests.kit.hypothesis_profile import STEADY

NEXT = b"GET /next HTTP/1.1\r\n\r\n"


def read(*pieces: bytes, extensions: bool = False) -> tuple[bytes, bytes | None]:
    """The payload of these bytes, and what follows its end; None if it has none."""
    reader = ChunkedReader(extensions=extensions)
    payload = b""
    rest = b""
    for piece in pieces:
        if reader.ended:
            rest += piece
            continue
        payload += reader.feed(piece)
        rest += reader.rest
    return payload, rest if reader.ended else None


class ChunkedReaderTests(SynchronousTestCase):
    def refuse(self, body: bytes, *, extensions: bool = False) -> None:
        """Whole or byte by byte, this is an error."""
        for pieces in [[body], [body[i : i + 1] for i in range(len(body))]]:
            with self.assertRaises(ChunkedError, msg=repr(body)):
                read(*pieces, extensions=extensions)

    def test_body_is_read_alike_however_it_is_cut(self) -> None:
        """Every cut in two gives the same payload and the same rest."""
        for body, payload in [
            (LAST_CHUNK, b""),
            (chunk(b"hello") + LAST_CHUNK, b"hello"),
            (
                chunk(b"\r\n0\r\n\r\n") + chunk(b"x" * 300) + LAST_CHUNK,
                b"\r\n0\r\n\r\n" + b"x" * 300,
            ),
            (b"00a\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
            (b"1\r\na\r\nB\r\nbcdefghijkl\r\n0\r\nA: b\r\nC:\r\n\r\n", b"abcdefghijkl"),
            (b"000000000000001\r\na\r\n0\r\n\r\n", b"a"),
        ]:
            whole = body + NEXT
            for cut in range(len(whole)):
                self.assertEqual(read(whole[:cut], whole[cut:]), (payload, NEXT))
            singles = [whole[i : i + 1] for i in range(len(whole))]
            self.assertEqual(read(*singles), (payload, NEXT))

    def test_body_without_its_end_has_not_ended(self) -> None:
        """A cut-off body is never taken for a whole one."""
        body = chunk(b"hello") + b"0\r\nA: b\r\n\r\n"
        for cut in range(len(body)):
            self.assertIsNone(read(body[:cut])[1])
        self.assertEqual(read(body), (b"hello", b""))

    def test_what_follows_the_end_is_not_payload(self) -> None:
        """The next request in the same segment is handed back, not passed on."""
        reader = ChunkedReader(extensions=False)
        self.assertEqual(reader.feed(chunk(b"a") + LAST_CHUNK + NEXT), b"a")
        self.assertEqual((reader.ended, reader.rest), (True, NEXT))
        self.assertEqual(reader.feed(b"more"), b"")
        self.assertEqual(reader.rest, b"more")

    def test_payload_is_handed_on_before_its_chunk_is_whole(self) -> None:
        """A stream is not held back by its framing."""
        reader = ChunkedReader(extensions=False)
        self.assertEqual(reader.feed(b"a\r\n01"), b"01")
        self.assertEqual(reader.feed(b""), b"")
        self.assertEqual(reader.feed(b"234"), b"234")
        self.assertFalse(reader.ended)
        self.assertIn("in_data left 5", repr(reader))

    def test_size_must_be_plain_hexadecimal(self) -> None:
        """Signs, prefixes, spaces and sizes too large are refused on both sides."""
        for size in [
            *(
                b"",
                b"+1",
                b"-1",
                b"0x1",
                b"1_0",
                b"g",
                b" 1",
                b"\t1",
                b"\xb2",
                b"1\x00",
            ),
            *(b"1.0", b"1,1", b"1" * 16, b"0" * 16, b"f" * 16, b"\n1", b"\r1", b"1\r"),
        ]:
            for extensions in (False, True):
                self.refuse(size + b"\r\na\r\n0\r\n\r\n", extensions=extensions)

    def test_largest_size_that_is_read(self) -> None:
        """Fifteen digits; nothing is reserved for what a size announces."""
        reader = ChunkedReader(extensions=False)
        self.assertEqual(reader.feed(b"f" * 15 + b"\r\nabc"), b"abc")
        self.assertIn(f"left {16**15 - 1 - 3}", repr(reader))

    def test_agents_may_not_use_extensions(self) -> None:
        """Smugglers hide a second line end in them."""
        for size in [b"1;a", b"1;a=b", b"1 ", b"1\t;", b"1;", b"0;x", b"1;\n"]:
            self.refuse(size + b"\r\na\r\n0\r\n\r\n")

    def test_providers_extensions_are_dropped(self) -> None:
        """They are not an error, and they do not pass."""
        for size in [b"1;a", b'1 ; a="b;\xe9"', b"1 ", b"1\t", b"1;", b"1;;;"]:
            body = size + b"\r\na\r\n0;end\r\n\r\n"
            for cut in range(len(body)):
                found = read(body[:cut], body[cut:], extensions=True)
                self.assertEqual(found, (b"a", b""), size)
        for size in [
            b"1;\x00",
            b"1;a\nb",
            b"1;a\rb",
            b"1 2",
            b";a",
            b"1a;\x7f",
            b"1 \x0b",
        ]:
            self.refuse(size + b"\r\na\r\n0\r\n\r\n", extensions=True)

    def test_bare_line_feeds_are_refused(self) -> None:
        """Wherever a CRLF must be, an LF is not one, even before its line is whole."""
        for body in [
            *(b"1\na\r\n0\r\n\r\n", b"1\r\na\n0\r\n\r\n", b"1\r\na\r\n0\n\r\n"),
            *(b"1\r\na\r\n0\r\n\n", b"0\r\nA: b\n\r\n", b"1\n", b"0\r\nA: b\n"),
            *(b"0\r\n\nGET / HTTP/1.1\r\n", b"1\r\na\n"),
        ]:
            self.refuse(body)

    def test_chunk_must_end_where_its_size_says(self) -> None:
        """Bytes in excess are an error at once, never payload."""
        for body in [
            *(
                b"1\r\nab\r\n0\r\n\r\n",
                b"1\r\na0\r\n\r\n",
                b"1\r\na\r\r\n",
                b"1\r\na\rb",
            ),
            *(b"3\r\na\r\n0\r\n\r\n", b"1\r\na\n\n"),
        ]:
            self.refuse(body)

    def test_long_size_line_is_refused_before_it_ends(self) -> None:
        """A size line cannot fill our memory."""
        for extensions in (False, True):
            self.refuse(b"1;" + b"a" * 300, extensions=extensions)
            self.refuse(b"1;" + b"a" * 300 + b"\r\na\r\n", extensions=extensions)
            self.refuse(b"0" * 300, extensions=extensions)

    def test_trailers_are_dropped(self) -> None:
        """They are neither payload nor header lines, however long."""
        long = b"Server-Timing: " + b"x" * 2000
        for trailers in [
            b"Authorization: Bearer x\r\n",
            b"A:\r\nb: \xe9\t\r\n",
            long + b"\r\n",
        ]:
            body = b"0\r\n" + trailers + b"\r\n"
            self.assertEqual(read(body + NEXT), (b"", NEXT))
            for cut in range(0, len(body), 7):
                self.assertEqual(read(body[:cut], body[cut:] + NEXT), (b"", NEXT))

    def test_trailers_are_bounded(self) -> None:
        """Many of them or one of them, they cannot go on for ever."""
        self.refuse(b"0\r\n" + b"A: b\r\n" * 3000)
        self.refuse(b"0\r\n" + b"A: " + b"b" * 9000)

    def test_trailer_out_of_grammar_is_refused(self) -> None:
        """The end of a body is read as strictly as its beginning."""
        for line in [
            b"A",
            b": a",
            b" A: b",
            b"A : b",
            b"A: \x00",
            b"A: a\rb",
            b"A\xe9: b",
        ]:
            self.refuse(b"0\r\n" + line + b"\r\n\r\n")

    @STEADY
    @given(
        st.lists(st.binary(min_size=1, max_size=40), max_size=6),
        st.lists(st.integers(0, 300), max_size=8),
    )
    def test_what_chunk_writes_is_read_back(
        self, payloads: list[bytes], cuts: list[int]
    ) -> None:
        """Any payload in any pieces, cut anywhere, comes out whole."""
        whole = b"".join(map(chunk, payloads)) + LAST_CHUNK + NEXT
        ends = sorted(min(cut, len(whole)) for cut in cuts)
        pieces = [
            whole[a:b] for a, b in zip([0, *ends], [*ends, len(whole)], strict=True)
        ]
        for extensions in (False, True):
            self.assertEqual(
                read(*pieces, extensions=extensions), (b"".join(payloads), NEXT)
            )

    @STEADY
    @given(
        st.lists(
            st.sampled_from(
                [
                    b"0",
                    b"1",
                    b"a",
                    b"\r\n",
                    b"\r",
                    b"\n",
                    b";",
                    b" ",
                    b"A: b",
                    b"x",
                    b"-",
                ]
            ),
            max_size=14,
        )
    )
    def test_cuts_never_change_what_is_read(self, parts: list[bytes]) -> None:
        """Whole and byte by byte, the same is accepted and the same is refused."""
        body = b"".join(parts)
        for extensions in (False, True):
            outcomes = []
            for pieces in [[body], [body[i : i + 1] for i in range(len(body))]]:
                try:
                    outcomes.append(read(*pieces, extensions=extensions))
                except ChunkedError:
                    outcomes.append((b"refused", None))
            self.assertEqual(outcomes[0], outcomes[1], body)
