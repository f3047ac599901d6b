"""Tests of bench.metering, and of what is sent for it."""

import json

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand, Record
from apiproxy.providers.calls import read_call
from apiproxy.providers.usage.answer import open_answer
from apiproxy.providers.usage.asked import asks_nothing
from apiproxy.providers.usage.briefs import read_brief
from apiproxy.providers.usage.socket import SocketCopy
from bench import metering, speech
from bench.plan import ALL_ROWS, FULL, QUICK
from bench.processes import Unavailable
from bench.rows import by_key


class MeteringTests(SynchronousTestCase):
    def test_it_is_part_of_every_run(self) -> None:
        """Whoever changes the data path should see what metering costs."""
        self.assertIn("metering", ALL_ROWS & FULL.parts & QUICK.parts)
        for row in ("metered_event", "metered_request", "metered_trip"):
            self.assertEqual(by_key(row).unit, "%")
        self.assertEqual(by_key("metered_event").target, "≤ 110")

    def test_ratio(self) -> None:
        """In percent; without a measurement there is none."""
        self.assertEqual(metering.ratio(3.0, 2.0), 150.0)
        self.assertRaises(Unavailable, metering.ratio, 1.0, 0.0)


class TrafficTests(SynchronousTestCase):
    """What is sent is metered, as the real thing would be."""

    def test_requests_ask_a_model(self) -> None:
        """By their path, and so do WebSockets."""
        call = read_call(b"POST", speech.PATH.encode())
        self.assertTrue(call is not None and call.inference)
        upgrade = speech.upgrade_request(False, {}).split(b" ")[1]
        self.assertIsNotNone(read_call(b"POST", upgrade))

    def test_events_are_read(self) -> None:
        """They are chunks of a chat completion: those that say something count."""
        head = speech.STREAM_HEAD.split(b"\r\n")[1:-2]
        fields = [
            (name, value) for name, _, value in (x.partition(b": ") for x in head)
        ]
        records: list[Record] = []
        reader = open_answer(Demand(True), 200, fields, records.append)
        assert reader is not None
        for due in range(4):
            reader.feed((speech.EVENT_CHUNK % due).split(b"\r\n")[1])
        reader.end("agent_gone")
        self.assertEqual(records[0].model, "paced")
        self.assertGreater(records[0].said, 0)

    def test_answers_tell_what_they_used(self) -> None:
        """In the most usual form."""
        found = read_brief(speech.answer_body())
        assert found is not None
        assert found.usage is not None
        self.assertEqual(found.usage.output, 99)

    def test_messages_are_sound_that_nobody_has_to_read(self) -> None:
        """There and back, as most messages of a long conversation."""
        message = speech.message(100, deflate=False)
        self.assertEqual(json.loads(message)["type"], "input_audio_buffer.append")
        frame = speech.frame(0x81, message, masked=True)
        self.assertTrue(asks_nothing(frame, len(frame) - len(message)))
        signs = SocketCopy(lambda record: None).signs
        self.assertFalse([sign for sign in signs if sign in message])
