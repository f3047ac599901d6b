"""Compressed messages: the terms that were agreed, and what they inflate to."""

import zlib

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.deflate import DeflateTerms, MessageInflater
from apiproxy.core.inflate import PLENTY
from tests.kit.deflate import Deflater, deflated

KIB = 1024
LIMIT = 64 * KIB


class TermsTests(SynchronousTestCase):
    def test_terms_of_each_direction_are_read(self) -> None:
        """The agent is the client of the handshake, upstream is the server."""
        for value, agent, upstream in [
            (b"permessage-deflate", (True, 15), (True, 15)),
            (
                b"Permessage-Deflate ; client_no_context_takeover",
                (False, 15),
                (True, 15),
            ),
            (b"permessage-deflate;server_no_context_takeover", (True, 15), (False, 15)),
            (
                b"x-other; a=1, permessage-deflate; server_max_window_bits=10 ;"
                b' Client_Max_Window_Bits="9"',
                (True, 9),
                (True, 10),
            ),
            (
                b"permessage-deflate; client_max_window_bits; server_max_window_bits=99",
                (True, 15),
                (True, 15),
            ),
        ]:
            for from_agent, expected in [(True, agent), (False, upstream)]:
                terms = DeflateTerms.read(value, from_agent=from_agent)
                self.assertEqual(terms, DeflateTerms(*expected), value)

    def test_without_the_extension_there_are_none(self) -> None:
        """No header, or another extension: nothing is compressed in this way."""
        for value in [b"", b"x-webkit-deflate-frame", b"permessage-bzip2; a"]:
            self.assertIsNone(DeflateTerms.read(value, from_agent=True))


class InflaterTests(SynchronousTestCase):
    def read(self, inflater: MessageInflater, *pieces: bytes) -> tuple[bytes, str]:
        """One message in these pieces: what it says, and what went wrong."""
        inflater.begin()
        for piece in pieces:
            inflater.feed(piece)
        inflater.end()
        return bytes(inflater.body), inflater.gap

    def test_messages_refer_to_those_before(self) -> None:
        """With takeover, one context serves them all, in any window."""
        for bits in range(9, 16):
            deflater = Deflater(bits)
            inflater = MessageInflater(DeflateTerms(window_bits=bits), LIMIT)
            for i in range(5):
                text = b'{"type": "delta", "n": %d}' % i * 50
                data = deflater(text)
                self.assertEqual(self.read(inflater, data[:7], data[7:]), (text, ""))

    def test_window_of_8_bits_is_read_with_9(self) -> None:
        """Where 8 were agreed, zlib uses 9, and so do we."""
        text = bytes(range(256)) + b"x" * 200 + bytes(range(256))
        inflater = MessageInflater(DeflateTerms(window_bits=8), LIMIT)
        self.assertEqual(self.read(inflater, deflated(text, 9)), (text, ""))

    def test_messages_stand_alone_without_takeover(self) -> None:
        """Each is compressed for itself; a broken one spoils no other."""
        inflater = MessageInflater(DeflateTerms(takeover=False), LIMIT)
        for text in [b"one", b"", b"two" * 1000]:
            self.assertEqual(self.read(inflater, deflated(text)), (text, ""))
            self.assertEqual(self.read(inflater, b"\xff"), (b"", "deflate_broken"))
            inflater.begin()
            inflater.feed(deflated(text))
            inflater.abandon()

    def test_final_blocks_are_read(self) -> None:
        """Some senders end each message with a final block (section 7.2.3.4)."""
        inflater = MessageInflater(DeflateTerms(), LIMIT)
        for text in [b"one", b"two"]:
            deflate = zlib.compressobj(wbits=-15)
            data = deflate.compress(text) + deflate.flush() + b"\x00"
            self.assertEqual(self.read(inflater, data), (text, ""))

    def test_endless_final_blocks_end(self) -> None:
        """A message of nothing else keeps nobody busy."""
        inflater = MessageInflater(DeflateTerms(), LIMIT)
        told = self.read(inflater, b"\x03\x00" * 10_000)
        self.assertEqual(told, (b"", "deflate_broken"))

    def test_large_message_keeps_the_context(self) -> None:
        """It cannot be read, but those after it can."""
        deflater = Deflater()
        inflater = MessageInflater(DeflateTerms(), LIMIT)
        self.assertEqual(
            self.read(inflater, deflater(b"x" * 3 * LIMIT)), (b"", "message_too_large")
        )
        self.assertEqual(self.read(inflater, deflater(b"x" * 99)), (b"x" * 99, ""))
        whole = b"y" * LIMIT
        self.assertEqual(self.read(inflater, deflater(whole)), (whole, ""))

    def test_bomb_loses_the_context(self) -> None:
        """Nobody inflates gigabytes to throw them away."""
        for terms, gap, text in [
            (DeflateTerms(), "deflate_lost", b""),
            (DeflateTerms(takeover=False), "", b"next"),
        ]:
            inflater = MessageInflater(terms, LIMIT)
            bomb = deflated(bytes(20 * LIMIT))
            self.assertEqual(self.read(inflater, bomb), (b"", "message_too_large"))
            self.assertLessEqual(inflater._made, 5 * LIMIT)
            self.assertEqual(self.read(inflater, deflated(b"next")), (text, gap))

    def test_bomb_within_the_limit(self) -> None:
        """What comes out of next to nothing is thrown away, however long messages may be."""
        for terms, gap, text in [
            (DeflateTerms(), "deflate_lost", b""),
            (DeflateTerms(takeover=False), "", b"next"),
        ]:
            inflater = MessageInflater(terms, 16 * PLENTY)
            bomb = deflated(bytes(8 * PLENTY))
            self.assertEqual(self.read(inflater, bomb), (b"", "message_too_large"))
            self.assertLess(inflater._made, 2 * PLENTY)
            self.assertEqual(self.read(inflater, deflated(b"next")), (text, gap))
            plenty = deflated(bytes(PLENTY))
            inflater = MessageInflater(terms, 16 * PLENTY)
            self.assertEqual(self.read(inflater, plenty), (bytes(PLENTY), ""))

    def test_broken_bytes_lose_the_context(self) -> None:
        """After bytes that are no deflate, nothing that refers to them can be read."""
        inflater = MessageInflater(DeflateTerms(), LIMIT)
        self.assertEqual(self.read(inflater, b"\xff", b"x"), (b"", "deflate_broken"))
        self.assertEqual(self.read(inflater, deflated(b"a")), (b"", "deflate_lost"))
