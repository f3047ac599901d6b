"""What is shown."""

import os
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.demo.screen import Screen, faint, good


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def show(screen: Screen) -> None:
    screen.title("A title")
    screen.said("agent", "one", "two")
    screen.begin("provider", "reads: ")
    screen.more("a ")
    screen.more(good("b ") + faint("c"))
    screen.line()


class ScreenTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """A file gets text and nothing else."""
        stream = StringIO()
        show(Screen(stream))
        self.assertEqual(
            stream.getvalue(),
            "\nA title\n  agent     one\n            two\n  provider  reads: a b c\n",
        )

    def test_colour(self) -> None:
        """A terminal gets colour, unless NO_COLOR is set."""
        self.patch(os, "environ", {})
        stream = Terminal()
        show(Screen(stream))
        self.assertIn("\x1b[33m  agent", stream.getvalue())
        os.environ["NO_COLOR"] = "1"
        stream = Terminal()
        show(Screen(stream))
        self.assertNotIn("\x1b", stream.getvalue())
