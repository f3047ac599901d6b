"""``apiproxy settings``."""

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.settings import command
from apiproxy.settings.reference import reference


class SettingsTests(SynchronousTestCase):
    def test_it_prints_the_reference(self) -> None:
        """What is printed is what the documentation has."""
        self.assertEqual(CliRunner().invoke(command, []).output, reference())
