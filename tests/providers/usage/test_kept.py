"""Tests of ``apiproxy.providers.usage.kept`` and ``briefs``."""

import gzip

import msgspec
from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand, Record
from apiproxy.core.values import Fields
from apiproxy.providers.usage.answer import open_answer
from apiproxy.providers.usage.briefs import read_brief
from apiproxy.providers.usage.kept import MOST_KEPT, Kept, is_document

JSON: Fields = [(b"Content-Type", b"application/json")]
DEMAND = Demand(True, "m", 400)

CHAT = (
    b'{"id":"c1","model":"gpt","choices":[{"message":{"content":"words"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":30,"completion_tokens":9,'
    b'"prompt_tokens_details":{"cached_tokens":20}},"service_tier":"default"}'
)
MESSAGE = (
    b'{"id":"m1","type":"message","model":"claude","stop_reason":"end_turn",'
    b'"content":[{"type":"text","text":"words"}],'
    b'"usage":{"input_tokens":3,"cache_read_input_tokens":20,"output_tokens":9}}'
)
RESPONSE = (
    b'{"id":"r1","object":"response","model":"gpt","status":"completed","error":null,'
    b'"output":[],"usage":{"input_tokens":3,"output_tokens":9,"total_tokens":12}}'
)
UNUSUAL = (
    b'{"error":{"code":"x"},"usage":{"prompt_tokens":3,"completion_tokens":1}}',
    b'{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},'
    b'"usage":{"input_tokens":3,"output_tokens":9}}',
    b'{"status":"failed","usage":{"input_tokens":3,"output_tokens":9}}',
    b'{"usage":{"inputTokens":3,"outputTokens":9}}',
    b'{"usage":{"prompt_tokens":-3,"completion_tokens":9}}',
    b'{"usage":{}}',
    b'{"usageMetadata":{"promptTokenCount":3},"usage":{"prompt_tokens":9}}',
    b'{"type":"message_start","usage":{"prompt_tokens":9}}',
    b'{"copilot_usage":{"token_details":[]},"usage":{"prompt_tokens":9}}',
    b'{"id":"no figures"}',
    b"[]",
    b'{"usage"',
)


FIGURES = """
prompt_tokens completion_tokens total_tokens input_tokens output_tokens reasoning_tokens
cache_read_input_tokens cache_creation_input_tokens service_tier
""".split()  # noqa: SIM905


def read_at_once(body: bytes, fields: Fields = JSON) -> Record:
    """What the reader of everything makes of it."""
    records: list[Record] = []
    reader = open_answer(DEMAND, 200, fields, records.append)
    assert reader is not None
    reader.feed(body)
    reader.end()
    return records[0]


def told(record: Record) -> Record:
    """Without what only estimates need."""
    return msgspec.structs.replace(record, said=0)


class BriefTests(SynchronousTestCase):
    def test_usual_documents(self) -> None:
        """Give the record that the reader of everything makes."""
        for body in (CHAT, MESSAGE, RESPONSE):
            found = read_brief(body)
            assert found is not None, body
            self.assertEqual(found, told(read_at_once(body)))

    def test_everything_else_is_left_to_others(self) -> None:
        """Errors, what is unfinished, other dialects, wrong figures, and no JSON."""
        for body in UNUSUAL:
            self.assertIsNone(read_brief(body), body)

    @given(
        st.dictionaries(
            st.sampled_from(FIGURES),
            st.integers(-2, 1 << 41) | st.sampled_from(["a", "b"]) | st.none(),
        ),
        st.dictionaries(
            st.sampled_from(["id", "model", "type", "status", "stop_reason"])
            | st.sampled_from(["service_tier", "error"]),
            st.sampled_from(["message", "completed", "failed", "x" * 3000, None, 5]),
        ),
        st.lists(st.sampled_from(["stop", "length", None, 7]), max_size=3),
    )
    def test_both_make_the_same_record(
        self, usage: object, top: dict[str, object], stops: list[object]
    ) -> None:
        """Whatever a provider sends."""
        choices = [{"finish_reason": stop} for stop in stops]
        body = msgspec.json.encode({**top, "usage": usage, "choices": choices})
        found = read_brief(body)
        if found is not None:
            self.assertEqual(found, told(read_at_once(body)))


class KeptTests(SynchronousTestCase):
    def setUp(self) -> None:
        """An answer."""
        self.records: list[Record] = []
        self.kept = Kept(DEMAND, JSON, self.records.append)

    def test_a_short_answer_is_read_when_it_is_wanted(self) -> None:
        """However it was cut."""
        for at in range(len(CHAT)):
            kept = Kept(DEMAND, JSON, self.records.append)
            kept.feed(CHAT[:at])
            kept.feed(CHAT[at:])
            self.assertTrue(kept.whole)
            self.assertEqual(kept.read(), told(read_at_once(CHAT)))
        self.assertEqual(self.records, [])
        self.assertIn("bytes", repr(self.kept))

    def test_whatever_it_is(self) -> None:
        """What is no usual document is read by the reader of everything."""
        for body in (*UNUSUAL, b"", b'data: {"usage":{"prompt_tokens":1}}\n\n'):
            kept = Kept(DEMAND, JSON, self.records.append)
            kept.feed(body)
            self.assertEqual(kept.read(), read_at_once(body))
        self.assertEqual(self.records, [])

    def test_it_may_be_compressed(self) -> None:
        """Its header lines say so."""
        fields = [*JSON, (b"Content-Encoding", b"gzip")]
        kept = Kept(DEMAND, fields, self.records.append)
        kept.feed(gzip.compress(CHAT))
        self.assertEqual(told(kept.read()), told(read_at_once(CHAT)))

    def test_a_long_answer_is_not_kept(self) -> None:
        """Its record is told at the end, like any other's."""
        body = CHAT[:-1] + b',"padding":"%b"}' % (b"x" * MOST_KEPT)
        for at in range(0, len(body), 1000):
            self.kept.feed(body[at : at + 1000])
        self.assertFalse(self.kept.whole)
        self.kept.end()
        self.assertEqual(self.records, [read_at_once(body)])

    def test_an_answer_that_is_cut(self) -> None:
        """Its record tells why."""
        self.kept.feed(CHAT[:50])
        running = self.kept.running
        assert running is not None
        self.assertEqual(running.state, "open")
        self.kept.end("agent_gone")
        self.assertEqual([one.gap for one in self.records], ["agent_gone"])

    def test_documents_are_known_by_their_type(self) -> None:
        """A stream is none."""
        self.assertTrue(is_document(JSON))
        self.assertFalse(is_document([(b"content-type", b"text/event-stream")]))
        self.assertFalse(is_document([]))
