"""Tests of ``apiproxy.providers.usage.asked``: what need not be read."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.frames import text_frame
from apiproxy.providers.usage.asked import asks_nothing


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
