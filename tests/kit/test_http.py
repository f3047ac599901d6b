"""Heads and bodies are read strictly."""

from twisted.trial.unittest import SynchronousTestCase

from tests.kit.http import Malformed, Message, Response, chunk, head, status_line


class MessageTests(SynchronousTestCase):
    def test_fields_keep_order_and_case(self) -> None:
        message = Message(b"GET / HTTP/1.1\r\nB: 1\r\na:\t2 \r\nb: 3\r\n\r\n")
        self.assertEqual(message.fields, [(b"B", b"1"), (b"a", b"2"), (b"b", b"3")])
        self.assertEqual(message.all(b"B"), [b"1", b"3"])
        self.assertEqual((message.get(b"A"), message.get(b"c")), (b"2", None))
        with self.assertRaises(Malformed):
            message.get(b"b")

    def test_framing_is_unambiguous(self) -> None:
        for fields, framing, length in (
            (b"", "close", 0),
            (b"Content-Length: 7\r\n", "length", 7),
            (b"Transfer-Encoding: chunked\r\n", "chunked", 0),
        ):
            message = Message(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
            self.assertEqual(message.frame(otherwise="close"), length)
            self.assertEqual(message.framing, framing)

    def test_a_status_line_may_have_no_reason(self) -> None:
        response = Response(b"HTTP/1.1 299\r\n\r\n")
        self.assertEqual((response.status, response.reason), (299, b""))

    def test_heads_are_made(self) -> None:
        self.assertEqual(
            head(status_line(429), [(b"A", b"b")]),
            b"HTTP/1.1 429 Too Many Requests\r\nA: b\r\n\r\n",
        )
        self.assertEqual(status_line(299, b""), b"HTTP/1.1 299 ")
        self.assertEqual(chunk(b"x" * 20), b"14\r\n" + b"x" * 20 + b"\r\n")
