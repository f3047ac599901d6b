"""Local answers."""

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.answer import LocalAnswer, after, json_answer


class JsonAnswerTests(SynchronousTestCase):
    """JSON for terminals and programs."""

    def test_json(self) -> None:
        """One line, typed."""
        self.assertEqual(
            json_answer(503, {"status": "not_configured"}),
            LocalAnswer(503, b"application/json", b'{"status":"not_configured"}\n'),
        )


class AfterTests(SynchronousTestCase):
    """Values that are there, and values that will be."""

    def test_now_or_later(self) -> None:
        """What is there is not waited for."""
        self.assertEqual(after(3, str), "3")
        later = after(succeed(3), str)
        assert isinstance(later, Deferred)
        self.assertEqual(self.successResultOf(later), "3")
