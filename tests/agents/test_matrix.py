"""The matrix, for a terminal and for the documentation."""

from twisted.trial.unittest import SynchronousTestCase

from tests.agents.matrix import Row, into, markdown, text

_WHO = ("codex", "1.2", "websocket")
_ROWS = [
    Row(*_WHO, "plain turn", "ok", 1.25),
    Row(*_WHO, "tool call", "ok", 2.0),
    Row(*_WHO, "cut", "by design", 0.0, "it a|b"),
    Row("sdk", "3", "http", "live", "ok", 1.0, "dials plainly"),
]


class MatrixTests(SynchronousTestCase):
    def test_text(self) -> None:
        """A line for each row, under a head, with seconds where there are any."""
        head, first, _, third, _ = text(_ROWS).splitlines()
        self.assertEqual(head.split()[:3], ["client", "version", "transport"])
        self.assertEqual(first.split(), [*_WHO, "plain", "turn", "ok", "1.2"])
        self.assertEqual(third.split(), [*_WHO, *["cut", "by", "design:", "it", "a/b"]])

    def test_markdown(self) -> None:
        """A line for each client and transport, with what has to be known of it."""
        lines = markdown(_ROWS).splitlines()[2:]
        told = "cut: **by design**: it a/b"
        codex = f"| codex | 1.2 | websocket | plain turn, tool call | {told} |"
        self.assertEqual(lines[0], codex)
        self.assertEqual(lines[1], "| sdk | 3 | http | live | live: dials plainly |")

    def test_document(self) -> None:
        """What stood between the marks is replaced, and nothing else."""
        once = into(
            "# A\n<!-- the matrix, by make agents -->\n<!-- its end -->\nZ\n", []
        )
        again = into(once, _ROWS)
        self.assertTrue(again.startswith("# A\n<!-- the matrix"))
        self.assertTrue(again.endswith("|\n<!-- its end -->\nZ\n"))
        self.assertEqual(into(again, []), once)
