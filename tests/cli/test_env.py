"""``apiproxy env``."""

import json
import subprocess

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.env import command


def env(*arguments: str, **environ: str) -> str:
    """What it prints."""
    result = CliRunner().invoke(command, list(arguments), env=environ)
    assert result.exit_code == 0, result.output
    return result.output


class EnvTests(SynchronousTestCase):
    def test_a_shell_takes_the_lines(self) -> None:
        """Whatever is in the values, JSON for instance."""
        script = env("opencode") + 'printf %s "$OPENCODE_CONFIG_CONTENT"'
        shell = subprocess.run(
            ["/bin/sh", "-c", script], check=True, capture_output=True
        )
        self.assertIn("openai", json.loads(shell.stdout)["provider"])

    def test_what_the_user_chose_stays(self) -> None:
        """The model is only a proposal."""
        script = env("copilot") + 'printf %s "$COPILOT_MODEL"'
        for environ, model in (({}, b"gpt-5.5"), ({"COPILOT_MODEL": "own"}, b"own")):
            shell = subprocess.run(
                ["/bin/sh", "-c", script], check=True, capture_output=True, env=environ
            )
            self.assertEqual(shell.stdout, model)

    def test_the_file(self) -> None:
        """A comment names it, and an option prints it; nothing where none is wanted."""
        self.assertIn("# and ~/.gemini/settings.json; its text: ", env("gemini"))
        self.assertIn("security", json.loads(env("gemini", "--file")))
        self.assertEqual(env("claude", "--file"), "")

    def test_where(self) -> None:
        """A host, or a whole URL."""
        self.assertIn("=http://box:10001\n", env("claude", "--host", "box"))
        self.assertIn("=http://box/a\n", env("claude", "--url", "http://box/a/"))
