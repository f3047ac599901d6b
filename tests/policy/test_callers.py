"""Who has sent a request, and what that caller may do."""

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import CallerExpired, CallerRefused, CallerUnknown
from apiproxy.core.grant import Allowance, Grant
from apiproxy.ledger.memory import MemoryLedger
from apiproxy.ledger.rules import Bounds
from apiproxy.policy.callers import Caller, Callers, entries, refuse_model
from apiproxy.policy.ledger import Claim, Entry
from apiproxy.policy.tokens import Verifier, digest, make, narrow

TOKEN = make("openai", lambda count: bytes(range(1, count + 1)))
OTHER = make("openai", lambda count: bytes(range(2, count + 2)))


def callers(now: float = 1000.0, **changes: Any) -> Callers:
    """One caller, called ci."""
    what: dict[str, Any] = {"name": "ci", "verifiers": (Verifier.of(TOKEN),), **changes}
    return Callers([Caller(**what)], lambda: now)


class AdmissionTests(SynchronousTestCase):
    """Who is let in."""

    def test_a_token(self) -> None:
        """It names its caller, whatever else was presented."""
        for presented in ([TOKEN], [b"sk-placeholder", TOKEN], [b"", TOKEN]):
            self.assertEqual(
                callers().admit(presented, "openai"),
                Grant("ci", ("caller:ci",), token=digest(TOKEN)),
            )

    def test_nobody(self) -> None:
        """No key, a wrong one, one of another list, one that is too long or too late."""
        wrong: Sequence[Sequence[bytes]] = (
            [],
            [b""],
            [OTHER],
            [TOKEN[:-1]],
            [TOKEN + b"x"],
            [TOKEN.lower()],
            [b"x" * 5000],
            [b"%d" % n for n in range(8)] + [TOKEN],
            [narrow(OTHER, [b"m=a"])],
            [narrow(TOKEN, [b"m=a"])[:-2] + b"00"],
        )
        for presented in wrong:
            self.assertRaises(CallerUnknown, callers().admit, presented, "openai")

    def test_two_tokens_of_one_caller(self) -> None:
        """While one takes the place of the other, both are good."""
        both = callers(verifiers=(Verifier.of(TOKEN), Verifier.of(OTHER)))
        one, other = (both.admit([token], "a") for token in (TOKEN, OTHER))
        self.assertEqual((one.name, one.accounts), (other.name, other.accounts))

    def test_time_and_place(self) -> None:
        """An end, and the listeners that it may use."""
        self.assertRaises(CallerExpired, callers(expires=1000.0).admit, [TOKEN], "a")
        self.assertEqual(callers(expires=1000.5).admit([TOKEN], "a").name, "ci")
        some = callers(providers=frozenset({"openai"}))
        self.assertEqual(some.admit([TOKEN], "openai").name, "ci")
        self.assertRaises(CallerRefused, some.admit, [TOKEN], "gemini")

    def test_who_was_let_in_before(self) -> None:
        """Would be again, as long as its token is listed, good and for this provider."""
        grant = callers().admit([TOKEN], "a")
        narrowed = callers().admit([narrow(TOKEN, [b"e=1001"])], "a")
        for listed, kept in (
            (callers(), [True, True]),
            (callers(now=1001.0), [True, False]),
            (callers(expires=999.0), [False, False]),
            (callers(providers=frozenset({"b"})), [False, False]),
            (callers(verifiers=(Verifier.of(OTHER),)), [False, False]),
            (callers(verifiers=(Verifier.of(TOKEN, narrowing=False),)), [True, False]),
        ):
            found = [listed.keeps(each, "a") for each in (grant, narrowed)]
            self.assertEqual(found, kept)

    def test_repr(self) -> None:
        """Says how many."""
        self.assertEqual(repr(callers()), "<Callers 1>")


class NarrowedTests(SynchronousTestCase):
    """Tokens that may do less."""

    def admit(self, *caveats: bytes, provider: str = "openai", **changes: Any) -> Grant:
        """What a narrowed token may do."""
        return callers(**changes).admit([narrow(TOKEN, caveats)], provider)

    def test_models_of_both(self) -> None:
        """Those that all lists have."""
        grant = self.admit(b"m=gpt-5*,o4", b"m=*mini", models=("gpt*",))
        self.assertTrue(grant.allows("gpt-5-mini"))
        self.assertTrue(grant.allows("GPT-5-Mini"))
        for model in ("gpt-5", "o4", "gpt-4-mini", ""):
            self.assertFalse(grant.allows(model), model)

    def test_budgets_beside_each_other(self) -> None:
        """A narrowed token has an account of its own, and spends on its caller's, too."""
        grant = self.admit(b"b.money=5", b"b.money=7", budgets=(("money", 100),))
        whole, first, own = grant.accounts
        self.assertEqual(whole, "caller:ci")
        self.assertRegex(own, r"\Atoken:ci\+[0-9a-f]{8}\Z")
        self.assertEqual(grant.name, own.removeprefix("token:"))
        self.assertEqual(
            grant.allowances,
            (
                Allowance("caller:ci", "money", 100),
                Allowance(first, "money", 5),
                Allowance(own, "money", 7),
            ),
        )
        self.assertEqual(self.admit(b"m=a").accounts[1], self.admit(b"m=a").accounts[1])

    def test_a_budget_stays_where_it_is_when_a_token_is_narrowed_again(self) -> None:
        """Else whoever has spent it would add a caveat, and begin anew."""
        (budget,) = self.admit(b"m=gpt*", b"b.runs=1").allowances
        for more in ([b"e=9999"], [b"m=*"], [b"b.runs=9"], [b"p=openai", b"e=9999"]):
            again = self.admit(b"m=gpt*", b"b.runs=1", *more)
            self.assertIn(budget, again.allowances)
            self.assertIn(budget.account, again.accounts)
            self.assertEqual(len(set(again.accounts)), 3)
            self.assertEqual(again.accounts[-1], f"token:{again.name}")

    def test_the_first_end_counts(self) -> None:
        """Neither can put off the other."""
        self.assertRaises(CallerExpired, self.admit, b"e=1000", b"e=9000")
        self.assertRaises(CallerExpired, self.admit, b"e=9000", expires=1.0)
        self.assertTrue(self.admit(b"e=1001").name.startswith("ci+"))

    def test_providers_of_both(self) -> None:
        """Those that all lists have."""
        self.assertRaises(CallerRefused, self.admit, b"p=openai", b"p=gemini")
        self.assertRaises(
            CallerRefused, self.admit, b"p=openai", providers=frozenset({"gemini"})
        )
        self.assertTrue(self.admit(b"p=gemini,openai").name)

    def test_what_is_not_understood_refuses(self) -> None:
        """It may be about something that we cannot tell."""
        for caveat in (b"x=1", b"m=", b"e=soon", b"b.gold=1", b"b.money=-1", b"\xff"):
            self.assertRaises(CallerRefused, self.admit, caveat)

    def test_a_list_without_chains(self) -> None:
        """Takes whole tokens only."""
        verifiers = (Verifier.of(TOKEN, narrowing=False),)
        self.assertRaises(CallerUnknown, self.admit, b"m=a", verifiers=verifiers)
        self.assertTrue(callers(verifiers=verifiers).admit([TOKEN], "openai"))


class ModelTests(SynchronousTestCase):
    """What a caller may use."""

    def test_refused_by_the_list_alone(self) -> None:
        """Nobody else has one."""
        grant = Grant("ci", models=(("gpt-*",),))
        self.assertIsNone(refuse_model(grant, "gpt-5"))
        self.assertIsInstance(refuse_model(grant, "o4"), CallerRefused)
        self.assertIsInstance(refuse_model(grant, ""), CallerRefused)
        self.assertIsNone(refuse_model(None, "o4"))
        self.assertIsNone(refuse_model(Grant("ci"), ""))


class EntryTests(SynchronousTestCase):
    """What is set aside."""

    def test_made_up_tokens_take_the_room_of_no_caller(self) -> None:
        """One that comes later has its whole budget."""
        bob = Caller(
            name="bob", verifiers=(Verifier.of(OTHER),), budgets=(("runs", 9),)
        )
        both = Callers([Caller(name="ci", verifiers=(Verifier.of(TOKEN),)), bob], float)
        ledger = MemoryLedger(float, Bounds(rows=12))
        made_up = [narrow(TOKEN, [b"m=%d" % number]) for number in range(20)]
        for token in (*made_up, OTHER):
            grant = both.admit([token], "a")
            claim = Claim(token.hex(), tuple(entries(grant, {"runs": 1, "money": 1})))
            self.assertIsNone(ledger.reserve(claim))
            ledger.settle(claim.id, claim.entries)
        spent = {
            each.account: each.spent
            for each in ledger.standings()
            if each.measure == "runs"
        }
        self.assertEqual((spent["caller:ci"], spent["caller:bob"]), (20, 1))
        self.assertEqual(spent["token:other"], 20 - 6)

    def test_on_every_account_with_its_least_cap(self) -> None:
        """The caller's and the narrowed token's, each in all measures."""
        budgets = (("money", 100), ("runs", 9))
        token = narrow(TOKEN, [b"b.money=7", b"b.money=5"])
        grant = callers(budgets=budgets).admit([token], "a")
        first, own = grant.accounts[1:]
        self.assertEqual(
            entries(grant, {"money": 3, "tokens": 1}),
            [
                Entry("caller:ci", "money", 3, 100),
                Entry("caller:ci", "tokens", 1),
                Entry(first, "money", 3, 7),
                Entry(first, "tokens", 1),
                Entry(own, "money", 3, 5),
                Entry(own, "tokens", 1),
            ],
        )
        self.assertEqual(entries(None, {"money": 3}), [])
