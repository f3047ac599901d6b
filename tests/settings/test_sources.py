"""Where values are found, and in which order."""

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Secret
from apiproxy.providers.blueprint import Text, Variable
from apiproxy.settings.kinds import PATH, PORT, PROXY, count, whole
from apiproxy.settings.metering_options import LEDGER
from apiproxy.settings.option import Option
from apiproxy.settings.sources import Sources

KEY = Variable(name="X_KEY", key="key", secret=True)
OPTION = Option(("A", "B"), "o.x", count(0), 7, "")


def sources(
    environ: Mapping[str, str],
    toml: bytes = b"",
    files: Mapping[str, bytes] | None = None,
) -> Sources:
    def read_file(path: str) -> bytes:
        if path == "/denied":
            raise PermissionError(13, "Permission denied")
        if "\0" in path:
            raise ValueError("embedded null byte")
        if files is None or path not in files:
            raise FileNotFoundError
        return files[path]

    return Sources(environ, toml, read_file)


class OptionTests(SynchronousTestCase):
    def test_environment_beats_the_file_beats_the_default(self) -> None:
        """The first variable that is set counts; empty is not set."""
        toml = b"[o]\nx = 3"
        for environ, text, expected in [
            ({"A": "1", "B": "2"}, toml, 1),
            ({"A": " ", "B": " 2 "}, toml, 2),
            ({"A": ""}, toml, 3),
            ({}, b"", 7),
        ]:
            found = sources(environ, text)
            self.assertEqual(found.option(OPTION), expected)
            found.report_unknown()
            self.assertEqual(found.problems, [])

    def test_problem_names_where_the_value_stood(self) -> None:
        """The default stands in, so that other problems are found too."""
        for environ, text, origin in [
            ({"A": "hunter2"}, b"", "A "),
            ({"B": "hunter2"}, b"", "B "),
            ({}, b"[o]\nx = 'hunter2'", "o.x "),
        ]:
            found = sources(environ, text)
            self.assertEqual(found.option(OPTION), 7)
            self.assertTrue(found.problems[0].startswith(origin))
            self.assertNotIn("hunter2", found.problems[0])

    def test_none_in_the_words_of_the_older_sidecar(self) -> None:
        """Under its own name 0 is none, with a warning; under ours it is a mistake."""
        option = Option(("APIPROXY_MAX", "AWF_MAX"), "o.max", whole(), None, "")
        found = sources({"AWF_MAX": "0"})
        self.assertIsNone(found.option(option))
        self.assertEqual(found.problems, [])
        self.assertEqual(
            found.warnings,
            ["AWF_MAX must be a whole number above 0; it has no effect as it is"],
        )
        for name, text in (("APIPROXY_MAX", "0"), ("AWF_MAX", "lots")):
            found = sources({name: text})
            self.assertIsNone(found.option(option))
            self.assertEqual(len(found.problems), 1)

    def test_some_settings_are_not_for_the_file(self) -> None:
        """Then the key is unknown."""
        found = sources({}, b"[o]\nx = 3")
        self.assertIsNone(found.option(Option(("A",), "o.x", PATH, None, "", False)))
        found.report_unknown()
        self.assertEqual(found.problems, ["o.x is not a setting"])

    def test_password_of_a_proxy_makes_its_variable_secret(self) -> None:
        """Whoever cleans the environment learns of it."""
        option = Option(("A", "B"), "o.x", PROXY, None, "")
        for value, names in [("http://u:p@x", {"B"}), ("http://x", set())]:
            found = sources({"B": value})
            found.option(option)
            self.assertEqual(found.secret_names, names)

    def test_password_of_a_ledger_does_so_too(self) -> None:
        """A ledger without one is no secret."""
        option = Option(("A", "B"), "o.x", LEDGER, None, "")
        for value, names in [
            ("redis://:p@x", {"B"}),
            ("rediss://u:p@x/1", {"B"}),
            ("redis://x", set()),
            ("/var/lib/x", set()),
        ]:
            found = sources({"B": value})
            found.option(option)
            self.assertEqual(found.secret_names, names)


class TextTests(SynchronousTestCase):
    def test_environment_beats_the_file(self) -> None:
        """The text remembers where it came from."""
        variable = Variable(name="X", key="x")
        for environ, toml, expected in [
            ({"X": " a "}, b"[p]\nx = 'b'", Text("a", "X")),
            ({"X": " "}, b"[p]\nx = ' b '", Text("b", "p.x")),
            ({}, b"[p]\nx = ''", Text("", "p.x")),
            ({}, b"", None),
        ]:
            self.assertEqual(sources(environ, toml).text(variable, "p"), expected)

    def test_setting_may_be_in_one_place_only(self) -> None:
        """Some have no variable, some no key."""
        found = sources({"": "x", "X": "y"}, b"[p]\nx = 'z'")
        self.assertEqual(found.text(Variable(key="x"), "p"), Text("z", "p.x"))
        self.assertIsNone(found.text(Variable(name="Y"), "p"))


class SecretTests(SynchronousTestCase):
    def test_order_of_places(self) -> None:
        """Variable, file by variable, file by TOML, systemd credential."""
        everywhere = {"X_KEY_FILE": "/env", "CREDENTIALS_DIRECTORY": "/cred"}
        toml = b"[p]\nkey_file = '/toml'"
        files = {"/env": b"e\n", "/toml": b" t", "/cred/X_KEY": b"c", "/empty": b"\n"}
        for environ, text, expected in [
            ({**everywhere, "X_KEY_FILE": "", "X_KEY": " v "}, toml, b"v"),
            (everywhere, toml, b"e"),
            ({**everywhere, "X_KEY_FILE": "/empty"}, toml, b"t"),
            ({"CREDENTIALS_DIRECTORY": "/cred"}, toml, b"t"),
            ({"CREDENTIALS_DIRECTORY": "/cred"}, b"", b"c"),
        ]:
            found = sources(environ, text, files)
            self.assertEqual(found.secret(KEY, "p"), Secret(expected))
            found.report_unknown()
            self.assertEqual(found.problems, [])

    def test_absent_secret_is_no_problem(self) -> None:
        """Nor is one that is empty, or that systemd was not told about."""
        for environ in [
            {},
            {"X_KEY": "  "},
            {"CREDENTIALS_DIRECTORY": "/cred"},
        ]:
            found = sources(environ)
            self.assertIsNone(found.secret(KEY, "p"))
            self.assertEqual(found.problems, [])

    def test_variable_and_file_together_are_a_problem(self) -> None:
        """Nobody can know which one was meant."""
        found = sources({"X_KEY": "a", "X_KEY_FILE": "/x"}, files={"/x": b"b"})
        found.secret(KEY, "p")
        self.assertEqual(
            found.problems, ["X_KEY and X_KEY_FILE are both set; keep one"]
        )

    def test_file_must_be_readable(self) -> None:
        """The path is not repeated: it may be a key that was taken for a path."""
        for environ, toml, origin, reason in [
            ({"X_KEY_FILE": "sk-hunter2"}, b"", "X_KEY_FILE", "no such file"),
            ({"X_KEY_FILE": "/denied"}, b"", "X_KEY_FILE", "Permission denied"),
            ({"X_KEY_FILE": "\0"}, b"", "X_KEY_FILE", "cannot be read"),
            ({}, b"[p]\nkey_file = 'sk-hunter2'", "p.key_file", "no such file"),
        ]:
            found = sources(environ, toml)
            self.assertIsNone(found.secret(KEY, "p"))
            (problem,) = found.problems
            self.assertTrue(problem.startswith(origin + " "))
            self.assertIn(reason, problem)
            self.assertNotIn("hunter2", problem)

    def test_secret_must_fit_into_a_header(self) -> None:
        """What could end a line, or has no byte, is refused and not repeated."""
        for data in (b"hunter2\r\nx", b"hunter2\nx", b"hunter2\0x", b"hunter2\xff"):
            found = sources({"X_KEY_FILE": "/x"}, files={"/x": data})
            self.assertIsNone(found.secret(KEY, "p"))
            self.assertEqual(
                found.problems,
                ["X_KEY_FILE holds characters that cannot stand in a header"],
            )
        found = sources({"X_KEY": "hunter2€"})
        self.assertIsNone(found.secret(KEY, "p"))
        self.assertNotIn("hunter2", found.problems[0])

    def test_latin_1_is_sent_as_such(self) -> None:
        """A file is UTF-8; a header is Latin-1."""
        found = sources({"X_KEY_FILE": "/x"}, files={"/x": "kéy".encode()})
        self.assertEqual(found.secret(KEY, "p"), Secret(b"k\xe9y"))

    def test_secrets_are_cleaned_first(self) -> None:
        """What is nothing but a placeholder counts as absent."""
        variable = Variable(name="X_KEY", secret=True, clean=lambda text: text[:0])
        found = sources({"X_KEY": "placeholder"})
        self.assertIsNone(found.secret(variable, "p"))
        self.assertEqual(found.secret_names, {"X_KEY"})


class UnknownTests(SynchronousTestCase):
    def test_misspelled_variable_is_a_problem(self) -> None:
        """Only among ours; the guess helps."""
        found = sources({"APIPROXY_GRASE": "1", "PATH": "/bin", "GRASE": "1"})
        found.option(Option(("APIPROXY_GRACE",), "grace", count(0), 1, ""))
        found.report_unknown()
        self.assertEqual(
            found.problems,
            ["APIPROXY_GRASE is not a setting; is APIPROXY_GRACE meant?"],
        )

    def test_kubernetes_may_describe_its_services(self) -> None:
        """A service called apiproxy or apiproxy-openai does not stop the start."""
        found = sources(
            {
                "APIPROXY_SERVICE_HOST": "10.0.0.1",
                "APIPROXY_SERVICE_PORT": "10000",
                "APIPROXY_SERVICE_PORT_HTTP": "10000",
                "APIPROXY_PORT": "tcp://10.0.0.1:10000",
                "APIPROXY_PORT_10000_TCP": "tcp://10.0.0.1:10000",
                "APIPROXY_PORT_10000_TCP_ADDR": "10.0.0.1",
                "APIPROXY_OPENAI_SERVICE_HOST": "10.0.0.1",
                "APIPROXY_OPENAI_PORT_10000_TCP_PROTO": "tcp",
                "APIPROXY_OPENAI_PORT": "tcp://10.0.0.1:10000",
            }
        )
        self.assertEqual(found.value("APIPROXY_OPENAI_PORT", "x", PORT, 10000), 10000)
        found.report_unknown()
        self.assertEqual(found.problems, [])

    def test_settings_without_effect_are_mentioned(self) -> None:
        """Who relies on a limit we do not know hears of it."""
        found = sources({"AWF_MAX_RUNS": "3", "AWF_B": "hunter2"})
        found.report_unknown()
        self.assertEqual(
            found.warnings, ["these have no effect here: AWF_B, AWF_MAX_RUNS"]
        )
