"""What an operator says."""

import json

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.control.orders import (
    SHOWN,
    UNITS,
    BadOrder,
    BudgetOrder,
    in_words,
    read_budget,
    read_stop,
)
from apiproxy.core.stopping import StopOrder


def budget(**said: object) -> BudgetOrder:
    return read_budget(json.dumps(said).encode(), run="r1", now=1000.0)


class BudgetTests(SynchronousTestCase):
    def test_units(self) -> None:
        """People's amounts become whole numbers of the ledger's."""
        for name, value, measure, cap in (
            ("effective_tokens", 1.5, "tokens", 1500),
            ("ai_credits", 0.5, "money", 5_000_000),
            ("dollars", 12.34, "money", 12_340_000_000),
            ("runs", 7, "runs", 7),
            ("cache_misses", 3, "misses", 3),
            ("permission_denied", 2, "denied", 2),
            ("tokens", 99, "tokens", 99),
        ):
            self.assertEqual(
                budget(measure=name, set=value),
                BudgetOrder("run:r1", measure, cap=cap),
            )

    def test_add_set_and_unset(self) -> None:
        """One of them, and null takes an operator's cap away."""
        self.assertEqual(budget(measure="runs", add=3).add, 3)
        unset = budget(measure="runs", set=None)
        self.assertEqual((unset.add, unset.cap), (None, None))

    def test_account(self) -> None:
        """The run of the service, if none is named."""
        self.assertEqual(budget(measure="runs", set=1).account, "run:r1")
        self.assertEqual(
            budget(measure="runs", set=1, account="caller:a:b").account, "caller:a:b"
        )

    def test_until(self) -> None:
        """For minutes, or until a moment."""
        for said in (
            {"minutes": 10},
            {"until": 1600},
            {"until": "1970-01-01T00:26:40Z"},
            {"until": "1970-01-01T00:26:40"},
            {"until": "1970-01-01T01:26:40+01:00"},
        ):
            self.assertEqual(budget(measure="runs", set=1, **said).until, 1600.0)

    def test_nonsense(self) -> None:
        """It is refused with a sentence that says what is wrong."""
        for said, reason in (
            ({"measure": "apples", "set": 1}, "measure must be one of"),
            ({"measure": "runs"}, "either add or set"),
            ({"measure": "runs", "set": 1, "add": 1}, "either add or set"),
            ({"measure": "runs", "set": -1}, "number from 0"),
            ({"measure": "money", "set": 2**53}, "number from 0"),
            ({"measure": "dollars", "add": 1e30}, "number from 0"),
            ({"measure": "runs", "set": True}, "not as it should be"),
            ({"measure": "runs", "set": 1, "what": 1}, "not as it should be"),
            ({"measure": "runs", "set": 1, "account": "tom"}, "account must be"),
            ({"measure": "runs", "set": 1, "account": "run:"}, "account must be"),
            ({"measure": "runs", "set": 1, "account": "run:" + "x" * 999}, "account"),
            ({"measure": "runs", "set": 1, "until": "soon"}, "RFC 3339"),
            ({"measure": "runs", "set": 1, "until": 999}, "in the future"),
            ({"measure": "runs", "set": 1, "minutes": 0}, "in the future"),
            ({"measure": "runs", "set": 1, "minutes": 1e300}, "in the future"),
            ({"measure": "runs", "set": 1, "minutes": 1, "until": 2e3}, "both"),
        ):
            error = self.assertRaises(BadOrder, budget, **said)
            self.assertIn(reason, str(error))

    @given(st.binary(max_size=60))
    def test_no_json(self, body: bytes) -> None:
        """Whatever the bytes are, they are refused in order."""
        for read in (
            lambda: read_budget(body, run="r", now=0.0),
            lambda: read_stop(body),
        ):
            self.assertRaises(BadOrder, read)

    def test_in_words(self) -> None:
        """And back."""
        self.assertEqual(in_words("money", 12_345_678), 1.234568)
        self.assertEqual(in_words("tokens", 1500), 1.5)
        self.assertEqual(in_words("runs", 3), 3)
        self.assertEqual(in_words("strange", 3), 3)
        self.assertEqual({UNITS[name][0] for name in SHOWN.values()}, set(SHOWN))


class StopTests(SynchronousTestCase):
    def test_one_of_five(self) -> None:
        """A run, a caller, an exchange, a provider, or all."""
        for what in ("run", "caller", "exchange", "provider"):
            order = read_stop(json.dumps({what: "x"}).encode())
            self.assertEqual((order.what, order.name), (what, "x"))
        self.assertEqual(read_stop(b'{"all":true}'), StopOrder("all"))

    def test_nonsense(self) -> None:
        """None, or two, or what is not known."""
        for body in (b"{}", b'{"run":"x","all":true}', b'{"all":false}', b'{"x":1}'):
            self.assertRaises(BadOrder, read_stop, body)
