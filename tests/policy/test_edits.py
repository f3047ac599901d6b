"""Requests are edited by splicing: what rules want is in them, and all else as it was."""

import json
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import BodyUnreadable
from apiproxy.core.usage import Demand
from apiproxy.policy.edits import Editor
from apiproxy.policy.rules import Budgets, Rules, Steering
from apiproxy.policy.steering import Warnings

CHAT = (
    b'{ "model":"gpt-4o", "n": 1e0, "messages" :[{"role":"user","content":"\\u00e9"}]}'
)


def editor(*, steering: bool = False, **budgets: Any) -> Editor:
    """An editor by these rules."""
    told = Steering(enabled=steering)
    rules = Rules(budgets=Budgets(**budgets), steering=told)
    return Editor(rules, Warnings(told, 0.0, float))


class UsageTests(SynchronousTestCase):
    def wished(self, body: bytes, **budgets: Any) -> bytes:
        """A stream of chat, as it leaves."""
        asking = editor(**(budgets or {"include_usage": "on"}))
        return asking.edit("chat", body, stream=True, used=0.0).body

    def test_streams_of_chat_are_asked_for_their_usage(self) -> None:
        """Only that is added; every other byte is as it was sent."""
        edited = self.wished(CHAT)
        self.assertTrue(edited.startswith(CHAT[:-1]))
        self.assertEqual(json.loads(edited)["stream_options"], {"include_usage": True})

    def test_what_the_agent_said_of_it_is_kept_or_overruled(self) -> None:
        """Other options stay; a false becomes a true; what is no object is replaced."""
        for said, options in (
            ('{"a":1}', {"a": 1, "include_usage": True}),
            ('{"include_usage":false,"a":1}', {"include_usage": True, "a": 1}),
            ('{"include_usage":true}', {"include_usage": True}),
            ("null", {"include_usage": True}),
        ):
            body = b'{"stream_options":%b}' % said.encode()
            edited = self.wished(body)
            self.assertEqual(json.loads(edited)["stream_options"], options)

    def test_only_where_a_budget_needs_it(self) -> None:
        """By default; it can be switched on and off."""
        for budgets, active in (
            ({}, False),
            ({"tokens": 1}, True),
            ({"ai_credits": 1}, True),
            ({"runs": 1}, False),
            ({"tokens": 1, "include_usage": "off"}, False),
            ({"include_usage": "on"}, True),
        ):
            self.assertIs(editor(**budgets).asks_usage(limited=False), active, budgets)
            rules = Rules(budgets=Budgets(**budgets))
            self.assertIs(
                rules.sees_requests,
                bool(budgets) and budgets != {"include_usage": "off"},
            )

    def test_nothing_else_is_edited(self) -> None:
        """Neither what is no stream, nor other dialects; what is no JSON is refused."""
        asking = editor(include_usage="on")
        for shape, stream in (("chat", False), ("responses", True), ("messages", True)):
            edited = asking.edit(shape, CHAT, stream=stream, used=1.0)  # type: ignore[arg-type]
            self.assertEqual(edited.body, CHAT)
        for body in (b"", b"[]", b'{"a":', b"\xff"):
            self.assertRaises(BodyUnreadable, self.wished, body)

    def test_a_million_values(self) -> None:
        """Looking for the place among them would keep everybody waiting for seconds."""
        many = b'{"model":"m","stream":true,"x":[' + b"[]," * 1_000_000 + b"0]}"
        with self.assertRaises(BodyUnreadable) as raised:
            self.wished(many)
        self.assertIn("too_many_values", str(raised.exception))

    def test_what_need_not_be_asked(self) -> None:
        """No budget, another dialect, no stream: it passes, however it is packed."""
        stream = Demand(True, stream=True)
        asking = editor(include_usage="on")
        self.assertRaises(BodyUnreadable, asking.check, "chat", stream, b"br")
        for some, shape, demand, encoding in (
            (editor(runs=1), "chat", stream, b"br"),
            (asking, "responses", stream, b"br"),
            (asking, "chat", Demand(True), b"br"),
            (asking, "chat", Demand(), b"br"),
            (asking, "chat", stream, b"identity"),
        ):
            some.check(shape, demand, encoding)


class WarningTests(SynchronousTestCase):
    def test_a_warning_is_delivered_once(self) -> None:
        """When the request that carries it has left; else it comes again."""
        steering = editor(steering=True)
        self.assertTrue(steering.steers)
        first = steering.edit("chat", CHAT, stream=False, used=0.91)
        self.assertIn(
            "[AWF TOKEN WARNING] 90%", json.loads(first.body)["messages"][0]["content"]
        )
        self.assertEqual(
            steering.edit("chat", CHAT, stream=False, used=0.91).body, CHAT
        )
        steering.over(first.dues, left=False)
        again = steering.edit("chat", CHAT, stream=False, used=0.91)
        self.assertEqual(again.body, first.body)
        steering.over(again.dues, left=True)
        self.assertEqual(
            steering.edit("chat", CHAT, stream=False, used=0.91).body, CHAT
        )

    def test_where_there_is_no_place_it_is_not_used_up(self) -> None:
        """The next request carries it."""
        steering = editor(steering=True)
        heavy = b'{"messages":[],"x":[' + b"[]," * 200_000 + b"0]}"
        for body in (b"{}", b"no", b"[]", heavy):
            self.assertEqual(
                steering.edit("chat", body, stream=False, used=0.99).body, body
            )
        self.assertNotEqual(
            steering.edit("chat", CHAT, stream=False, used=0.99).body, CHAT
        )

    def test_rules_that_say_nothing(self) -> None:
        """Are those by default."""
        quiet = evolve(Rules())
        silent = Editor(quiet, Warnings(quiet.steering, 0.0, float))
        self.assertFalse(silent.steers or silent.asks_usage(limited=False))
