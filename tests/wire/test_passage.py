"""One demand that was let through, until what it cost is settled."""

from typing import Any

from hypothesis import given, strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import (
    AgentGone,
    ProxyError,
    ShuttingDown,
    TokensExceeded,
    UpstreamReset,
    UpstreamSilent,
)
from apiproxy.core.exchange import Exchange
from apiproxy.core.usage import Demand, Record
from apiproxy.core.values import Answer
from apiproxy.policy.ledger import Claim
from apiproxy.providers.usage.kept import Kept
from apiproxy.wire.passage import Passage, gap
from tests.kit.books import Desk
from tests.kit.hypothesis_profile import STEADY

SSE = (b"Content-Type", b"text/event-stream")
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"w" * 500 + b'"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
STREAM = Demand(True, "gpt-4o", 400, stream=True)


class Told:
    """Books that keep what they are told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.grown: list[int] = []

    def settle(self, passage: Passage, told: Record | Kept) -> None:
        self.told.append(told)

    def give_back(self, passage: Passage, status: int) -> None:
        self.told.append(status)

    def grow(self, passage: Passage, record: Record) -> None:
        self.grown.append(record.said)

    def refused(self, exchange: Exchange, error: ProxyError) -> None:
        self.told.append(error)


class PassageCase(SynchronousTestCase):
    def setUp(self) -> None:
        """Begin."""
        self.clock = Clock()
        self.books = Told()
        self.left: list[str] = []

    def passage(
        self, demand: Demand = STREAM, *, watched: bool = True, forwarded: bool = True
    ) -> Passage:
        """One that has a claim."""
        exchange = Desk(self.clock).exchange(forwarded=forwarded)
        passage = Passage(self.books, exchange, demand, self.clock.seconds, "chat")
        claim = Claim("c", ())
        passage.hold_to(claim, lambda: self.left.append("place"), watched=watched)
        passage.own(lambda: self.left.append("body"))
        passage.carry(lambda left: self.left.append(f"warned {left}"))
        return passage

    def record(self) -> Record:
        """The only record."""
        (record,) = self.books.told
        assert isinstance(record, Record)
        return record


def no_cut(error: ProxyError) -> None:
    """Nothing is cut."""
    raise error


def answer(*fields: tuple[bytes, bytes], status: int = 200) -> Answer:
    """The head of an answer."""
    return Answer(status, b"OK", list(fields))


class SettlingTests(PassageCase):
    def test_books_that_break(self) -> None:
        """Its place and the memory of its body are given back all the same."""
        passage = self.passage()

        def broken(passage: Passage, status: int) -> None:
            raise ZeroDivisionError

        self.patch(self.books, "give_back", broken)
        self.assertRaises(ZeroDivisionError, passage.end, None)
        self.assertEqual(self.left, ["warned True", "body", "place"])

    def test_a_response_is_settled_once(self) -> None:
        """When it is over, and not again at the end; then its place is free."""
        passage = self.passage()
        self.assertEqual(repr(passage), "<Passage gpt-4o open>")
        reader = passage.answered(answer(SSE), no_cut)
        assert reader is passage
        self.assertEqual(self.left, ["body"])
        self.clock.advance(1)
        passage.feed(WORD + USAGE + b"data: [DONE]\n\n")
        usage = self.record().usage
        assert usage is not None
        self.assertEqual(usage.output, 4)
        passage.feed(b"more")
        passage.end(None)
        passage.end(None)
        self.assertEqual(len(self.books.told), 1)
        self.assertEqual(self.left, ["body", "warned True", "place"])
        self.assertEqual(passage.ended, 1)
        self.assertEqual(repr(passage), "<Passage gpt-4o over>")

    def test_an_agent_that_leaves_has_got_something(self) -> None:
        """That is estimated, and it is said why."""
        for error, word in (
            (AgentGone(), "agent_gone"),
            (ShuttingDown(), "shutdown"),
            (UpstreamReset(), "upstream_reset"),
        ):
            self.books = Told()
            passage = self.passage()
            passage.answered(answer(SSE), no_cut)
            passage.feed(WORD)
            passage.end(error)
            record = self.record()
            self.assertEqual((record.gap, record.estimated), (word, True))
            self.assertEqual(gap(error), word)
        self.assertEqual(gap(None), "")

    def test_an_answer_that_was_not_waited_for(self) -> None:
        """The provider has the request, and works on it."""
        for error in (AgentGone(), ShuttingDown(), UpstreamSilent()):
            self.books = Told()
            self.passage().end(error)
            record = self.record()
            self.assertEqual((record.gap, record.usage), (gap(error), None))

    def test_what_was_not_sent_costs_nothing(self) -> None:
        """Nor does what the provider refused, or what asks for no response."""
        self.passage(forwarded=False).end(AgentGone())
        self.passage(Demand(False)).end(AgentGone())
        self.passage().end(UpstreamReset())
        refused = self.passage()
        self.assertIsNone(refused.answered(answer(status=401), no_cut))
        refused.end(None)
        self.assertEqual(self.books.told, [0, 0, 0, 401])


class WatchingTests(PassageCase):
    def test_a_watched_stream_is_looked_at_now_and_then(self) -> None:
        """Not at every event."""
        passage = self.passage()
        passage.answered(answer(SSE), no_cut)
        for _ in range(20):
            passage.feed(WORD)
        self.assertEqual(len(self.books.grown), 4)
        self.assertTrue(passage.between_events)
        self.assertTrue(passage.ends_at_events)
        ending = passage.ending(TokensExceeded())
        assert ending is not None
        self.assertIn(b"effective_tokens_limit_exceeded", ending)

    def test_others_are_only_read(self) -> None:
        """Nobody is asked what they cost so far."""
        passage = self.passage(watched=False)
        reader = passage.answered(answer(SSE), no_cut)
        assert reader is not None and reader is not passage
        for _ in range(20):
            reader.feed(WORD)
        self.assertEqual(self.books.grown, [])
        self.assertTrue(passage.between_events)
        document = self.passage(Demand(True, "gpt-4o"))
        fields = (b"Content-Type", b"application/json")
        self.assertIsNot(document.answered(answer(fields), no_cut), document)
        self.assertFalse(document.ends_at_events)
        self.assertIsNone(document.ending(TokensExceeded()))

    def test_a_stream_with_an_encoding_has_no_words(self) -> None:
        """It can only be aborted."""
        passage = self.passage()
        gzip = (b"Content-Encoding", b"gzip")
        self.assertIs(passage.answered(answer(SSE, gzip), no_cut), passage)
        self.assertFalse(passage.ends_at_events)
        passage.exchange.bytes_down = 2
        passage.feed(b"\x1f\x8b")
        self.assertFalse(passage.between_events)
        self.assertIsNone(passage.ending(TokensExceeded()))
        passage.end(None)
        passage.feed(b"nobody reads this")
        self.assertIsNone(self.passage().ending(TokensExceeded()))


class EventEndTests(PassageCase):
    @STEADY
    @given(
        st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=2, max_size=2),
        st.integers(0, 40),
        st.integers(1, 40),
    )
    def test_where_an_event_ends(self, ends: list[bytes], fed: int, step: int) -> None:
        """Whatever its lines end with, and wherever the bytes are cut."""
        event = b"event: a" + ends[0] + b"data: bcd" + ends[0] + ends[1]
        stream = event * 3
        passage = self.passage()
        passage.answered(answer(SSE), no_cut)
        passage.feed(stream[:fed])
        sent, rest = stream[:fed], stream[fed:]
        while rest:
            piece, rest = rest[:step], rest[step:]
            at = passage.event_end(piece)
            sent += piece if at is None else piece[:at]
            if at is not None:
                break
        if sent != stream[:fed] + stream[fed:]:
            text = sent.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            self.assertTrue(text.endswith(b"\n\n"), sent)
        self.assertGreater(len(sent), min(fed, len(stream) - 1))
