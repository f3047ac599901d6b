"""The command, and what it costs to call it."""

import subprocess
import sys

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from apiproxy import __version__
from apiproxy.cli.main import main

HEAVY = ("twisted", "autobahn", "msgspec", "attrs", "ssl")


class CommandTests(SynchronousTestCase):
    def test_help_names_every_subcommand(self) -> None:
        """``apiproxy --help`` shows what there is."""
        result = CliRunner().invoke(main, ["--help"])
        self.assertEqual(result.exit_code, 0)
        for name in (
            "run",
            "check",
            "health",
            "settings",
            "env",
            "exec",
            "state",
            "budget",
            "stop",
            "demo",
        ):
            self.assertIn(f"\n  {name}", result.output)

    def test_version(self) -> None:
        """``apiproxy --version`` says which one this is."""
        result = CliRunner().invoke(main, ["--version"])
        self.assertEqual(result.output, f"apiproxy, version {__version__}\n")

    def test_a_subcommand_that_is_none(self) -> None:
        """A mistyped name is an error of use."""
        result = CliRunner().invoke(main, ["sing"])
        self.assertEqual(result.exit_code, 2)
        self.assertIn("No such command 'sing'", result.output)

    def test_health_imports_little(self) -> None:
        """The health check of a container does not pay for Twisted."""
        code = (
            "import sys; from apiproxy.cli.main import main\n"
            "try: main(['health', '--url', 'http://127.0.0.1:1/'])\n"
            "except SystemExit: pass\n"
            f"print([name for name in {HEAVY!r} if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout, "[]\n")
