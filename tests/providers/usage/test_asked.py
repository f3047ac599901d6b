"""Tests of ``apiproxy.providers.usage.asked``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.frames import text_frame
from apiproxy.providers.demand import Unreadable, read_raws
from apiproxy.providers.usage.asked import (
    asks_live,
    asks_nothing,
    response_demand,
    session_model,
    setup_demand,
    word,
)


class AskedTests(SynchronousTestCase):
    def test_a_response_is_asked_with_what_came_before(self) -> None:
        """The prompt may have come in messages of its own; the model with the socket."""
        payload = b'{"type":"response.create","max_output_tokens":9}'
        demand = response_demand(payload, read_raws(payload), "m", 400)
        self.assertEqual((demand.model, demand.max_output), ("m", 9))
        self.assertEqual(demand.input_bytes, 400 + len(payload))

    def test_live_asks_with_a_turn_that_is_complete(self) -> None:
        """Or with what a tool has said."""
        for message, asks in (
            (b'{"clientContent":{"turnComplete":true}}', True),
            (b'{"clientContent":{"turnComplete":false}}', False),
            (b'{"clientContent":{}}', False),
            (b'{"toolResponse":{}}', True),
            (b'{"realtimeInput":{}}', False),
        ):
            self.assertEqual(asks_live(read_raws(message)), asks)

    def test_live_is_set_up_once(self) -> None:
        """With a model and limits; a setup that is none cannot be read."""
        demand = setup_demand(read_raws(b'{"setup":{"generationConfig":{}}}'), "m")
        self.assertEqual((demand.model, demand.inference), ("m", False))
        self.assertRaises(Unreadable, setup_demand, read_raws(b'{"setup":5}'), "m")

    def test_texts_are_read_without_their_escapes(self) -> None:
        """What is no text is unreadable."""
        raws = read_raws(b'{"type":"a\\u0062","stream_id":[]}')
        self.assertEqual((word(raws, "type"), word(raws, "model")), ("ab", None))
        self.assertRaises(Unreadable, word, raws, "stream_id")
        self.assertEqual(session_model(b'{"session":{"model":"m"}}'), "m")
        self.assertEqual(session_model(b"[]"), "")


class SoundTests(SynchronousTestCase):
    """Messages of an agent that need not be read."""

    def asks_nothing(self, payload: bytes, mask: bytes = b"\x37\xfa\x21\x3d") -> bool:
        frame = text_frame(payload, mask)
        return asks_nothing(frame, len(frame) - len(payload))

    def test_sound(self) -> None:
        """In each of the usual spellings, of any size, with any mask."""
        for text in (
            b'{"type":"input_audio_buffer.append","audio":"%b"}',
            b'{"type": "input_audio_buffer.append", "audio": "%b"}',
            b'{"event_id":"event_1","type":"input_audio_buffer.append","audio":"%b"}',
        ):
            for size in (0, 1, 500, 70_000):
                for mask in (bytes(4), b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"):
                    self.assertTrue(self.asks_nothing(text % (b"A" * size), mask))

    def test_everything_else_is_read(self) -> None:
        """However short it is, and whatever is quoted in it."""
        for payload in (
            b"",
            b"{}",
            b'{"type":"response.create"}',
            b'{"type":"session.update","session":{}}',
            b'{"type":"conversation.item.create","item":{}}',
            b'{"type":"response.create","x":"\\"type\\":\\"input_audio_buffer.append\\""}',
            b'{"clientContent":{"turnComplete":true}}',
        ):
            self.assertFalse(self.asks_nothing(payload), payload)
