"""Tests of bench.speech and bench.talk: bytes made, and bytes read."""

import json
import socket
import zlib

from twisted.trial.unittest import SynchronousTestCase

from bench import speech
from bench.talk import Talk, overdue, shares, take_events


class EventTests(SynchronousTestCase):
    def test_events_are_found_wherever_the_bytes_are_cut(self) -> None:
        """Each once, with its own lateness and the gap before it."""
        data = b"".join(speech.EVENT_CHUNK % due for due in (1000, 2000, 3000))
        for cut in range(len(data)):
            talk, late, gaps = Talk(socket.socket()), list[int](), list[int]()
            take_events(talk, data[:cut], 5000, late, gaps)
            take_events(talk, data[cut:], 5000, late, gaps)
            talk.sock.close()
            self.assertEqual((late, gaps), ([4000, 3000, 2000], [0, 0]))
            self.assertEqual(talk.due, 3000)

    def test_stream_that_stands_still_is_late(self) -> None:
        """Its events do not come, so nobody else would say how late they are."""
        late = overdue([1000, 91_000], 20_000, 100_000, 20_000)
        self.assertEqual(late, [79_000, 59_000, 39_000])
        self.assertEqual(overdue([60_000], 20_000, 100_000, 20_000), [20_000])
        self.assertEqual(overdue([], 20_000, 100_000, 20_000), [])

    def test_event_is_one_chunk_of_an_openai_stream(self) -> None:
        """Gateways parse it."""
        size, _, rest = (speech.EVENT_CHUNK % 7).partition(b"\r\n")
        event = rest[: int(size, 16)]
        self.assertEqual(rest[int(size, 16) :], b"\r\n")
        content = json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"]
        self.assertEqual(content["content"], "@0000000000000007")

    def test_shares_are_in_milliseconds(self) -> None:
        """And nothing is said of nothing."""
        expected = {"a_p50": 1.0, "a_p99": 3.0, "a_max": 3.0}
        self.assertEqual(shares("a", [3000, 1000, 1000]), expected)
        self.assertEqual(shares("a", []), {})


class RequestTests(SynchronousTestCase):
    def test_pace_travels_in_the_name_of_the_model(self) -> None:
        """Also where a gateway has written the body anew."""
        asked = speech.stream_request(20_000, {"X-A": "b"})
        self.assertIn(b"\r\nX-A: b\r\n", asked)
        self.assertEqual(speech.pace_asked(asked), 20_000)
        body = b'{"model": "openai/paced-5", "stream": true}'
        self.assertEqual(speech.pace_asked(body), 5)
        self.assertIsNone(speech.pace_asked(b'{"model":"paced-5","stream":false}'))

    def test_streams_can_be_held_until_told_to_go(self) -> None:
        """Also where a gateway has put its own name before the model's."""
        asked = speech.stream_request(20_000, {}, held=True)
        self.assertEqual(
            (speech.pace_asked(asked), speech.is_held(asked)), (20_000, True)
        )
        self.assertFalse(speech.is_held(speech.stream_request(20_000, {})))
        self.assertTrue(speech.is_go(speech.go_request({})))
        self.assertTrue(speech.is_go(b'{"model": "openai/go"}'))
        self.assertFalse(speech.is_go(asked))
        self.assertIsNone(speech.pace_asked(speech.go_request({})))

    def test_fields_replace_the_usual_ones(self) -> None:
        """A credential is sent once."""
        asked = speech.request("POST", b"{}", {"Authorization": "Bearer other"})
        self.assertEqual(asked.count(b"Authorization"), 1)
        self.assertIn(b"Bearer other", asked)

    def test_answer_has_the_size_asked_for(self) -> None:
        """And is a chat completion with usage."""
        self.assertEqual(len(speech.answer_body(800)), 800)
        self.assertIn("usage", json.loads(speech.answer_body()))


class FrameTests(SynchronousTestCase):
    def test_frames_are_read_back(self) -> None:
        """In all three sizes, masked or not; an incomplete one is not there yet."""
        for size in (0, 5, 125, 126, 65535, 65536):
            for masked in (True, False):
                payload = bytes(each % 251 for each in range(size))
                made = speech.frame(0x81, payload, masked=masked)
                self.assertIsNone(speech.take_frame(made[:-1]))
                taken = speech.take_frame(made + b"more")
                self.assertEqual(taken, (0x81, payload, len(made)))

    def test_masking_is_visible(self) -> None:
        """A proxy that forgot to pass the mask on would be found out."""
        self.assertNotIn(b"hello", speech.frame(0x81, b"hello", masked=True))

    def test_compressed_message_is_the_plain_one(self) -> None:
        """By itself, as without context takeover."""
        plain = speech.message(10_000, False)
        squeezed = speech.message(10_000, True)
        inflate = zlib.decompressobj(wbits=-15)
        self.assertEqual(inflate.decompress(squeezed + b"\0\0\xff\xff"), plain)
        self.assertEqual(
            (len(plain), json.loads(plain)["type"][:8]), (10_000, "input_au")
        )

    def test_upgrade_is_accepted_as_the_standard_says(self) -> None:
        """RFC 6455's own example; deflate only where it was offered."""
        head = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        answer = speech.upgrade_answer(head)
        self.assertIn(b"Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", answer)
        self.assertNotIn(b"permessage-deflate", answer)
        self.assertIn(
            b"permessage-deflate",
            speech.upgrade_answer(speech.upgrade_request(True, {})),
        )
