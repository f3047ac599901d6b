"""Tests of ``apiproxy.providers.usage.documents``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand, Usage
from apiproxy.providers.usage.bodies import MAX_DOCUMENT
from apiproxy.providers.usage.documents import EDGE, Document, Opaque
from apiproxy.providers.usage.reader import Reading


class DocumentTests(SynchronousTestCase):
    def test_figures_at_either_end_are_found(self) -> None:
        """In a document that is longer than what is held."""
        usage = b'"usage":{"prompt_tokens":3}'
        long = b'"x":"' + b"x" * MAX_DOCUMENT + b'"'
        for body in (
            b"{" + usage + b"," + long + b"}",
            b"{" + long + b"," + usage + b"}",
        ):
            reading = Reading(Demand())
            document = Document(reading)
            for at in range(0, len(body), EDGE):
                document.feed(body[at : at + EDGE])
            self.assertEqual(document.end(True), "")
            self.assertEqual(reading.record.usage, Usage(input=3, inclusive=True))

    def test_vectors_that_break_off_say_nothing(self) -> None:
        """They are no text of which tokens could be made."""
        for body, said in ((b'{"data":[{"embedding":[0.1,', 0), (b'{"text":"four', 13)):
            reading = Reading(Demand())
            document = Document(reading)
            document.feed(body)
            self.assertEqual(document.end(False), "json_cut")
            self.assertEqual(reading.speak().said, said)


class OpaqueTests(SynchronousTestCase):
    def test_only_text_is_heard(self) -> None:
        """Speech has bytes without number."""
        for text, said in ((True, 4), (False, 0)):
            reading = Reading(Demand())
            opaque = Opaque(reading, text)
            opaque.feed(b"four")
            self.assertEqual(
                (opaque.end(True), reading.speak().said), ("not_json", said)
            )
