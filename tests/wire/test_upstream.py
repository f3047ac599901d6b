"""One line to a provider, and the pool of warm ones."""

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from apiproxy.core.errors import ProxyError
from apiproxy.core.familiar import Familiar
from apiproxy.core.headers import Special, answer_kind
from apiproxy.core.values import Answer
from apiproxy.wire.upstream import UpstreamLine
from tests.kit.memory import MemoryTransport, answer, head


class Sink:
    """Writes down what a line says."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def answer_interim(self, answer: Answer) -> None:
        self.told.append(f"interim {answer.status}")

    def answer_began(self, answer: Answer, length: int) -> None:
        self.told.append(f"began {answer.status} {length}")

    def answer_data(self, payload: bytes) -> None:
        self.told.append(payload)

    def answer_turn(self) -> None:
        self.told.append("turn")

    def answer_ended(self) -> None:
        self.told.append("ended")

    def answer_switched(self, answer: Answer, special: Special, rest: bytes) -> None:
        self.told.append(f"switched {sorted(special)} {rest!r}")

    def line_lost(self, error: ProxyError) -> None:
        self.told.append(error.code)

    def line_full(self) -> None:
        self.told.append("full")

    def line_ready(self) -> None:
        self.told.append("ready")


class LineTests(SynchronousTestCase):
    """A line on its own."""

    def setUp(self) -> None:
        self.story: list[str] = []
        self.line = UpstreamLine(
            lambda line: self.story.append("given back"),
            lambda line: self.story.append("forgotten"),
            lambda sentence, error: self.story.append(sentence),
            Familiar(answer_kind),
        )
        self.transport = MemoryTransport(self.line, high_water=100)
        self.sink = Sink()

    def begin(self, method: bytes = b"GET", *, ended: bool = True) -> None:
        self.line.begin(self.sink, method)
        self.line.write(b"?")
        if ended:
            self.line.end_request()

    def test_it_is_a_producer(self) -> None:
        """So that it is told when the connection is full."""
        self.assertTrue(verifyObject(IPushProducer, self.line))
        self.begin()
        self.transport.stall()
        self.line.write(b"x" * 101)
        self.transport.flow()
        self.assertEqual(self.sink.told, ["full", "ready"])

    def test_nobody_is_told_of_a_full_idle_line(self) -> None:
        """There is nobody."""
        self.line.pauseProducing()
        self.line.resumeProducing()
        self.assertEqual(self.sink.told, [])

    def test_an_answer_in_one_segment(self) -> None:
        """Head, payload, end; the line is given back before its sink is told."""
        self.begin()
        self.transport.deliver(answer(b"hi"))
        self.assertEqual(self.sink.told, ["began 200 2", b"hi", "ended"])
        self.assertEqual(self.story, ["given back"])
        self.assertEqual(repr(self.line), "<UpstreamLine used idle>")

    def test_an_answer_byte_by_byte(self) -> None:
        """Each byte of payload is handed on as it comes."""
        self.begin()
        for byte in answer(b"hi"):
            self.transport.deliver(bytes((byte,)))
        self.assertEqual(self.sink.told, ["began 200 2", "turn", b"h", b"i", "ended"])

    def test_what_speaks_against_using_a_line_again(self) -> None:
        """Each of these ends it with the answer."""
        for answered, ended in (
            (answer(b"hi", "200 OK", "Connection: close"), True),
            (answer(b"hi", "200 OK", "Connection: x, CLOSE"), True),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", True),
            (answer(b"hi") + b"!", True),
            (head("200 OK", "Transfer-Encoding: chunked") + b"0\r\n\r\nHTTP", True),
            (head("204 No Content") + b"body!", True),
            (answer(b"hi"), False),
        ):
            self.setUp()
            self.begin(ended=ended)
            self.transport.deliver(answered)
            self.assertEqual(self.sink.told[-1], "ended")
            self.assertNotIn("given back", self.story)
            self.assertTrue(self.transport.aborted)
            self.assertNotIn(b"!", self.sink.told)

    def test_excess_bytes_in_a_later_segment(self) -> None:
        """On an idle line any byte is one too many."""
        self.begin()
        self.transport.deliver(answer(b"hi"), b"!")
        self.assertEqual(self.sink.told, ["began 200 2", b"hi", "ended"])
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.story[:2], ["given back", "forgotten"])

    def test_it_knows_whether_it_was_used_and_heard(self) -> None:
        """By which a stale line is told from a broken one."""
        self.begin()
        self.assertEqual((self.line.used, self.line.heard), (False, False))
        self.transport.deliver(b"H")
        self.assertEqual((self.line.used, self.line.heard), (False, True))
        self.transport.deliver(answer()[1:])
        self.begin()
        self.assertEqual((self.line.used, self.line.heard), (True, False))

    def test_a_line_that_ends_idle_is_forgotten(self) -> None:
        """Nobody else is told."""
        self.transport.close()
        self.assertEqual((self.story, self.sink.told), (["forgotten"], []))

    def test_another_protocol(self) -> None:
        """101 hands the connection over, with the bytes behind the head."""
        self.begin()
        self.transport.deliver(head("101 Switching", "Upgrade: x") + b"rest")
        self.assertEqual(self.sink.told, ["switched [b'upgrade'] b'rest'"])
        self.assertIs(self.line.hand_over(), self.transport)
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.story, ["forgotten"])

    def test_an_abort_is_not_told_to_whoever_asked_for_it(self) -> None:
        """It knows."""
        self.begin()
        self.transport.deliver(head("200 OK", "Content-Length: 5"))
        self.line.abort()
        self.transport.deliver(b"hello")
        self.assertEqual(self.sink.told, ["began 200 5", "turn"])
        self.assertEqual(repr(self.line), "<UpstreamLine fresh idle>")

    def test_a_sink_that_gives_up_in_the_middle_is_told_no_more(self) -> None:
        """Though there is more in the segment, whatever the framing."""
        chunked = head("200 OK", "Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\n\r\n"
        for answered, moments in (
            (answer(b"hi"), ("answer_began", "answer_data")),
            (chunked, ("answer_began", "answer_data")),
            (head("103 x") + answer(b"hi"), ("answer_interim", "answer_began")),
        ):
            for first in moments:
                self.setUp()
                self.begin()
                told = getattr(self.sink, first)

                def give_up(*args: Any, told: Any = told) -> None:
                    told(*args)
                    self.line.abort()

                setattr(self.sink, first, give_up)
                self.transport.deliver(answered)
                self.assertNotIn("given back", self.story)
                self.assertNotIn("turn", self.sink.told)
