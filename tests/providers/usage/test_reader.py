"""Tests of ``apiproxy.providers.usage.reader``."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand, Usage
from apiproxy.providers.usage.reader import Reading, usage_in
from apiproxy.providers.usage.shapes import Event, Tokens, read_event

COPILOT = {"input": 30, "cache_read": 60, "cache_write": 10, "output": 10}


def kinds(**figures: int) -> dict[str, object]:
    """``copilot_usage``."""
    return {
        "token_details": [
            {"token_type": kind, "token_count": figure}
            for kind, figure in figures.items()
        ]
    }


def read(*documents: object) -> Usage | None:
    """What some events tell together."""
    reading = Reading(Demand())
    for document in documents:
        data = msgspec.json.encode(document)
        event = read_event(data)
        if event is not None:
            reading.take(event, len(data))
    return reading.speak().usage


def told(*documents: object) -> tuple[int, int, int, int, int]:
    """The same: input as the provider counts it, output, read, written, reasoning."""
    usage = read(*documents)
    assert usage is not None
    return (
        usage.reported_input,
        usage.output,
        usage.cached,
        usage.written,
        usage.reasoning,
    )


class VectorTests(SynchronousTestCase):
    """What users of the older sidecar know, with its defects mended."""

    def test_chat_completions(self) -> None:
        """Prompt and completion, with details or without."""
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self.assertEqual(told({"usage": usage}), (10, 5, 0, 0, 0))
        usage = {"prompt_tokens": 100, "completion_tokens": 5}
        details = {
            "prompt_tokens_details": {"cached_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 3},
        }
        self.assertEqual(told({"usage": usage | details}), (100, 5, 40, 0, 3))
        self.assertEqual(
            told({"usage": {"prompt_tokens": 8, "total_tokens": 8}}), (8, 0, 0, 0, 0)
        )

    def test_messages(self) -> None:
        """The cache is told beside the input."""
        usage = {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 2,
        }
        self.assertEqual(told({"usage": usage}), (10, 5, 7, 2, 0))
        start = {
            "type": "message_start",
            "message": {"usage": usage | {"output_tokens": 1}},
        }
        delta = {
            "type": "message_delta",
            "usage": {"output_tokens": 20, "input_tokens": 99},
        }
        self.assertEqual(told(start, delta), (99, 20, 7, 2, 0))

    def test_responses(self) -> None:
        """In a document and in each event that ends one."""
        usage = {
            "input_tokens": 100,
            "output_tokens": 9,
            "input_tokens_details": {"cached_tokens": 30},
            "output_tokens_details": {"reasoning_tokens": 4},
        }
        for kind in ("completed", "incomplete", "failed", "done"):
            event = {"type": f"response.{kind}", "response": {"usage": usage}}
            self.assertEqual(told(event), (100, 9, 30, 0, 4))
        self.assertEqual(told({"response": {"usage": usage}}), (100, 9, 30, 0, 4))
        self.assertEqual(
            told({"usage": {"input_tokens": 5, "output_tokens": 6}}), (5, 6, 0, 0, 0)
        )

    def test_copilot(self) -> None:
        """What it bills goes before what the usage says."""
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 60},
        }
        both = {"usage": usage, "copilot_usage": kinds(**COPILOT)}
        self.assertEqual(told(both), (30, 10, 60, 10, 0))
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        both = {"usage": usage, "copilot_usage": kinds(cache_write=25)}
        self.assertEqual(told(both), (75, 10, 0, 25, 0))
        both = {
            "usage": usage,
            "copilot_usage": kinds(input=30, cache_read=70, output=10),
        }
        self.assertEqual(told(both), (30, 10, 70, 0, 0))
        usage = {
            "input_tokens": 100,
            "output_tokens": 9,
            "input_tokens_details": {"cached_tokens": 30},
        }
        response = {"usage": usage, "copilot_usage": kinds(input=70)}
        event = {"type": "response.completed", "response": response}
        self.assertEqual(told(event), (70, 9, 30, 0, 0))

    def test_gemini(self) -> None:
        """Thoughts are output, too; what is cached is input."""
        metadata = {
            "promptTokenCount": 11,
            "candidatesTokenCount": 3,
            "totalTokenCount": 20,
            "cachedContentTokenCount": 4,
            "thoughtsTokenCount": 6,
        }
        self.assertEqual(told({"usageMetadata": metadata}), (11, 9, 4, 0, 6))
        early = {"promptTokenCount": 11, "candidatesTokenCount": 1}
        late = {
            "promptTokenCount": 11,
            "candidatesTokenCount": 4,
            "thoughtsTokenCount": 2,
        }
        events = [{"usageMetadata": metadata} for metadata in (early, late, {})]
        self.assertEqual(told(*events), (11, 6, 0, 0, 2))

    def test_nothing_is_nothing(self) -> None:
        """Text is no figure."""
        nothing: tuple[object, ...] = (
            {"usage": {}},
            {"usage": {"input_tokens": "5"}},
            {"usage": None},
            {"usageMetadata": {}},
            [],
            5,
        )
        for document in nothing:
            self.assertIsNone(read(document))

    def test_breakdowns_in_arrays(self) -> None:
        """Entries, and entries in entries."""
        nested = {"details": [{"token_type": "cache_read", "token_count": 3}]}
        details = [{"token_type": "cache_read", "token_count": 12}, nested]
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            "prompt_tokens_details": details,
        }
        self.assertEqual(told({"usage": usage}), (100, 1, 15, 0, 0))


class UsageInTests(SynchronousTestCase):
    def test_everybody_s_counting_is_known_by_its_names(self) -> None:
        """OpenAI's, Anthropic's and Converse's."""
        self.assertEqual(
            usage_in(Tokens(prompt_tokens=3)), Usage(input=3, inclusive=True)
        )
        anthropic = Tokens(input_tokens=3, cache_read_input_tokens=4)
        self.assertEqual(usage_in(anthropic), Usage(input=3, cached=4))
        self.assertEqual(usage_in(Tokens(converse_output=3)), Usage(output=3))


class ReadingTests(SynchronousTestCase):
    def test_a_reading_says_where_it_is(self) -> None:
        """For logs and tests."""
        reading = Reading(Demand(), "s", 3)
        self.assertEqual(repr(reading), "<Reading unnamed open>")
        self.assertEqual((reading.record.stream_id, reading.record.turn), ("s", 3))

    def test_names_are_short(self) -> None:
        """A provider cannot fill the log with one."""
        reading = Reading(Demand())
        reading.take(Event(id="x" * 5000, model="y" * 5000, service_tier="z" * 5000), 1)
        record = reading.record
        self.assertEqual(
            (len(record.id), len(record.model), len(record.tier)), (1024,) * 3
        )

    def test_skipped_events_count_as_text_in_part(self) -> None:
        """A sixteenth, unless events before them tell more."""
        reading = Reading(Demand())
        reading.skipped = 1600
        self.assertEqual(reading.speak().said, 100)
        self.assertEqual(reading.close().usage, Usage(output=25))

    def test_an_event_is_at_least_a_token(self) -> None:
        """However short it is."""
        reading = Reading(Demand())
        for _ in range(9):
            reading.take(Event(type="content_block_delta", delta="x"), 100)
        reading.skipped = 500
        self.assertEqual(reading.close("agent_gone").usage, Usage(output=14))
