"""``apiproxy run``."""

import sys

from click.testing import CliRunner
from twisted.scripts import twistd
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.run import command


class RunTests(SynchronousTestCase):
    def run_with(self, *arguments: str) -> list[str]:
        """The command line that twistd gets to see."""
        seen: list[list[str]] = []
        self.patch(sys, "argv", ["apiproxy"])
        self.patch(twistd, "run", lambda: seen.append(sys.argv))
        result = CliRunner().invoke(command, arguments)
        self.assertEqual((result.exit_code, result.output), (0, ""))
        (line,) = seen
        return line

    def test_it_is_twistd(self) -> None:
        """The service is started as ``twistd -n --pidfile= apiproxy`` starts it."""
        self.assertEqual(self.run_with(), ["twistd", "-n", "--pidfile=", "apiproxy"])

    def test_the_file_is_passed_on(self) -> None:
        """So is the configuration file."""
        self.assertEqual(self.run_with("-c", "a.toml")[-2:], ["--config", "a.toml"])
