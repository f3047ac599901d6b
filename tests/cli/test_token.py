"""``apiproxy token``."""

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.main import main
from apiproxy.policy.callers import Callers
from apiproxy.policy.tokens import LOOKS
from apiproxy.settings.access import read_callers


def run(*arguments: str, typed: str = "") -> Result:
    """The command, as it ends."""
    return CliRunner().invoke(main, ["token", *arguments], input=typed)


class TokenCommandTests(SynchronousTestCase):
    """Tokens made and narrowed."""

    def callers(self, text: str) -> Callers:
        """Those of a file with this in it."""
        problems: list[str] = []
        callers = read_callers(text.encode(), problems)
        self.assertEqual(problems, [])
        return Callers(callers, lambda: 0.0)

    def test_new(self) -> None:
        """The token alone is on standard output; its entry lets it in."""
        for look, (prefix, _) in LOOKS.items():
            done = run("new", "--name", "ci", "--like", look)
            token = done.stdout.strip().encode()
            self.assertTrue(token.startswith(prefix.encode()))
            self.assertNotIn(token.decode(), done.stderr)
            self.assertEqual(
                self.callers(done.stderr).admit([token], "openai").name, "ci"
            )

    def test_hash(self) -> None:
        """A token that was there before; a short one is warned of."""
        done = run("hash", "--name", "old", typed="sk-placeholder-of-an-agent\n")
        callers = self.callers(done.stdout)
        self.assertEqual(
            callers.admit([b"sk-placeholder-of-an-agent"], "a").name, "old"
        )
        self.assertEqual(done.stderr, "")
        self.assertIn("guessed", run("hash", typed="short").stderr)

    def test_narrow(self) -> None:
        """Less of everything; without a chain in the file it is of no use."""
        made = run("new", "--name", "ci")
        less = run(
            "narrow",
            *("--model", "gpt-5*", "--model", "o4"),
            *("--provider", "openai", "--expires", "8h", "--budget", "runs=3"),
            typed=made.stdout,
        )
        grant = self.callers(made.stderr).admit(
            [less.stdout.strip().encode()], "openai"
        )
        self.assertRegex(grant.name, r"\Aci\+[0-9a-f]{8}\Z")
        self.assertEqual(grant.models, (("gpt-5*", "o4"),))
        self.assertEqual(grant.allowances[0].cap, 3)
        self.assertNotIn("chain:", run("new", "--no-narrowing").stderr)

    def test_what_is_wrong(self) -> None:
        """Is said, with exit code 2."""
        for arguments, typed in (
            (["narrow"], "sk-" + "x" * 30),
            (["narrow", "--model", "a"], ""),
            (["narrow", "--model", "a"], "short"),
            (["narrow", "--model", "\u00e4"], "sk-" + "x" * 30),
            (["narrow", "--expires", "soon"], "sk-" + "x" * 30),
            (["narrow", "--budget", "gold=1"], "sk-" + "x" * 30),
            (["hash"], "\u00e4\n"),
        ):
            self.assertEqual(run(*arguments, typed=typed).exit_code, 2, arguments)
