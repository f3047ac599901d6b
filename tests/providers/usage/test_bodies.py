"""Tests of ``apiproxy.providers.usage.bodies``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand
from apiproxy.providers.usage.bodies import Events, markers_like
from apiproxy.providers.usage.reader import Reading
from apiproxy.providers.usage.shapes import read_event

SAMPLES = {
    "chat": b'{"choices":[{"delta":{"content":"x"},"finish_reason":null}],"usage":null}',
    "spaced": b'{"choices": [{"delta": {"content": "x"}, "finish_reason": null}]}',
    "responses": b'{"type":"response.output_text.delta","delta":"x"}',
    "messages": b'{"type":"content_block_delta","delta":{"text":"x"}}',
    "gemini": b'{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}',
}
WANTED = {
    "chat": [b'{"finish_reason":"stop"}', b'{"usage":{}}', b'{"error":{}}'],
    "spaced": [b'{"finish_reason": "stop"}', b'{"usage":{}}', b'{"error": 1}'],
    "responses": [b'{"type":"response.completed","response":{}}', b'{"type":"error"}'],
    "messages": [b'{"type":"message_delta","usage":{}}', b'{"type":"error"}'],
    "gemini": [b'{"usageMetadata":{}}', b'{"finishReason":"STOP"}', b'{"error":{}}'],
}


def markers_of(sample: bytes) -> tuple[bytes, ...]:
    """The markers in a stream of such events."""
    event = read_event(sample)
    assert event is not None
    return markers_like(event, sample)


class MarkerTests(SynchronousTestCase):
    def test_what_only_says_something_has_no_marker(self) -> None:
        """And what has figures, an end or an error has one."""
        for name, sample in SAMPLES.items():
            markers = markers_of(sample)
            self.assertFalse(any(marker in sample for marker in markers), name)
            for wanted in WANTED[name]:
                self.assertTrue(any(marker in wanted for marker in markers), wanted)

    def test_text_cannot_be_a_marker(self) -> None:
        """Its quotes are escaped."""
        text = rb'{"delta":"{\"usage\":{},\"finish_reason\":\"x\",\"error\":{}}"}'
        for sample in SAMPLES.values():
            self.assertFalse(any(marker in text for marker in markers_of(sample)))


class EventsTests(SynchronousTestCase):
    def test_events_are_passed_over_once_two_have_spoken(self) -> None:
        """Unless every one is wanted."""
        event = b"data: " + SAMPLES["messages"] + b"\n\n"
        for closely, deltas in ((False, 2), (True, 10)):
            reading = Reading(Demand())
            events = Events(reading, lambda: None, closely)
            for _ in range(10):
                events.feed(event)
            self.assertEqual(reading.deltas, deltas)
            self.assertEqual(events.skipped, (10 - deltas) * len(event))

    def test_a_stream_that_says_nothing_is_read(self) -> None:
        """Also what is no JSON, which is passed over."""
        reading = Reading(Demand())
        events = Events(reading, lambda: None, False)
        for _ in range(30):
            events.feed(b"data: {}\n\ndata: x\n\n")
        events.feed(b'data: {"delta":{"text":"x"}}\n\n' * 3)
        self.assertEqual((reading.deltas, events.end(True)), (1, ""))
