"""What is printed in rows and columns."""

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.table import show_table


@click.command()
def echo() -> None:
    """Print a table."""
    show_table(("A", "B"), [(1234567.25, None), (2.0, 12), ("\x1b[2J", "")])


class TableTests(SynchronousTestCase):
    def test_columns(self) -> None:
        """Each is as wide as its widest cell; amounts keep their digits."""
        shown = CliRunner().invoke(echo).output.splitlines()
        self.assertEqual(
            shown[:3], ["A           B", "1234567.25  -", "2           12"]
        )

    def test_what_cannot_be_shown(self) -> None:
        """What is not known is a dash, and nothing moves the cursor."""
        shown = CliRunner().invoke(echo).output.splitlines()
        self.assertEqual(shown[3], "?[2J        -")
