"""What a caller may do."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.grant import Grant, accounts_of, listed


class GrantTests(SynchronousTestCase):
    """Models."""

    def test_without_a_list_any_model(self) -> None:
        """Also one that cannot be told."""
        self.assertTrue(Grant("a").allows("x"))
        self.assertTrue(Grant("a").allows(""))

    def test_with_lists_one_of_each(self) -> None:
        """In any case of letters."""
        grant = Grant("a", models=(("gpt-*", "o4"), ("*-mini", "O4")))
        allowed = [
            name for name in ("gpt-5-mini", "O4", "gpt-5", "") if grant.allows(name)
        ]
        self.assertEqual(allowed, ["gpt-5-mini", "O4"])

    def test_a_pattern_has_nothing_but_stars(self) -> None:
        """Names of models have brackets."""
        grant = Grant("a", models=(("opus[1m]", "gpt-4?"),))
        allowed = [
            name
            for name in ("Opus[1m]", "opus1", "opusm", "gpt-4o")
            if grant.allows(name)
        ]
        self.assertEqual(allowed, ["Opus[1m]"])

    def test_whose_it_is(self) -> None:
        """Of a narrowed token: of whoever is listed."""
        self.assertEqual(listed("ci"), "ci")
        self.assertEqual(listed("ci+0a1b2c3d"), "ci")

    def test_accounts(self) -> None:
        """A narrowed token has one of another kind, beside that of its caller."""
        self.assertEqual(accounts_of(""), [])
        self.assertEqual(accounts_of("ci"), ["caller:ci"])
        self.assertEqual(accounts_of("ci+0a1b2c3d"), ["caller:ci", "token:ci+0a1b2c3d"])
