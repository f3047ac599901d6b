"""Frames, made and read."""

from twisted.trial.unittest import SynchronousTestCase

from tests.kit.frames import (
    BINARY,
    CLOSE,
    TEXT,
    Frame,
    close_payload,
    frame,
    masked,
    read_frame,
)


class Bytes:
    """A source that never has to wait."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self, count: int) -> bytes:
        taken, self.data = self.data[:count], self.data[count:]
        return taken


class FrameTests(SynchronousTestCase):
    def read(self, data: bytes) -> Frame:
        story = read_frame(Bytes(data))
        try:
            story.send(None)
        except StopIteration as stop:
            result = stop.value
            assert isinstance(result, Frame)
            return result
        raise AssertionError("it waited")

    def test_the_examples_of_rfc_6455(self) -> None:
        self.assertEqual(frame(TEXT, b"Hello"), bytes.fromhex("810548656c6c6f"))
        self.assertEqual(
            frame(TEXT, b"Hello", mask=bytes.fromhex("37fa213d")),
            bytes.fromhex("818537fa213d7f9f4d5158"),
        )
        self.assertEqual(frame(TEXT, b"Hel", fin=False), bytes.fromhex("010348656c"))

    def test_what_is_made_is_read(self) -> None:
        for size in (0, 1, 125, 126, 65535, 65536):
            for mask in (None, b"\1\2\3\4"):
                payload = bytes(range(256)) * (size // 256 + 1)
                made = frame(BINARY, payload[:size], fin=False, rsv=4, mask=mask)
                self.assertEqual(
                    self.read(made),
                    Frame(BINARY, payload[:size], False, 4, mask is not None),
                )

    def test_a_frame_can_lie_about_its_length(self) -> None:
        self.assertEqual(frame(TEXT, b"", length=2**40)[1:3], b"\x7f\0")

    def test_a_close_says_why(self) -> None:
        self.assertEqual(
            frame(CLOSE, close_payload(1000, "ü")), b"\x88\4\x03\xe8\xc3\xbc"
        )

    def test_masking_twice_is_nothing(self) -> None:
        self.assertEqual(masked(masked(b"abcde", b"1234"), b"1234"), b"abcde")
