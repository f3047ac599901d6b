"""The head of a message: what smugglers send is refused, all else passes unchanged."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import HeadTooLarge, MalformedRequest, UpstreamMalformed
from apiproxy.core.head import (
    CHUNKED,
    UNTIL_CLOSE,
    AnswerHead,
    RequestHead,
    answer_length,
    parse_answer,
    parse_request,
    refuse_partial_head,
    request_length,
)
from apiproxy.core.headers import Special, join, sort_request
from apiproxy.core.values import Fields
from tests.kit.hypothesis_profile import STEADY

LINE = b"POST /v1/messages HTTP/1.1\r\n"
TOKEN = b"!#$%&'*+-.^_`|~09AZaz"

names = st.lists(st.sampled_from(list(TOKEN)), min_size=1, max_size=12).map(bytes)
visible = [0x09, *range(0x20, 0x7F), *range(0x80, 0x100)]
values = st.lists(st.sampled_from(visible), max_size=20).map(
    lambda codes: bytes(codes).strip(b" \t")
)
HOSTILE = [
    *(b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b",", b"\x0b", b"\x7f"),
    *(b"GET", b"/", b"HTTP/1.1", b"Host", b"x", b"\xff", b"Content-Length: 5"),
    b"Transfer-Encoding: chunked",
]
heads = st.one_of(
    st.lists(st.sampled_from(HOSTILE), max_size=12).map(
        lambda parts: LINE + b"".join(parts) + b"\r\n"
    ),
    st.lists(st.sampled_from(HOSTILE), max_size=12).map(b"".join),
)


def request(*lines: bytes, start: bytes = LINE) -> RequestHead:
    """The head of these lines, each given without its CRLF."""
    return parse_request(start + b"".join(line + b"\r\n" for line in lines), 100)


def framing(*lines: bytes, minor: int = 1) -> int:
    """How the body behind these lines is framed, by the way the channel takes."""
    start = b"POST / HTTP/1.%d\r\n" % minor
    head = request(*lines, start=start)
    return request_length(head.minor, sort_request(head.fields)[1])


class RequestLineTests(SynchronousTestCase):
    def test_request_line_is_taken_apart(self) -> None:
        """Method and target are kept as they were sent."""
        for line, method, target, minor in [
            (b"GET / HTTP/1.1", b"GET", b"/", 1),
            (b"get /a HTTP/1.0", b"get", b"/a", 0),
            (b"M-SEARCH * HTTP/1.1", b"M-SEARCH", b"*", 1),
            (
                b"GET http://e/a%20b?x=%0d#f HTTP/1.1",
                b"GET",
                b"http://e/a%20b?x=%0d#f",
                1,
            ),
            (b"GET //evil\\@x HTTP/1.1", b"GET", b"//evil\\@x", 1),
            (b"A" * 40 + b" / HTTP/1.1", b"A" * 40, b"/", 1),
        ]:
            self.assertEqual(
                parse_request(line + b"\r\n", 0), RequestHead(method, target, minor, [])
            )

    def test_any_other_request_line_is_refused(self) -> None:
        """Nothing is guessed: not its spaces, not its version, not its line end."""
        for line in [
            *(b"", b"\r\n", b" ", b"GET", b"GET /", b"GET / ", b"GET / HTTP/1.1"),
            *(b"GET  / HTTP/1.1\r\n", b"GET /  HTTP/1.1\r\n", b" GET / HTTP/1.1\r\n"),
            *(b"GET / HTTP/1.1 \r\n", b"GET\t/ HTTP/1.1\r\n", b"GET /\tHTTP/1.1\r\n"),
            *(b"GET / a HTTP/1.1\r\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r"),
            *(b"GET / HTTP/1.1\r\r\n", b"GET / HTTP/1.2\r\n", b"GET / HTTP/2.0\r\n"),
            *(b"GET / HTTP/1\r\n", b"GET / HTTP/1.10\r\n", b"GET / HTTP/0.9\r\n"),
            *(b"GET / HTTP/01.1\r\n", b"GET / http/1.1\r\n", b"GET / Http/1.1\r\n"),
            *(b"GET / HTTPS/1.1\r\n", b"GET / HTTP /1.1\r\n", b"GET /HTTP/1.1\r\n"),
            *(b"GET /\xc3\xa9 HTTP/1.1\r\n", b"GET /\x00 HTTP/1.1\r\n"),
            *(
                b"GET /\x7f HTTP/1.1\r\n",
                b"GET /\r HTTP/1.1\r\n",
                b"\xffGET / HTTP/1.1\r\n",
            ),
            *(b"G\x00T / HTTP/1.1\r\n", b"G:T / HTTP/1.1\r\n", b"(GET) / HTTP/1.1\r\n"),
            *(
                b"A" * 41 + b" / HTTP/1.1\r\n",
                b"\x16\x03\x01\x02\x00\x01",
                b"/ HTTP/1.1\r\n",
            ),
            *(b"\r\nGET / HTTP/1.1\r\n", b"\nGET / HTTP/1.1\r\n"),
            *(b"\xef\xbb\xbfGET / HTTP/1.1\r\n", b"\x00GET / HTTP/1.1\r\n"),
            b"HTTP/1.1 200 OK\r\n",
        ]:
            self.assertRaises(MalformedRequest, parse_request, line, 9)


class HeaderLineTests(SynchronousTestCase):
    def test_lines_pass_unchanged(self) -> None:
        """Order, case, repeats and Latin-1 are kept; only white space around is not."""
        head = request(
            b"Host: a",
            b"X-A:1",
            b"x-a: \t 2 \t",
            b"X-a:",
            b"!#$%&'*+-.^_`|~: odd but legal",
            b"Accept-Charset: caf\xe9 \x80\xff",
            b'Cookie: a=b:c; d="e,f"',
            b"X-Tab: a\tb",
        )
        self.assertEqual(
            head.fields,
            [
                (b"Host", b"a"),
                (b"X-A", b"1"),
                (b"x-a", b"2"),
                (b"X-a", b""),
                (b"!#$%&'*+-.^_`|~", b"odd but legal"),
                (b"Accept-Charset", b"caf\xe9 \x80\xff"),
                (b"Cookie", b'a=b:c; d="e,f"'),
                (b"X-Tab", b"a\tb"),
            ],
        )

    def test_any_other_line_is_refused(self) -> None:
        """Whatever two readers could read in two ways is not passed on."""
        for line in [
            *(
                b"Host : a",
                b"Host\t: a",
                b" Host: a",
                b"\tHost: a",
                b": a",
                b":",
                b"Host",
            ),
            *(b"X: a\r\n b", b"X: a\r\n\tb", b"X: a\nY: b", b"X: a\rY: b", b"X: a\x00"),
            *(
                b"X\x00: a",
                b"X: \x01",
                b"X: a\x0bb",
                b"X: a\x0cb",
                b"X: a\x7f",
                b"X: \x1b[0m",
            ),
            *(
                b"X Y: a",
                b"X(Y): a",
                b"X\xe9: a",
                b'"X": a',
                b"X,Y: a",
                b"X/Y: a",
                b"X@: a",
            ),
            *(b"", b"X: a\r", b"\rX: a", b"X: a\r\n", b"X: a\r\n\r\nGET / HTTP/1.1"),
            *(b"Transfer-Encoding\x0b: chunked", b"\x0bTransfer-Encoding: chunked"),
            *(b"Transfer-Encoding : chunked", b"X: a\r\n\rTransfer-Encoding: chunked"),
            *(b"Content-Length\xa0: 5", b"Content-Length\x85: 5"),
        ]:
            self.assertRaises(MalformedRequest, request, b"Host: a", line)
            self.assertRaises(MalformedRequest, request, line, b"Host: a")

    def test_last_line_must_end_in_crlf(self) -> None:
        """A head that stops in the middle of a line is none."""
        for end in [b"X: a", b"X: a\r", b"X: a\n", b"X"]:
            self.assertRaises(MalformedRequest, parse_request, LINE + end, 9)

    def test_lines_are_counted_before_they_are_read(self) -> None:
        """So that a head of nothing but lines costs next to nothing, in either direction."""
        read: list[bytes] = []

        def split(line: bytes) -> tuple[bytes, bytes]:
            read.append(line)
            return line, b""

        lines = b"a:\r\n" * 5000
        self.assertRaises(HeadTooLarge, parse_request, LINE + lines, 100, split)
        answer = b"HTTP/1.1 200 OK\r\n" + lines
        self.assertRaises(UpstreamMalformed, parse_answer, answer, split)
        self.assertEqual(read, [])

    def test_too_many_lines_are_refused_by_the_name_of_their_setting(self) -> None:
        """431 says which variable would allow more."""
        lines = LINE + b"X: a\r\n" * 3
        self.assertEqual(len(parse_request(lines, 3).fields), 3)
        error = self.assertRaises(HeadTooLarge, parse_request, lines, 2)
        self.assertIn("APIPROXY_MAX_HEADER_FIELDS", error.message)

    @STEADY
    @given(st.lists(st.tuples(names, values), max_size=8))
    def test_lines_written_are_the_lines_read(self, fields: Fields) -> None:
        """What we write is read as the same lines, whoever reads it."""
        self.assertEqual(parse_request(LINE + join(fields), 100).fields, fields)
        answer = parse_answer(b"HTTP/1.1 200 OK\r\n" + join(fields))
        self.assertEqual(answer.fields, fields)

    @STEADY
    @given(heads)
    def test_nothing_read_can_break_a_line(self, head: bytes) -> None:
        """No name or value that was accepted has CR, LF or NUL in it."""
        try:
            parsed = parse_request(head, 100)
        except MalformedRequest:
            return
        for part in [
            parsed.method,
            parsed.target,
            *(p for f in parsed.fields for p in f),
        ]:
            self.assertFalse(set(part) & set(b"\r\n\0"), part)
        again = b"%b %b HTTP/1.%d\r\n" % (parsed.method, parsed.target, parsed.minor)
        self.assertEqual(parse_request(again + join(parsed.fields), 100), parsed)


class PartialHeadTests(SynchronousTestCase):
    def test_beginning_of_a_head_is_waited_for(self) -> None:
        """However the head is cut, it is not refused before it is whole."""
        whole = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n"
        for cut in range(len(whole)):
            start = whole[:cut]
            if start.startswith(b"\r\n"):
                start = start[2:]  # as the channel does
            refuse_partial_head(start, 100)
            refuse_partial_head(bytearray(start), 100)

    def test_what_cannot_become_a_head_is_refused_at_once(self) -> None:
        """TLS, junk and bare line feeds do not keep a connection waiting."""
        for start in [
            *(
                b"\x16\x03\x01",
                b" GET",
                b"\nGET",
                b"\xff",
                b"\x00",
                b"(",
                b"\rGET",
                b"\r\r",
            ),
            *(
                b"GET / HTTP/1.1\n",
                b"GET / HTTP/1.1\r\nHost: a\n",
                b"A\n\r\n",
                b"A\r\n\n",
            ),
        ]:
            self.assertRaises(MalformedRequest, refuse_partial_head, start, 100)

    def test_head_without_an_end_is_refused_by_its_size(self) -> None:
        """431 comes as soon as the limit is passed, not when memory is."""
        refuse_partial_head(b"A" * 100, 100)
        error = self.assertRaises(HeadTooLarge, refuse_partial_head, b"A" * 101, 100)
        self.assertIn("APIPROXY_MAX_HEAD_BYTES", error.message)


class RequestLengthTests(SynchronousTestCase):
    def test_body_is_framed_in_one_way(self) -> None:
        """No body, a counted body, or a chunked one."""
        for lines, expected in [
            ([], 0),
            ([b"Content-Length: 0"], 0),
            ([b"content-length:7"], 7),
            ([b"CONTENT-LENGTH: \t007 "], 7),
            ([b"Content-Length: " + b"9" * 18], 10**18 - 1),
            ([b"Transfer-Encoding: chunked"], CHUNKED),
            ([b"tRANSFER-eNCODING: ChunKed "], CHUNKED),
        ]:
            self.assertEqual(framing(*lines), expected)
        self.assertEqual(framing(b"Content-Length: 7", minor=0), 7)

    def test_length_that_is_not_one_plain_number_is_refused(self) -> None:
        """Signs, bases, lists, repeats and numbers too large to count."""
        for value in [
            *(b"", b"+5", b"-5", b"-0", b"0x5", b"5.0", b"5e1", b"1_0", b"5 5", b"5,5"),
            *(b"5, 5", b"5;", b"a", b"\xb2", b"'5'", b"0" * 19, b"9" * 19, b"9" * 5000),
            *(b"5\t6", b"\xd9\xa5", b"5\xa0", b",5", b"5,"),
        ]:
            self.assertRaises(MalformedRequest, framing, b"Content-Length: " + value)
        for second in [b"5", b"6", b"", b"05"]:
            self.assertRaises(
                MalformedRequest,
                framing,
                b"Content-Length: 5",
                b"content-length: " + second,
            )

    def test_transfer_coding_other_than_chunked_is_refused(self) -> None:
        """A body whose end we could see where another does not is not passed on."""
        for value in [
            *(b"", b",chunked", b"chunked,", b"chunked, chunked", b"gzip, chunked"),
            *(b"chunked, gzip", b"xchunked", b"chunkedx", b"identity", b"gzip"),
            *(b"chunked;q=1", b'"chunked"', b"chunked, identity", b"\xffchunked"),
            *(b"chunked\tx", b"chu\tnked", b"chunke", b"chunked\x85", b"\xa0chunked"),
        ]:
            self.assertRaises(MalformedRequest, framing, b"Transfer-Encoding: " + value)
        for second in [b"chunked", b"identity", b""]:
            self.assertRaises(
                MalformedRequest,
                framing,
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding: " + second,
            )

    def test_two_framings_are_refused(self) -> None:
        """Content-Length and Transfer-Encoding together are smuggling, in any order."""
        for lines in [
            (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
            (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
            (b"Transfer-Encoding: chunked", b"Content-Length: 0"),
            (b"Transfer-Encoding: chunked", b"Content-Length:"),
            (b"Transfer-Encoding: identity", b"Content-Length: 5"),
        ]:
            self.assertRaises(MalformedRequest, framing, *lines)

    def test_chunked_is_refused_on_http_1_0(self) -> None:
        """A reader of HTTP/1.0 would not see where the body ends."""
        self.assertRaises(
            MalformedRequest, framing, b"Transfer-Encoding: chunked", minor=0
        )

    def test_connection_cannot_take_the_framing_away(self) -> None:
        """Naming a framing line in Connection does not make it unseen."""
        options = b"Connection: content-length, transfer-encoding, host"
        self.assertEqual(framing(options, b"Content-Length: 7"), 7)
        self.assertEqual(framing(options, b"Transfer-Encoding: chunked"), CHUNKED)

    def test_framing_under_a_folded_name_is_no_framing(self) -> None:
        """Content_Length is never believed, and never passed on."""
        head = request(b"Content_Length: 5", b"Transfer_Encoding: chunked")
        self.assertEqual(sort_request(head.fields), ([], {}))
        self.assertEqual(framing(b"Content_Length: 5"), 0)


class AnswerTests(SynchronousTestCase):
    def test_status_line_is_taken_apart(self) -> None:
        """The reason may be missing, empty, or in Latin-1."""
        for line, expected in [
            (b"HTTP/1.1 200 OK", (200, b"OK", 1)),
            (b"HTTP/1.1 200", (200, b"", 1)),
            (b"HTTP/1.1 200 ", (200, b"", 1)),
            (b"HTTP/1.0 404 Not  Found", (404, b"Not  Found", 0)),
            (b"HTTP/1.1 500 caf\xe9\t!", (500, b"caf\xe9\t!", 1)),
            (b"HTTP/1.1 100 Continue", (100, b"Continue", 1)),
            (b"HTTP/1.1 103", (103, b"", 1)),
            (b"HTTP/1.1 529 Overloaded", (529, b"Overloaded", 1)),
        ]:
            status, reason, minor = expected
            self.assertEqual(
                parse_answer(line + b"\r\n"), AnswerHead(status, reason, minor, [])
            )

    def test_any_other_status_line_is_refused(self) -> None:
        """The agent gets 502 instead of something we had to guess."""
        for line in [
            *(b"", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 20", b"HTTP/1.1 2000 OK"),
            *(b"HTTP/1.1 200OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK"),
            *(
                b"HTTP/1.1 099 x",
                b"HTTP/1.1 600 x",
                b"HTTP/1.1 +20 x",
                b"HTTP/1.1 2x0 x",
            ),
            *(b"HTTP/2 200 OK", b"HTTP/1.2 200 OK", b"http/1.1 200 OK", b"ICY 200 OK"),
            *(b" HTTP/1.1 200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK"),
            *(
                b"HTTP/1.1 200 OK\nX: a",
                b"\r\nHTTP/1.1 200 OK",
                b"HTTP/1.1 \xb2\xb2\xb2 x",
            ),
        ]:
            self.assertRaises(UpstreamMalformed, parse_answer, line + b"\r\n")
        self.assertRaises(UpstreamMalformed, parse_answer, b"HTTP/1.1 200 OK\n")

    def test_header_line_out_of_grammar_is_refused(self) -> None:
        """A provider is held to the same grammar as an agent."""
        for line in [
            b"X : a",
            b"X: a\r\n b",
            b"X: \x00",
            b"X",
            b"X: a\rb",
            b": a",
            b"",
        ]:
            self.assertRaises(
                UpstreamMalformed,
                parse_answer,
                b"HTTP/1.1 200 OK\r\n" + line + b"\r\n",
            )


class AnswerLengthTests(SynchronousTestCase):
    def test_body_is_framed_in_one_way(self) -> None:
        """Counted, chunked, until the connection closes, or none at all."""
        counted: Special = {b"content-length": [b"7"]}
        chunked: Special = {b"transfer-encoding": [b"Chunked"]}
        both = counted | chunked
        for method, status, minor, special, expected in [
            (b"GET", 200, 1, counted, 7),
            (b"GET", 200, 0, counted, 7),
            (b"GET", 200, 1, {b"content-length": [b"7", b"7"]}, 7),
            (b"GET", 200, 1, chunked, CHUNKED),
            (b"GET", 200, 1, {}, UNTIL_CLOSE),
            (b"GET", 200, 0, {}, UNTIL_CLOSE),
            (b"GET", 404, 1, counted, 7),
            (b"HEAD", 200, 1, counted, 0),
            (b"HEAD", 200, 1, chunked, 0),
            (b"HEAD", 200, 1, both, 0),
            (b"HEAD", 200, 1, {}, 0),
            (b"head", 200, 1, counted, 7),
            (b"GET", 304, 1, counted, 0),
            (b"GET", 304, 1, both, 0),
            (b"GET", 204, 1, {}, 0),
            (b"GET", 204, 1, chunked, 0),
            (b"DELETE", 204, 1, {b"content-length": [b"0"]}, 0),
            (b"GET", 205, 1, {b"content-length": [b"0"]}, 0),
            (b"GET", 103, 1, {}, 0),
        ]:
            self.assertEqual(
                answer_length(method, status, minor, special),
                expected,
                (method, status, special),
            )

    def test_answer_with_two_framings_is_refused(self) -> None:
        """Where two readers could see two ends, the agent gets 502."""
        chunked = [b"chunked"]
        for status, minor, special in [
            (200, 1, {b"transfer-encoding": chunked, b"content-length": [b"7"]}),
            (200, 0, {b"transfer-encoding": chunked}),
            (200, 1, {b"transfer-encoding": [b"chunked", b"chunked"]}),
            (200, 1, {b"transfer-encoding": [b"gzip, chunked"]}),
            (200, 1, {b"transfer-encoding": [b"identity"]}),
            (200, 1, {b"transfer-encoding": [b""]}),
            (200, 1, {b"content-length": [b"7", b"8"]}),
            (200, 1, {b"content-length": [b"7, 7"]}),
            (200, 1, {b"content-length": [b"+7"]}),
            (200, 1, {b"content-length": [b""]}),
            (200, 1, {b"content-length": [b"9" * 19]}),
            (304, 1, {b"content-length": [b"x"]}),
        ]:
            self.assertRaises(
                UpstreamMalformed, answer_length, b"GET", status, minor, special
            )

    def test_length_on_an_answer_without_a_body_is_refused(self) -> None:
        """A 204 that announces a body would make a naive agent wait for the next answer."""
        self.assertRaises(
            UpstreamMalformed,
            answer_length,
            b"GET",
            204,
            1,
            {b"content-length": [b"7"]},
        )
