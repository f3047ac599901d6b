"""Local answers."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.answer import LocalAnswer, json_answer


class JsonAnswerTests(SynchronousTestCase):
    """JSON for terminals and programs."""

    def test_json(self) -> None:
        """One line, typed."""
        self.assertEqual(
            json_answer(503, {"status": "not_configured"}),
            LocalAnswer(503, b"application/json", b'{"status":"not_configured"}\n'),
        )
