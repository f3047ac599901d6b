"""Tests of ``apiproxy.policy.steering``."""

import json
from typing import Any

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.splice import SpliceError
from apiproxy.policy.ledger import Entry, Standing
from apiproxy.policy.rules import Steering
from apiproxy.policy.steering import Body, Edit, Shape, Warnings, most_used, place
from tests.kit.hypothesis_profile import STEADY

ON = Steering(enabled=True, minutes=10)


class Run:
    """A run with a clock."""

    def __init__(self, rules: Steering = ON) -> None:
        self.now = 100.0
        self.warnings = Warnings(rules, 100.0, lambda: self.now)

    def told(self, used: float = 0.0, *, left: bool = True) -> list[str]:
        """What a request carries, which leaves or does not."""
        due = self.warnings.due(used)
        for each in due:
            (self.warnings.left if left else self.warnings.returned)(each)
        return [f"{each.kind} {each.threshold}" for each in due]


class WarningTests(SynchronousTestCase):
    def test_nothing_is_said_unless_it_is_wanted(self) -> None:
        """However late it is."""
        run = Run(Steering(minutes=1))
        run.now += 10_000
        self.assertEqual(run.told(5.0), [])

    def test_other_rules(self) -> None:
        """Hold from a reload on; what was said before is not said again."""
        run = Run(Steering())
        self.assertEqual(run.told(0.8), [])
        run.warnings.use(ON)
        self.assertEqual(run.told(0.8), ["token 80"])
        run.warnings.use(Steering(enabled=True))
        run.now += 9 * 60
        self.assertEqual(run.told(0.8), [])

    def test_each_threshold_is_said_once(self) -> None:
        """As it is reached."""
        run = Run()
        for used, told in (
            (0.79, []),
            (0.8, ["token 80"]),
            (0.85, []),
            (0.9, ["token 90"]),
            (0.95, ["token 95"]),
            (0.99, ["token 99"]),
            (1.5, []),
        ):
            self.assertEqual(run.told(used), told)

    def test_only_the_highest_is_said(self) -> None:
        """Who hears of 95 % need not hear of 80 any more."""
        run = Run()
        self.assertEqual(run.told(0.96), ["token 95"])
        self.assertEqual(run.told(0.97), [])

    def test_time_goes_first(self) -> None:
        """It is counted from the start of the agent, not from its first request."""
        run = Run()
        run.now += 9 * 60
        self.assertEqual(run.told(0.8), ["time 90", "token 80"])
        self.assertEqual(Run(Steering(enabled=True)).told(), [])

    def test_a_refused_request_gives_it_back(self) -> None:
        """The next one carries it."""
        run = Run()
        self.assertEqual(run.told(0.8, left=False), ["token 80"])
        self.assertEqual(run.told(0.8), ["token 80"])

    def test_one_request_carries_it(self) -> None:
        """Not all that are under way; a higher one is another one."""
        run = Run()
        [first] = run.warnings.due(0.8)
        self.assertEqual(run.told(0.8), [])
        self.assertEqual(run.told(0.9), ["token 90"])
        run.warnings.left(first)
        self.assertEqual(run.told(0.9), [])

    def test_the_words_agents_know(self) -> None:
        """The older sidecar's prefixes."""
        run = Run()
        run.now += 600
        time, token = run.warnings.due(1.0)
        self.assertTrue(time.text.startswith("[AWF TIME WARNING] 99%"))
        self.assertTrue(token.text.startswith("[AWF TOKEN WARNING] 99%"))


class UsedTests(SynchronousTestCase):
    def test_the_budget_with_least_left_counts(self) -> None:
        """Of tokens or money; an operator's cap goes before the configured one."""
        entries = [
            Entry("run:r", "tokens", 5, 100),
            Entry("run:r", "money", 5, 100),
            Entry("run:r", "runs", 1, 1),
            Entry("caller:a", "money", 5),
        ]
        standings = {
            ("run:r", "tokens"): Standing("run:r", "tokens", 50),
            ("run:r", "money"): Standing("run:r", "money", 60, cap=80),
            ("run:r", "runs"): Standing("run:r", "runs", 1),
        }
        self.assertEqual(most_used(entries, standings), 0.75)
        self.assertEqual(most_used(entries, {}), 0.0)


def applied(body: Body, edit: Edit | None) -> Any:
    """The body after an edit of its bytes."""
    data = json.dumps(body).encode()
    return json.loads(data if edit is None else edit.apply(data))


USER, SYSTEM = {"role": "user"}, {"role": "system", "content": "s"}
SAID = {"role": "system", "content": "T"}


class PlaceTests(SynchronousTestCase):
    def steered(self, shape: Shape, body: Body) -> Any:
        return applied(body, place(shape, body, "T"))

    def test_chat(self) -> None:
        """After the last message of the system, or at the beginning."""
        for before, after in (
            ([USER], [SAID, USER]),
            ([SYSTEM, USER], [SYSTEM, SAID, USER]),
            (
                [SYSTEM, USER, {"role": "developer"}, USER],
                [SYSTEM, USER, {"role": "developer"}, SAID, USER],
            ),
            ([], [SAID]),
            (["odd"], [SAID, "odd"]),
        ):
            self.assertEqual(
                self.steered("chat", {"messages": before})["messages"], after
            )
        self.assertIsNone(place("chat", {"messages": "x"}, "T"))
        self.assertIsNone(place("chat", {}, "T"))

    def test_responses(self) -> None:
        """To the instructions, else into the input, else as instructions."""
        for before, after in (
            ({"instructions": "I"}, {"instructions": "I\n\nT"}),
            ({"input": [USER]}, {"input": [SAID, USER]}),
            ({"input": "hello"}, {"input": "hello", "instructions": "T"}),
            ({"instructions": None}, {"instructions": "T"}),
            (
                {"prompt": {"id": "p"}, "input": "x"},
                {"prompt": {"id": "p"}, "input": "x"},
            ),
        ):
            self.assertEqual(self.steered("responses", before), after)
        self.assertIsNone(place("responses", {"instructions": 5}, "T"))

    def test_messages(self) -> None:
        """A string grows, a list gets a block, and what is not there is made."""
        block = {"type": "text", "text": "T"}
        for before, after in (
            ("S", "S\n\nT"),
            ([{"type": "text"}], [{"type": "text"}, block]),
            ([], [block]),
            ("", "T"),
            (None, "T"),
        ):
            found = self.steered("messages", {"system": before})
            self.assertEqual(found["system"], after)
        self.assertEqual(self.steered("messages", {}), {"system": "T"})

    def test_gemini(self) -> None:
        """In either spelling of the name."""
        part, own = {"text": "T"}, {"text": "S"}
        for name in ("systemInstruction", "system_instruction"):
            for before, after in (
                ({"parts": [own]}, {"parts": [own, part]}),
                ({"parts": own}, {"parts": [own, part]}),
                ({"role": "x"}, {"role": "x", "parts": [part]}),
                (None, {"parts": [part]}),
            ):
                self.assertEqual(self.steered("gemini", {name: before}), {name: after})
        self.assertEqual(
            self.steered("gemini", {}), {"systemInstruction": {"parts": [part]}}
        )

    def test_within_a_message(self) -> None:
        """A request may be part of something larger."""
        edit = place("messages", {}, "T", within=("response",))
        self.assertEqual(edit, Edit("set", ("response", "system"), "T"))

    def test_nothing_else_changes(self) -> None:
        """Not a byte, whatever white space and numbers there are."""
        body = b'{ "system" :"a\\u00e9\\\\" , "x":1.0e2,  "x":[ ] }'
        edit = place("messages", json.loads(body), 'T"')
        assert edit is not None
        self.assertEqual(
            edit.apply(body),
            b'{ "system" :"a\\u00e9\\\\\\n\\nT\\"" , "x":1.0e2,  "x":[ ] }',
        )

    def test_an_edit_of_another_body_is_noticed(self) -> None:
        """Nothing is put where it does not belong."""
        for edit in (
            Edit("append", ("system",), "T"),
            Edit("insert", ("messages",), "T", 5),
            Edit("set", ("a", "b"), "T"),
        ):
            self.assertRaises(SpliceError, edit.apply, b'{"messages":[]}')

    @STEADY
    @given(
        st.sampled_from(["chat", "responses", "messages", "gemini"]),
        st.dictionaries(
            st.sampled_from(
                ["messages", "instructions", "input", "system", "systemInstruction"]
            ),
            st.none()
            | st.text(max_size=3)
            | st.integers()
            | st.lists(
                st.none() | st.dictionaries(st.just("role"), st.none()), max_size=3
            )
            | st.dictionaries(st.just("parts"), st.none() | st.lists(st.none())),
        ),
    )
    def test_any_body_will_do(self, shape: Shape, body: dict[str, Any]) -> None:
        """What an agent sends may be anything."""
        self.steered(shape, body)
