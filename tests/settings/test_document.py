"""The TOML file."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.document import Document, meant


class DocumentTests(SynchronousTestCase):
    def read(self, toml: bytes | None) -> Document:
        return Document(toml, [])

    def test_values_are_found_by_dotted_key(self) -> None:
        """Text, numbers, switches and lists of text are all text here."""
        document = self.read(
            b'a = " x "\n[b]\nc = 1\nd = 1.5\ne = true\nf = false\ng = ["x", "y"]\n'
        )
        for key, value in [
            ("a", "x"),
            ("b.c", "1"),
            ("b.d", "1.5"),
            ("b.e", "true"),
            ("b.f", "false"),
            ("b.g", "x,y"),
            ("b.h", None),
            ("a.b", None),
            ("x.y.z", None),
        ]:
            self.assertEqual(document.text(key), value)
        document.report_unknown()
        self.assertEqual(document.problems, [])

    def test_file_need_not_be_there(self) -> None:
        """Then it says nothing."""
        document = self.read(None)
        self.assertIsNone(document.text("a"))
        self.assertEqual(document.tables("providers"), [])
        self.assertEqual(document.problems, [])

    def test_file_must_be_toml(self) -> None:
        """The place of the mistake is named."""
        self.assertIn("(at line 2, column", self.read(b"a = 1\nb\nc = 2").problems[0])
        self.assertIn("UTF-8", self.read(b"\xff").problems[0])

    def test_other_types_are_problems(self) -> None:
        """A date or a table is no setting."""
        for toml in (b"a = 2026-01-01", b"a = [1]", b"[a]\nb=1", b"[[a]]\nb=1"):
            document = self.read(toml)
            self.assertIsNone(document.text("a"))
            self.assertTrue(document.problems[0].startswith("a must be"))

    def test_unknown_keys_are_problems(self) -> None:
        """With a guess at what was meant."""
        document = self.read(b'bindd = 1\n"l.x" = 1\n[l]\nx = 1\nzzz = 2\n[e]\n')
        document.text("bind")
        document.text("l.x")
        document.report_unknown()
        self.assertEqual(
            document.problems,
            [
                "bindd is not a setting; is bind meant?",
                '"l.x" is not a setting; is l.x meant?',
                "l.zzz is not a setting",
            ],
        )

    def test_secrets_are_refused(self) -> None:
        """A configuration file is read by more people than a secret is."""
        document = self.read(
            b'[credentials]\nx = "hunter2"\n[providers.openai]\nkey = "hunter2"\n'
            b'api_key = "hunter2"\ngithub-token = "hunter2"\n[p]\nurl = "http://u:hunter2@x"'
        )
        self.assertIsNone(document.text("p.url"))
        document.report_unknown()
        self.assertEqual(len(document.problems), 5)
        for problem in document.problems:
            self.assertIn("use the environment", problem)
            self.assertNotIn("hunter2", problem)

    def test_tables_are_listed(self) -> None:
        """Only tables count."""
        document = self.read(b"[p]\nx = 1\n[p.a]\n[p.b]\n")
        self.assertEqual(document.tables("p"), ["a", "b"])
        self.assertEqual(self.read(b"p = 1").tables("p"), [])

    def test_nothing_similar_is_no_guess(self) -> None:
        """A wrong guess would help nobody."""
        self.assertEqual(meant("abc", ["xyz"]), "")

    def test_a_guess_needs_more_than_our_prefix(self) -> None:
        """What all variables begin with makes no two of them alike."""
        known = ("APIPROXY_TOOLS", "APIPROXY_GRACE")
        self.assertEqual(meant("APIPROXY_FOO", known), "")
        self.assertEqual(meant("APIPROXY_TOLS", known), "; is APIPROXY_TOOLS meant?")
