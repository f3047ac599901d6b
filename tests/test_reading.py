"""Where settings are read from."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import ConfigurationError, collect, read_settings, remake


class ReadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        """An environment with nothing in it."""
        self.patch(os, "environ", {})
        self.file = Path(self.mktemp())
        self.file.write_text("[providers.openai]\nport = 1234\n")

    def openai_port(self, path: str | None = None) -> int | None:
        return read_settings(path, os.environ).providers[0].port

    def test_files(self) -> None:
        """A file is named by the option, else by APIPROXY_CONFIG, else there is none."""
        self.assertEqual(self.openai_port(), 10000)
        self.assertEqual(self.openai_port(str(self.file)), 1234)
        os.environ["APIPROXY_CONFIG"] = str(self.file)
        self.assertEqual(self.openai_port(), 1234)

    def test_a_key_in_a_file(self) -> None:
        """Files that variables name are read, too."""
        key = Path(self.mktemp())
        key.write_text("k\n")
        os.environ["OPENAI_API_KEY_FILE"] = str(key)
        self.assertIsNone(read_settings(None, os.environ).providers[0].not_configured())
        self.assertTrue(read_settings(None, os.environ).providers[1].not_configured())

    def test_a_file_that_is_not_there(self) -> None:
        """This is a problem like any other."""
        error = self.assertRaises(
            ConfigurationError, read_settings, "/nowhere.toml", {}
        )
        self.assertEqual(
            error.problems,
            ["--config: /nowhere.toml cannot be read: No such file or directory"],
        )
        named = {"APIPROXY_CONFIG": "/nowhere.toml"}
        error = self.assertRaises(ConfigurationError, read_settings, None, named)
        self.assertEqual(error.problems[0][:31], "APIPROXY_CONFIG: /nowhere.toml ")

    def test_file_with_an_empty_name(self) -> None:
        """There is none, as everywhere."""
        self.assertTrue(read_settings(None, {"APIPROXY_CONFIG": ""}).providers)

    def test_ids(self) -> None:
        """Copilot's interaction id is made anew each time."""
        first, second = read_settings(None, os.environ), read_settings(None, os.environ)
        self.assertNotEqual(first.providers[2], second.providers[2])

    def test_a_key_that_was_written_anew(self) -> None:
        """It is all that is new: no pipe is read again, nor the configuration file."""
        names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
        files = [Path(self.mktemp()) for _ in names]
        for name, file in zip(names, files, strict=True):
            file.write_text("k\n")
            os.environ[f"{name}_FILE"] = str(file)
        settings, origin = collect(str(self.file), os.environ)
        files[1].unlink()
        os.mkfifo(files[1])
        self.file.write_text("nonsense")
        openai = os.fsencode(str(files[0]))
        renewed = origin.renewed({openai: b"new"})
        again = remake(renewed)
        self.assertEqual(again.providers[1], settings.providers[1])
        self.assertEqual([s.reveal() for s in again.providers[0].secrets], [b"new"])
        self.assertEqual(renewed.files[openai], b"new")
        gone = origin.renewed({openai: None})
        self.assertRaises(ConfigurationError, remake, gone)

    def test_they_are_made_again(self) -> None:
        """As they were, though the files hold something else by now."""
        key = Path(self.mktemp())
        key.write_text("k\n")
        os.environ["OPENAI_API_KEY_FILE"] = str(key)
        settings, origin = collect(str(self.file), os.environ)
        key.unlink()
        self.file.write_text("nonsense")
        again = remake(origin)
        self.assertEqual(again.providers[0], settings.providers[0])
        self.assertEqual(again.providers[0].port, 1234)
        self.assertIsNone(again.providers[0].not_configured())
