"""Who may come: the settings, and the file of callers."""

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import ConfigurationError, Settings
from apiproxy.policy.callers import Caller
from apiproxy.policy.tokens import Verifier
from apiproxy.settings.access import Access, budget, read_callers

TOKEN = b"sk-" + b"x" * 48
VERIFIER = Verifier.of(TOKEN)


def access(callers: bytes = b"", **environ: str) -> Access:
    """Settings with these variables, and with this file of callers."""
    return Settings.read(environ, None, lambda path: callers, lambda: "id").access


class AccessTests(SynchronousTestCase):
    """Lists with commas."""

    def test_nothing_set(self) -> None:
        """All who reach a port and are no web page may come."""
        self.assertEqual(access(), Access())

    def test_lists(self) -> None:
        """Trimmed, in one spelling, none twice."""
        found = access(
            APIPROXY_ALLOWED_HOSTS="ApiProxy, *.svc , apiproxy,",
            APIPROXY_ALLOWED_ORIGINS="https://A.example/",
            APIPROXY_OPEN_ENDPOINTS="OAuth,client-secrets",
            APIPROXY_TOOLS="mcp=deny,mcp:a.example=allow",
        )
        self.assertEqual(found.hosts, ("apiproxy", ".svc"))
        self.assertEqual(found.origins, ("https://a.example",))
        self.assertEqual(found.endpoints, ("oauth", "client-secrets"))
        self.assertEqual(
            [str(rule) for rule in found.tools], ["mcp=deny", "mcp:a.example=allow"]
        )

    def test_toml(self) -> None:
        """Lists as lists."""
        toml = b'[access]\nhosts = ["a", "b"]\ntools = ["mcp=deny"]\n'
        found = Settings.read({}, toml, lambda path: b"", lambda: "id").access
        self.assertEqual(found.hosts, ("a", "b"))

    def test_what_is_wrong(self) -> None:
        """Is said with the variable's name."""
        for name, value in (
            ("APIPROXY_ALLOWED_HOSTS", "http://a"),
            ("APIPROXY_ALLOWED_ORIGINS", "a"),
            ("APIPROXY_OPEN_ENDPOINTS", "everything"),
            ("APIPROXY_TOOLS", "mcp"),
            ("APIPROXY_CALLERS_FILE", "/callers.toml"),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                access(b"", **{name: value})
            (problem,) = caught.exception.problems
            self.assertTrue(problem.startswith(name), problem)


class CallersTests(SynchronousTestCase):
    """The file of callers."""

    def read(self, text: str) -> tuple[tuple[Caller, ...], list[str]]:
        """The callers, and what is wrong."""
        problems: list[str] = []
        return read_callers(text.encode(), problems), problems

    def test_all_there_is(self) -> None:
        """One caller with everything, one with a token alone."""
        other = Verifier.of(b"other" * 5)
        callers, problems = self.read(f"""
            [callers.ci]
            tokens = ["{VERIFIER.text()}"]
            providers = ["openai"]
            models = ["gpt-5*"]
            expires = 2027-01-01T00:00:00Z
            budgets = {{ ai_credits = 2.5, tokens = 1000, runs = 3 }}
            [callers.bob]
            tokens = ["{other.text()}"]
            expires = 2027-01-01
        """)
        self.assertEqual(problems, [])
        end = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
        self.assertEqual(
            callers,
            (
                Caller(
                    name="ci",
                    verifiers=(VERIFIER,),
                    providers=frozenset({"openai"}),
                    models=("gpt-5*",),
                    expires=end,
                    budgets=(("money", 25_000_000), ("tokens", 1_000_000), ("runs", 3)),
                ),
                Caller(name="bob", verifiers=(other,), expires=end),
            ),
        )

    def test_local_times_are_utc(self) -> None:
        """A time without a zone is not that of the machine."""
        (caller,), _ = self.read(
            f'[callers.a]\ntokens=["{VERIFIER.text()}"]\nexpires=2027-01-01T00:00:00'
        )
        self.assertEqual(caller.expires, datetime(2027, 1, 1, tzinfo=UTC).timestamp())

    def test_what_is_wrong(self) -> None:
        """Each thing is said, and no token is repeated."""
        token = f'tokens = ["{VERIFIER.text()}"]'
        for text, said in (
            ("[callers.a]\ntokens = [\n", "not a TOML file"),
            ("", "a table [callers.NAME]"),
            ("callers = 1", "a table [callers.NAME]"),
            ("[callers]\na = 1", "must be a table"),
            ('[callers."a b"]', "a caller's name"),
            ("[callers.a]", "no tokens"),
            (f'[callers.a]\ntokens = ["{TOKEN.decode()}"]', "sha256:DIGEST"),
            ('[callers.a]\ntokens = "x"', "a list of texts in tokens"),
            (f"[callers.a]\n{token}\ntoken = 1", "is tokens meant?"),
            (f'[callers.a]\n{token}\nexpires = "x"', "without quotes"),
            (f"[callers.a]\n{token}\nbudgets = {{ gold = 1 }}", "budgets of"),
            (f"[callers.a]\n{token}\nbudgets = {{ runs = -1 }}", "not negative"),
            (f"[callers.a]\n{token}\nbudgets = 1", "budgets of"),
            (f"[callers.a]\n{token}\n[callers.b]\n{token}", "callers.b has a token"),
        ):
            _, problems = self.read(text)
            self.assertEqual(len(problems), 1, (text, problems))
            self.assertIn(said, problems[0])
            self.assertNotIn(TOKEN.decode(), problems[0])

    def test_budget_that_is_none(self) -> None:
        """It is its name that is wrong, and not its number."""
        error = self.assertRaises(ValueError, budget, "gold", "1")
        self.assertIn("tokens, ai_credits, runs", str(error))

    def test_budgets(self) -> None:
        """In the ledger's units, and not above what all ledgers can count."""
        self.assertEqual(budget("ai_credits", "0.0000001"), ("money", 1))
        self.assertEqual(budget("tokens", "9" * 12), ("tokens", 999_999_999_999_000))
        self.assertEqual(budget("ai_credits", "9" * 12)[1], 10**15)
