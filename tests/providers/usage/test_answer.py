"""Tests of ``apiproxy.providers.usage.answer``."""

import gzip
import zlib
from base64 import b64encode
from itertools import pairwise

import brotli  # type: ignore[import-untyped]
import msgspec
from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import AnswerReader, Demand, Record, Usage
from apiproxy.providers.usage.answer import open_answer
from tests.kit.hypothesis_profile import STEADY
from tests.providers.usage.event_stream import message
from tests.providers.usage.recorded import (
    ASKED,
    RECORDED,
    Listener,
    Recorded,
    read_whole,
)

NAMED = {recorded.name: recorded for recorded in RECORDED}
EVENTS = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json")]
BEDROCK = [(b"content-type", b"application/vnd.amazon.eventstream")]


def unsaid(record: Record) -> Record:
    """A record without what was said: that may be an estimate."""
    return msgspec.structs.replace(record, said=0)


class RecordedTests(SynchronousTestCase):
    def test_every_dialect_is_read(self) -> None:
        """Each recorded answer gives one record, with each token counted once."""
        for recorded in RECORDED:
            for closely in (False, True):
                with self.subTest(recorded.name, closely=closely):
                    record = unsaid(read_whole(recorded, closely))
                    self.assertEqual(record, recorded.record)

    def test_an_answer_may_be_cut_anywhere(self) -> None:
        """In two pieces, at every byte, it gives the same record as in one."""
        for recorded in RECORDED:
            body, whole = recorded.body, read_whole(recorded, True)
            for at in range(len(body) + 1):
                listener = Listener()
                reader = listener.open(recorded.fields, closely=True)
                reader.feed(body[:at])
                reader.feed(body[at:])
                reader.end()
                self.assertEqual(listener.records, [whole], (recorded.name, at))

    def test_an_answer_may_come_byte_by_byte(self) -> None:
        """Markers are found however an event comes."""
        for recorded in RECORDED:
            listener = Listener()
            reader = listener.open(recorded.fields)
            for byte in recorded.body:
                reader.feed(bytes((byte,)))
            reader.end()
            self.assertEqual(
                unsaid(listener.only()), unsaid(recorded.record), recorded.name
            )

    def test_an_answer_that_breaks_off_is_recorded_once(self) -> None:
        """Wherever the agent leaves, there is one record, and never less than was known."""
        for recorded in RECORDED:
            body = recorded.body
            for at in range(len(body) + 1):
                listener = Listener()
                reader = listener.open(recorded.fields)
                reader.feed(body[:at])
                reader.end("agent_gone")
                record = listener.only()
                assert record.usage is not None
                self.assertIn(record.gap, ("", "agent_gone", recorded.record.gap))
                self.assertEqual(
                    record.estimated, bool(record.gap), (recorded.name, at)
                )
                self.assertGreater(record.usage.all_input, 0)

    def test_every_encoding_is_undone(self) -> None:
        """gzip, deflate and br answers are metered like plain ones."""
        encoders = {
            b"gzip": gzip.compress,
            b"deflate": zlib.compress,
            b"br": brotli.compress,
        }
        for recorded in RECORDED:
            for encoding, encode in encoders.items():
                listener = Listener()
                reader = listener.open(
                    [*recorded.fields, (b"Content-Encoding", encoding)]
                )
                data = encode(recorded.body)
                reader.feed(data[:20])
                reader.feed(data[20:])
                reader.end()
                self.assertEqual(
                    unsaid(listener.only()), recorded.record, recorded.name
                )

    def test_encoded_events_are_read_as_they_come(self) -> None:
        """Each is flushed by its provider; what comes after the last does no harm."""
        recorded = NAMED["responses.sse"]
        listener = Listener()
        reader = listener.open([*recorded.fields, (b"Content-Encoding", b"gzip")])
        encoder = zlib.compressobj(wbits=31)
        for event in recorded.body.split(b"\n\n")[:-1]:
            reader.feed(encoder.compress(event + b"\n\n"))
            reader.feed(encoder.flush(zlib.Z_SYNC_FLUSH))
        reader.feed(encoder.compress(b"more\n\n") + encoder.flush())
        reader.end()
        self.assertEqual(unsaid(listener.only()), recorded.record)

    @given(cuts=st.lists(st.integers(0, 2000), max_size=6), closely=st.booleans())
    @STEADY
    def test_streams_may_be_cut_often(self, cuts: list[int], closely: bool) -> None:
        """Pieces of any size give the same record."""
        recorded = NAMED["messages.sse"]
        listener = Listener()
        reader = listener.open(recorded.fields, closely=closely)
        places = [0, *sorted(cuts), len(recorded.body)]
        for start, end in pairwise(places):
            reader.feed(recorded.body[start:end])
        reader.end()
        self.assertEqual(unsaid(listener.only()), recorded.record)


def events(*told: object, done: bool = False) -> bytes:
    """A stream of these, as the providers write them."""
    texts = [msgspec.json.encode(each) for each in told]
    texts += [b"[DONE]"] if done else []
    return b"".join(b"data: %b\n\n" % text for text in texts)


def chat(*words: object) -> bytes:
    """A chat that says so, with 5000 tokens of output, most of them thought."""
    said = [
        {"choices": [{"delta": {"content": word}, "finish_reason": None}]}
        for word in words
    ]
    usage = {"prompt_tokens": 11, "completion_tokens": 5000, "total_tokens": 5011}
    return events(*said, {"choices": [], "usage": usage}, done=True)


def responses(*words: object) -> bytes:
    """The same as Responses."""
    said = [{"type": "response.output_text.delta", "delta": word} for word in words]
    output = [{"type": "message", "content": [{"text": "".join(map(str, words))}]}]
    usage = {"input_tokens": 11, "output_tokens": 5000}
    whole = {"status": "completed", "output": output, "usage": usage}
    return events(*said, {"type": "response.completed", "response": whole})


def messages(*words: object) -> bytes:
    """The same as Messages."""
    begin = {"type": "message_start", "message": {"usage": {"input_tokens": 11}}}
    said = [{"type": "content_block_delta", "delta": {"text": word}} for word in words]
    usage = {"output_tokens": 5000}
    return events(begin, *said, {"type": "message_delta", "usage": usage})


def gemini(*words: object) -> bytes:
    """The same as Gemini, where a word may also be the arguments of a call."""
    parts = [
        {"text": word} if isinstance(word, str) else {"functionCall": {"args": word}}
        for word in words
    ]
    told = [
        {
            "candidates": [{"content": {"parts": [part]}}],
            "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 1},
        }
        for part in parts
    ]
    last = {"candidatesTokenCount": 5000, "promptTokenCount": 11}
    end = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": last}
    return events(*told, end)


class WordsTests(SynchronousTestCase):
    def test_no_word_of_a_model_hides_its_figures(self) -> None:
        """An agent can have it say whatever it likes: also what stands in other dialects."""
        words = ("usageMetadata", "candidates", "response.", "content_block", "usage")
        for stream in (chat, responses, messages, gemini):
            for word in words:
                for said in (("a", word), (word, word), ("a", "b", word)):
                    listener = Listener()
                    reader = listener.open(EVENTS)
                    reader.feed(stream(*said))
                    reader.end()
                    record = listener.only()
                    usage = record.usage
                    assert usage is not None
                    with self.subTest(stream.__name__, said=said):
                        self.assertEqual((usage.input, usage.output), (11, 5000))
                        self.assertFalse(record.estimated)

    def test_no_argument_of_a_call_does_either(self) -> None:
        """Google puts them into its events as they are."""
        listener = Listener()
        reader = listener.open(EVENTS)
        reader.feed(gemini("a", {"type": "response.x"}, {"usage": {}}))
        reader.end()
        usage = listener.only().usage
        assert usage is not None
        self.assertEqual((usage.input, usage.output), (11, 5000))


class ChoiceTests(SynchronousTestCase):
    def test_what_is_no_response_is_not_read(self) -> None:
        """Errors and lists of models have nothing to be metered."""
        records: list[Record] = []
        self.assertIsNone(open_answer(ASKED, 429, JSON, records.append))
        self.assertIsNone(open_answer(ASKED, 302, JSON, records.append))
        self.assertIsNone(open_answer(Demand(), 200, JSON, records.append))

    def test_a_reader_has_the_shape_that_others_know(self) -> None:
        """It is an ``AnswerReader``."""
        reader: AnswerReader = Listener().open(JSON)
        self.assertIn("AnswerCopy", repr(reader))

    def test_the_form_is_seen_in_the_bytes(self) -> None:
        """Content types that are wrong, or missing, do no harm."""
        for name, kind in (
            ("chat_usage.sse", b"text/plain"),
            ("messages.sse", b"application/json"),
            ("chat.json", b"text/event-stream"),
            ("gemini_array.json", b""),
        ):
            listener = Listener()
            reader = listener.open([(b"content-type", kind)])
            reader.feed(b"\r\n" + NAMED[name].body)
            reader.end()
            self.assertEqual(unsaid(listener.only()), NAMED[name].record)

    def test_several_objects_in_a_row_are_events(self) -> None:
        """JSON lines are read like a stream."""
        listener = Listener()
        reader = listener.open([(b"content-type", b"application/x-ndjson")])
        reader.feed(
            b'{"model":"m","id":"1"}\n{"usage":{"prompt_tokens":3,"total_tokens":3}}\n'
        )
        reader.end()
        self.assertEqual(listener.only().usage, Usage(input=3, inclusive=True))

    def test_speech_is_no_json(self) -> None:
        """The input of a request for speech is estimated; what it made cannot be."""
        listener = Listener()
        reader = listener.open([(b"content-type", b"audio/mpeg")])
        reader.feed(b"ID3" + bytes(1000))
        reader.end()
        record = listener.only()
        self.assertEqual((record.gap, record.usage), ("not_json", Usage(input=100)))

    def test_a_transcript_in_plain_text_is_estimated(self) -> None:
        """Four bytes are about a token."""
        listener = Listener()
        reader = listener.open([(b"content-type", b"text/plain")])
        reader.feed(b"Good day to you.")
        reader.end()
        record = listener.only()
        self.assertEqual((record.gap, record.said), ("not_json", 16))
        self.assertEqual(record.usage, Usage(input=100, output=4))

    def test_an_empty_answer_is_recorded(self) -> None:
        """With a gap, since its provider may have worked for it."""
        for gap in ("", "upstream_reset"):
            listener = Listener()
            reader = listener.open([])
            reader.feed(b" ")
            reader.end(gap)
            reader.end("again")
            self.assertEqual(listener.only().gap, gap or "not_json")

    def test_blanks_without_end_are_not_kept(self) -> None:
        """Nobody knows what they are."""
        listener = Listener()
        reader = listener.open(JSON)
        for _ in range(100):
            reader.feed(b" " * 100)
        reader.end()
        self.assertEqual(listener.only().gap, "not_json")

    def test_blanks_before_a_document(self) -> None:
        """Some providers send them while they work, to keep the connection alive."""
        recorded = NAMED["chat.json"]
        for blanks in (1017, 1018, 1023, 1024, 5000):
            listener = Listener()
            reader = listener.open(recorded.fields)
            for byte in b"\n" * blanks + recorded.body:
                reader.feed(bytes((byte,)))
            reader.end()
            self.assertEqual(unsaid(listener.only()), recorded.record, blanks)


class GapTests(SynchronousTestCase):
    def test_an_encoding_that_we_do_not_know_is_a_gap(self) -> None:
        """The output is estimated from the bytes."""
        listener = Listener()
        reader = listener.open([*JSON, (b"content-encoding", b"compress")])
        reader.feed(bytes(6400))
        assert reader.running is not None
        self.assertEqual(reader.running.said, 400)
        reader.end()
        record = listener.only()
        self.assertEqual(record.gap, "content_encoding")
        self.assertEqual(record.usage, Usage(input=100, output=100))

    def test_an_encoding_that_breaks_off_is_a_gap(self) -> None:
        """What was said before is known."""
        listener = Listener()
        reader = listener.open([*EVENTS, (b"content-encoding", b"gzip")])
        reader.feed(gzip.compress(NAMED["chat_usage.sse"].body)[:150])
        reader.end()
        self.assertEqual(listener.only().gap, "encoding_cut")

    def test_the_beginning_of_a_message_counts(self) -> None:
        """An agent that leaves early has used the input that ``message_start`` told."""
        body = NAMED["messages.sse"].body
        listener = Listener()
        reader = listener.open(EVENTS)
        reader.feed(body[: body.index(b"event: message_delta")])
        reader.end("agent_gone")
        record = listener.only()
        self.assertEqual(record.usage, Usage(input=10, cached=7, written=2, output=4))
        self.assertEqual((record.state, record.gap), ("cut", "agent_gone"))

    def test_an_agent_may_leave_after_the_last_event(self) -> None:
        """Codex closes before the end of the body, and has been metered in full."""
        listener = Listener()
        reader = listener.open(EVENTS)
        reader.feed(NAMED["responses.sse"].body)
        self.assertIsNone(reader.running)
        reader.feed(b"more")
        reader.end("agent_gone")
        self.assertEqual(listener.only().gap, "")

    def test_json_that_breaks_off_is_estimated(self) -> None:
        """From the bytes that came."""
        listener = Listener()
        reader = listener.open(JSON)
        reader.feed(NAMED["chat.json"].body[:200])
        reader.end("upstream_reset")
        record = listener.only()
        self.assertEqual(
            (record.gap, record.usage), ("upstream_reset", Usage(input=100, output=50))
        )

    def test_broken_json_is_a_gap(self) -> None:
        """It could be anything."""
        listener = Listener()
        reader = listener.open(JSON)
        reader.feed(b'{"usage": {"prompt_tokens": 3,}}')
        reader.end()
        self.assertEqual(listener.only().gap, "no_usage")


class RunningTests(SynchronousTestCase):
    def test_what_was_said_is_exact_when_read_closely(self) -> None:
        """So that a budget can end the stream in time."""
        for name, said in (
            ("chat_usage.sse", 4 + 8 + 11),
            ("responses.sse", 9),
            ("messages.sse", 16),
            ("gemini.sse", 16),
        ):
            self.assertEqual(read_whole(NAMED[name], True).said, said, name)

    def test_what_was_said_is_estimated_otherwise(self) -> None:
        """Within a third for a stream of like events."""
        delta = b'data: {"type":"content_block_delta","delta":{"text":"%b"}}\n\n'
        listener = Listener()
        reader = listener.open(EVENTS)
        for size in range(200):
            reader.feed(delta % (b"x" * (3 + size % 5)))
        assert reader.running is not None
        self.assertTrue(667 <= reader.running.said <= 1333)
        self.assertIn("open", repr(reader))

    def test_the_block_under_way_is_known(self) -> None:
        """Also in a stream that is passed over; what cuts it has to end that block."""
        kinds = ["start", *["delta"] * 4, "stop"]
        told = [
            {"type": f"content_block_{kind}", "index": index, "delta": {"text": "x"}}
            for index in range(3)
            for kind in kinds
        ]
        for closely in (False, True):
            reader = Listener().open(EVENTS, closely=closely)
            for event in told:
                reader.feed(events(event))
                running = reader.running
                assert running is not None
                over = event["type"] == "content_block_stop"
                self.assertEqual(running.block, None if over else event["index"])

    def test_an_ending_may_follow_an_event(self) -> None:
        """And nothing else: not half an event, no document, nothing that is encoded."""
        body = NAMED["messages.sse"].body
        reader = Listener().open(EVENTS)
        self.assertFalse(reader.can_end)
        reader.feed(body[:100])
        self.assertFalse(reader.can_end)
        reader.feed(body[100 : body.index(b"event: message_delta")])
        self.assertTrue(reader.can_end)
        for name in ("chat.json", "gemini_array.json"):
            reader = Listener().open(JSON)
            reader.feed(NAMED[name].body)
            self.assertFalse(reader.can_end)
        reader = Listener().open([*EVENTS, (b"content-encoding", b"gzip")])
        reader.feed(gzip.compress(body[: body.index(b"event: message_delta")]))
        self.assertFalse(reader.can_end)

    def test_no_ending_may_follow_the_last_event(self) -> None:
        """What comes behind it is not looked at, and might be half an event."""
        reader = Listener().open(EVENTS)
        reader.feed(NAMED["responses.sse"].body)
        reader.feed(b"event: more")
        self.assertFalse(reader.can_end)


class BedrockTests(SynchronousTestCase):
    def read(self, *messages: bytes, closely: bool = False) -> Record:
        """What a stream of messages gives, in pieces of 50 bytes."""
        listener = Listener()
        reader = listener.open(BEDROCK, closely=closely)
        body = b"".join(messages)
        for at in range(0, len(body), 50):
            reader.feed(body[at : at + 50])
        reader.end()
        return listener.only()

    def test_converse_tells_at_its_end(self) -> None:
        """In the event ``metadata``."""
        delta = message(
            "contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"Good"}}'
        )
        for closely in (False, True):
            record = self.read(
                message("messageStart", b'{"role":"assistant"}'),
                *[delta] * 5,
                message("messageStop", b'{"stopReason":"end_turn"}'),
                message(
                    "metadata",
                    b'{"metrics":{"latencyMs":9},"usage":{"inputTokens":30,"outputTokens":8,'
                    b'"totalTokens":38,"cacheReadInputTokens":10,"cacheWriteInputTokens":5}}',
                ),
                closely=closely,
            )
            self.assertEqual(
                record.usage, Usage(input=30, cached=10, written=5, output=8)
            )
            self.assertEqual((record.stop, record.state), ("end_turn", "completed"))
            self.assertTrue(18 <= record.said <= 22)

    def test_a_model_s_own_events_are_unpacked(self) -> None:
        """InvokeModel's stream has them in base64, and figures in the last one."""
        events = [
            event.partition(b"data: ")[2]
            for event in NAMED["messages.sse"].body.split(b"\n\n")[:-1]
        ]
        metrics = (
            b'{"type":"message_stop","amazon-bedrock-invocationMetrics":'
            b'{"inputTokenCount":99,"outputTokenCount":20,"invocationLatency":700}}'
        )
        chunks = [
            message("chunk", b'{"bytes":"' + b64encode(event) + b'","p":"abc"}')
            for event in [*events[:-1], metrics]
        ]
        self.assertEqual(unsaid(self.read(*chunks)), NAMED["messages.sse"].record)

    def test_a_model_that_tells_nothing_is_told_of(self) -> None:
        """By Bedrock itself: in its metrics, or in the header lines."""
        metrics = (
            b'{"generation":"","amazon-bedrock-invocationMetrics":'
            b'{"inputTokenCount":9,"outputTokenCount":4,"cacheReadInputTokenCount":2}}'
        )
        record = self.read(message("chunk", b'{"bytes":"' + b64encode(metrics) + b'"}'))
        self.assertEqual(record.usage, Usage(input=9, cached=2, output=4))
        lines = [
            (b"X-Amzn-Bedrock-Input-Token-Count", b"9"),
            (b"X-Amzn-Bedrock-Output-Token-Count", b"4"),
        ]
        listener = Listener()
        reader = listener.open([*JSON, *lines])
        reader.feed(b'{"generation":"Good day."}')
        reader.end()
        self.assertEqual(listener.only().usage, Usage(input=9, output=4))
        self.assertFalse(listener.only().estimated)

    def test_an_exception_ends_the_response(self) -> None:
        """As failed; what was made before is estimated."""
        record = self.read(
            message("contentBlockDelta", b'{"delta":{"text":"Good day"}}'),
            message("throttlingException", b'{"message":"slow"}', "exception"),
        )
        self.assertEqual((record.state, record.stop), ("failed", "throttlingException"))
        self.assertEqual(record.usage, Usage(input=100, output=2))

    def test_what_is_broken_is_a_gap(self) -> None:
        """A CRC that does not fit; base64 that is none."""
        good = message("contentBlockDelta", b'{"delta":{"text":"Good day"}}')
        self.assertEqual(self.read(good[:-1] + b"x").gap, "eventstream_crc")
        self.assertEqual(self.read(good[:-1]).gap, "eventstream_cut")
        bad = message("chunk", b'{"bytes":"====x"}')
        self.assertEqual(
            self.read(bad, message("chunk", b'{"bytes":"\xc3\xa9"}')).gap, "no_usage"
        )

    def test_an_ending_may_follow_a_message(self) -> None:
        """And not half of one."""
        good = message("contentBlockDelta", b'{"delta":{"text":"Good day"}}')
        reader = Listener().open(BEDROCK)
        reader.feed(good)
        self.assertTrue(reader.can_end)
        reader.feed(good[:7])
        self.assertFalse(reader.can_end)


class LargeTests(SynchronousTestCase):
    def test_a_long_document_is_metered_by_its_edges(self) -> None:
        """Ten million bytes of vectors, with the figures at the end."""
        listener = Listener()
        reader = listener.open(JSON)
        reader.feed(b'{"object":"list","model":"e-1","id":"x","data":[{"embedding":[')
        for _ in range(160):
            reader.feed(b"0.0123456," * 6554)
        reader.feed(b'1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}')
        reader.end()
        record = listener.only()
        self.assertEqual(record.usage, Usage(input=8, inclusive=True))
        self.assertEqual((record.model, record.id, record.gap), ("e-1", "x", ""))

    def test_a_long_document_without_figures_is_a_gap(self) -> None:
        """``usage`` in a tool's arguments is none."""
        for tail in (b'","usage":{"a":{"b":1}},"usage":{"x', b""):
            listener = Listener()
            reader = listener.open(JSON)
            reader.feed(b'{"text":"')
            for _ in range(140):
                reader.feed(b"x" * 65536)
            reader.feed(tail)
            reader.end()
            self.assertEqual(listener.only().gap, "too_large")

    def test_a_long_document_of_google_is_metered_by_its_edges(self) -> None:
        """``usageMetadata`` stands at the end, too."""
        listener = Listener()
        reader = listener.open(JSON)
        reader.feed(b'{"candidates":[{"content":{"parts":[{"inlineData":{"data":"')
        for _ in range(140):
            reader.feed(b"x" * 65536)
        reader.feed(
            b'"}}]}}],"usageMetadata" : {"promptTokenCount": 3, "candidatesTokenCount": 1290}}'
        )
        reader.end()
        self.assertEqual(
            listener.only().usage, Usage(input=3, output=1290, inclusive=True)
        )

    def test_an_event_that_is_too_long_is_a_gap(self) -> None:
        """If it was the one with the figures."""
        for kind, begin in ((EVENTS, b"data: "), (JSON, b"[")):
            listener = Listener()
            reader = listener.open(kind)
            reader.feed(begin + b'{"text":"')
            for _ in range(140):
                reader.feed(b"x" * 65536)
            reader.feed(b'"}\n\n')
            reader.end()
            self.assertEqual(listener.only().gap, "too_large")
        listener = Listener()
        reader = listener.open(BEDROCK)
        big = message("metadata", b" " * 9_000_000 + b"{}")
        reader.feed(big)
        reader.end()
        self.assertEqual(listener.only().gap, "too_large")


class ToldTests(SynchronousTestCase):
    def test_a_record_stays_as_it_was_told(self) -> None:
        """Whatever comes behind the error that ended it."""
        listener = Listener()
        reader = listener.open(EVENTS)
        said = b'[{"content":{"parts":[{"text":"hello"}]}}]'
        text = b'{"candidates":' + said + b',"usageMetadata":{%b}}'
        figures = b'"promptTokenCount":5,"candidatesTokenCount":2'
        for _ in range(4):
            reader.feed(b"data: %b\n\n" % (text % figures))
        late = text % (b'"trafficType":"PROVISIONED",' + figures)
        reader.feed(b'data: {"error":{"code":500}}\n\ndata: %b\n\n' % late)
        told = msgspec.json.encode(listener.only())
        reader.end()
        self.assertEqual(msgspec.json.encode(listener.only()), told)


class FailedTests(SynchronousTestCase):
    def read(self, name: str, body: bytes) -> Record:
        """What a body gives."""
        listener = Listener()
        reader = listener.open(EVENTS if name == "sse" else JSON)
        reader.feed(body)
        reader.end()
        return listener.only()

    def test_a_response_that_never_began_costs_nothing(self) -> None:
        """``overloaded_error`` in place of the first event."""
        record = self.read(
            "sse",
            b"event: error\n"
            b'data: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n',
        )
        self.assertEqual((record.state, record.stop), ("failed", "overloaded_error"))
        self.assertEqual((record.usage, record.gap), (Usage(), ""))

    def test_an_error_in_the_middle_is_estimated(self) -> None:
        """In the words of each dialect."""
        for body, stop in (
            (b'data: {"error":{"message":"x","code":"boom","type":"t"}}\n\n', "boom"),
            (b'data: {"error":"boom"}\n\n', ""),
            (b'data: {"error":{"code":503,"status":"UNAVAILABLE"}}\n\n', "UNAVAILABLE"),
            (
                b'event: error\ndata: {"type":"error","code":"boom","message":"x"}\n\n',
                "boom",
            ),
        ):
            said = b'data: {"choices":[{"delta":{"content":"Good day"}}]}\n\n'
            record = self.read("sse", said + body)
            self.assertEqual((record.state, record.stop), ("failed", stop))
            self.assertEqual(record.usage, Usage(input=100, output=2))

    def test_a_response_in_the_background_is_told_later(self) -> None:
        """Nobody knows yet what it will use."""
        record = self.read(
            "json", b'{"id":"resp_1","object":"response","status":"queued"}'
        )
        self.assertEqual((record.gap, record.estimated), ("background", True))

    def test_what_is_billed_by_time_has_no_tokens(self) -> None:
        """The record says that there is more to it."""
        record = self.read(
            "json", b'{"text":"x","usage":{"type":"duration","seconds":9}}'
        )
        self.assertEqual((record.usage, record.gap), (Usage(), "by_duration"))

    def test_a_prompt_that_is_blocked_has_its_reason(self) -> None:
        """Google answers with success and no candidates."""
        record = self.read(
            "json",
            b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":5}}',
        )
        self.assertEqual(
            (record.stop, record.usage), ("SAFETY", Usage(input=5, inclusive=True))
        )

    def test_recorded_answers_are_in_the_table(self) -> None:
        """None is forgotten."""
        names = {recorded.name for recorded in RECORDED}
        folder = Recorded("README.md", Record()).body
        self.assertTrue(folder)
        self.assertEqual(len(names), len(RECORDED))
