"""Settings that name a program."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import ConfigurationError, Settings
from apiproxy.credentials.command import CommandSource
from apiproxy.settings.commands import split_command


class CommandTests(SynchronousTestCase):
    """``X_COMMAND``."""

    def test_words(self) -> None:
        """As a shell would split them, and nothing else of a shell."""
        self.assertEqual(split_command("/bin/x 'a b' $c;d"), ("/bin/x", "a b", "$c;d"))

    def test_what_is_no_command(self) -> None:
        """Said without the text, in which a key may stand."""
        for text in ("", "x", "sk-key", "/bin/x 'a", "/bin/x\0"):
            with self.assertRaises(ValueError) as caught:
                split_command(text)
            self.assertNotIn("sk-", str(caught.exception))

    def read(self, toml: bytes = b"", **environ: str) -> Settings:
        """Settings of these."""
        return Settings.read(environ, toml, lambda path: b"", lambda: "id")

    def test_from_both_places(self) -> None:
        """The variable, and the key in the file."""
        toml = b'[providers.gemini]\nkey_command = "/bin/g"\n'
        settings = self.read(toml, OPENAI_API_KEY_COMMAND="/bin/o a")
        found = {
            one.name: one.credential.source.command
            for one in settings.providers
            if one.credential and isinstance(one.credential.source, CommandSource)
        }
        self.assertEqual(
            found,
            {
                "openai": ("/bin/o", "a"),
                "gemini": ("/bin/g",),
                "opencode": ("/bin/o", "a"),
            },
        )
        provider = settings.providers[0]
        error = provider.not_configured()
        assert error is not None
        self.assertEqual(error.code, "credential_awaited")

    def test_a_key_goes_before(self) -> None:
        """A secret that is there needs no program."""
        settings = self.read(OPENAI_API_KEY="k", OPENAI_API_KEY_COMMAND="/bin/o")
        self.assertIsNone(settings.providers[0].not_configured())

    def test_what_is_wrong(self) -> None:
        """With the variable's name."""
        with self.assertRaises(ConfigurationError) as caught:
            self.read(OPENAI_API_KEY_COMMAND="o")
        (problem,) = caught.exception.problems
        self.assertTrue(problem.startswith("OPENAI_API_KEY_COMMAND must be"))
