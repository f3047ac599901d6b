"""Where an operator's words are carried out."""

import json
from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.control.desk import Desk, Who
from apiproxy.admin.control.orders import BadOrder
from apiproxy.core.stopping import StopOrder
from apiproxy.policy.ledger import LedgerUnavailable, Standing
from tests.admin.control.parts import Service

WHO = Who(42, 1000)


class DeskTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A desk."""
        self.service = Service()
        self.desk = Desk(self.service.sources, self.service.log, now=lambda: 1000.0)

    def begun(self, story: Awaitable[Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(story)  # type: ignore[arg-type]

    def done(self, story: Awaitable[Any]) -> Any:
        begun = self.begun(story)
        self.service.tell()
        return self.successResultOf(begun)

    def failed(self, story: Awaitable[Any], kind: type[Exception]) -> str:
        return str(self.failureResultOf(self.begun(story), kind).value)

    def change(self, **said: object) -> Awaitable[Any]:
        return self.desk.change_budget(json.dumps(said).encode(), WHO)

    def test_state(self) -> None:
        """Everything, whether it is known now or later."""
        for slow in (False, True):
            self.service.later = [] if slow else None
            state = self.done(self.desk.state())
            self.assertEqual(state["exchanges"][0].id, "id-1")
            self.assertEqual(
                {name: state[name] for name in ("run", "settings", "coverage")},
                {"run": "r1", "settings": {"workers": 1}, "coverage": {"openai": {}}},
            )
            self.assertEqual(state["rate_limits"], {"openai": {"enabled": True}})
            self.assertEqual(state["budget"], self.done(self.desk.budget())["budget"])

    def test_budget(self) -> None:
        """The cap in force, and who has set it."""
        self.service.standings = [
            Standing("run:r1", "money", 10_000_000, 0, 25_000_000, 2000.0),
            Standing("run:r1", "runs", 3, 1),
            Standing("run:r1", "tokens", 1500, 0, 1, 999.0),
        ]
        rows = [
            (row["measure"], row["spent"], row["cap"], row["set_by"], row["until"])
            for row in self.done(self.desk.budget())["budget"]
        ]
        self.assertEqual(
            rows,
            [
                ("ai_credits", 1.0, 2.5, "operator", 2000.0),
                ("runs", 3, 5, "settings", None),
                ("effective_tokens", 1.5, None, None, None),
            ],
        )

    def test_nothing_was_spent_yet(self) -> None:
        """The budgets of the run are there all the same."""
        self.service.standings = [Standing("model:gpt-5", "tokens", 1000)]
        self.service.caps["run:r1", "money"] = 20_000_000
        rows = [
            (row["account"], row["measure"], row["spent"], row["cap"])
            for row in self.done(self.desk.budget())["budget"]
        ]
        expected: list[object] = [
            ("model:gpt-5", "effective_tokens", 1.0, None),
            ("run:r1", "ai_credits", 0, 2.0),
            ("run:r1", "runs", 0, 5),
        ]
        self.assertEqual(rows, expected)

    def test_set(self) -> None:
        """A cap is set for a while, and that is in the log with whoever did it."""
        said = self.done(self.change(measure="ai_credits", set=5, minutes=1))
        self.assertEqual(self.service.story, [("run:r1", "money", 50_000_000, 1060.0)])
        shown = {
            "account": "run:r1",
            "measure": "ai_credits",
            "cap": 5.0,
            "until": 1060.0,
        }
        self.assertEqual(said, shown)
        self.assertEqual(
            self.service.logged,
            [
                {"level": "warning", "event": "control", "action": "budget"}
                | {"uid": 1000, "pid": 42}
                | shown
            ],
        )

    def test_unset(self) -> None:
        """An operator's cap is taken away."""
        self.assertIsNone(self.done(self.change(measure="runs", set=None))["cap"])
        self.assertEqual(self.service.story, [("run:r1", "runs", None, None)])

    def test_add(self) -> None:
        """To what is in force: the configured cap, or an operator's."""
        self.assertEqual(self.done(self.change(measure="runs", add=2))["cap"], 7)
        self.assertEqual(self.done(self.change(measure="runs", add=2))["cap"], 9)
        story = self.change(measure="dollars", add=1)
        self.assertIn("no cap to add to", self.failed(story, BadOrder))

    def test_two_at_once(self) -> None:
        """Neither addition is lost, however long the ledger takes."""
        self.service.later = []
        both = [self.begun(self.change(measure="runs", add=2)) for _ in range(2)]
        self.service.tell()
        self.assertEqual([self.successResultOf(one)["cap"] for one in both], [7, 9])

    def test_ledger_away(self) -> None:
        """The change is not made, and next time it can be."""
        self.service.away = True
        self.failed(self.change(measure="runs", set=2), LedgerUnavailable)
        self.assertEqual(self.service.logged[0]["failed"], "LedgerUnavailable")
        self.service.away = False
        self.assertEqual(self.done(self.change(measure="runs", set=2))["cap"], 2)

    def test_a_change_that_fails_later(self) -> None:
        """It is in the log, too."""
        self.service.later = []
        story = self.begun(self.change(measure="runs", set=2))
        waiting, _ = self.service.later.pop()
        waiting.errback(LedgerUnavailable("away"))
        self.failureResultOf(story, LedgerUnavailable)
        self.assertEqual(self.service.logged[0]["failed"], "LedgerUnavailable")

    def test_stop(self) -> None:
        """What is meant ends, and the log has how many."""
        for name, stopped in (("id-1", 1), ("id-2", 0)):
            body = json.dumps({"exchange": name}).encode()
            self.assertEqual(self.done(self.desk.stop(body, WHO)), {"stopped": stopped})
        self.assertEqual(self.service.story[0], StopOrder("exchange", "id-1"))
        noted = self.service.logged[0]
        self.assertEqual(
            (noted["action"], noted["name"], noted["stopped"]), ("stop", "id-1", 1)
        )

    def test_drain(self) -> None:
        """Noted before it begins."""
        self.assertEqual(self.done(self.desk.drain(b"", WHO)), {"draining": True})
        self.assertEqual(self.service.story, ["drain"])

    def test_reload(self) -> None:
        """Settings that make no sense are told."""
        self.assertEqual(self.done(self.desk.reload(b"", WHO)), {"reloaded": True})
        self.service.problems = ("APIPROXY_X is no setting",)
        self.assertIn("APIPROXY_X", self.failed(self.desk.reload(b"", WHO), BadOrder))
        self.assertEqual([line["problems"] for line in self.service.logged], [0, 1])
