"""Requests and responses on one WebSocket, cut anywhere, passed, counted, stopped."""

import json

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import Stopped
from apiproxy.policy.rules import Budgets, Rules
from tests.kit.books import capped
from tests.kit.frames import TEXT, frame
from tests.kit.hypothesis_profile import STEADY
from tests.wire.talk import (
    LIVE,
    MASK,
    Scene,
    answers,
    create,
    fragmented,
)


class PassingTests(SynchronousTestCase):
    def test_without_a_rule_bytes_go_on_at_once(self) -> None:
        """And are counted."""
        scene = Scene()
        data = frame(TEXT, create(), mask=MASK)
        scene.turns.from_agent(data[:20])
        self.assertEqual(scene.wire.upstream, data[:20])
        scene.turns.from_agent(data[20:])
        self.assertEqual(repr(scene.turns), "<Turns 1 under way>")
        scene.hear(*answers(input=7, output=8))
        scene.turns.end(None)
        scene.desk.accounts.flush()
        (told,) = scene.desk.told
        self.assertEqual((told.usage.input, told.usage.output), (7, 8))
        self.assertEqual(told.bytes, len(scene.wire.agent))
        self.assertEqual((told.transport, told.streaming), ("websocket", True))

    def test_a_rule_that_comes_later(self) -> None:
        """Holds from the next message on; the one under way passes whole."""
        scene = Scene()
        data = frame(TEXT, create(), mask=MASK)
        scene.turns.from_agent(data[:20])
        scene.desk.accounts.capped = True
        scene.desk.ledger.store.set_cap("run:r", "runs", 0)
        scene.turns.from_agent(data[20:])
        self.assertEqual(scene.wire.upstream, data)
        scene.turns.from_agent(data)
        self.assertEqual(scene.wire.upstream, data)
        self.assertEqual(scene.told[0]["error"]["code"], "max_runs_exceeded")
        scene.desk.accounts.capped = False
        scene.turns.from_agent(data)
        self.assertEqual(len(scene.told), 2)

    def test_a_rule_that_comes_later_and_an_agent_that_never_pauses(self) -> None:
        """Whose bytes always end in the middle of a message: its socket is closed."""
        scene = Scene()
        data = frame(TEXT, create(), mask=MASK)
        scene.turns.from_agent(data + data[:20])
        scene.desk.accounts.capped = True
        scene.desk.ledger.store.set_cap("run:r", "runs", 0)
        while not scene.wire.closed:
            scene.turns.from_agent(data[20:] + data[:20])
        ((code, reason, *_),) = scene.wire.closed
        self.assertEqual((code, reason), (1008, b"max_runs_exceeded"))
        self.assertEqual(len(scene.passed), 3)

    def test_what_comes_together_with_what_closes_the_socket(self) -> None:
        """Has been sent to the agent, and is counted."""
        scene = Scene(capped(runs=1))
        scene.say(b'{"type":"input_audio_buffer.append","audio":"AAAA"}')
        scene.hear(*answers(1, input=7))
        events = [*answers(2, input=9), *answers(3, input=11)]
        texts = [json.dumps(event).encode() for event in events]
        scene.upstream(b"".join(frame(TEXT, text) for text in texts))
        self.assertEqual(len(scene.wire.closed), 1)
        scene.desk.accounts.flush()
        ids = {each.record.id for each in scene.desk.told}
        self.assertEqual(ids, {"resp_1", "resp_2", "resp_3"})

    def test_what_comes_with_the_end_of_a_message_after_a_stop(self) -> None:
        """The same."""
        scene = Scene()
        one = frame(TEXT, b'{"type":"x"}')
        scene.upstream(one[:5])
        scene.turns.stop(Stopped())
        texts = [json.dumps(event).encode() for event in answers(1, input=9)]
        scene.upstream(one[5:] + b"".join(frame(TEXT, text) for text in texts))
        scene.desk.accounts.flush()
        self.assertEqual([each.record.id for each in scene.desk.told], ["resp_1"])

    def test_live_has_no_words_for_a_refusal(self) -> None:
        """So the socket is closed and says why; its SDKs choke on an event, or wait."""
        scene = Scene(capped(runs=1), path=LIVE)
        ask = b'{"clientContent":{"turns":[],"turnComplete":true}}'
        scene.say(b'{"setup":{"model":"models/gemini-2.5-flash"}}')
        scene.say(ask)
        turn = {"serverContent": {"turnComplete": True}}
        half = frame(TEXT, json.dumps(turn).encode())
        scene.upstream(half[:9])
        scene.desk.ledger.store.set_cap("run:r", "runs", 0)
        scene.say(ask)
        self.assertEqual(scene.wire.closed, [])
        scene.upstream(half[9:])
        self.assertEqual(scene.told, [turn])
        ((code, reason, error, between),) = scene.wire.closed
        assert error is not None
        self.assertEqual((code, between), (1008, True))
        self.assertEqual(reason.decode(), f"{error.code}: {error.message}")
        self.assertEqual(scene.desk.refusals, ["max_runs_exceeded"])
        scene.say(ask)
        self.assertEqual(len(scene.passed), 2)

    def test_questions_without_end(self) -> None:
        """While Live speaks, an agent may ask a thousand times; few are remembered."""
        for rules in (None, capped(runs=10_000)):
            scene = Scene(rules, path=LIVE)
            scene.say(b'{"setup":{"model":"models/gemini-2.5-flash"}}')
            for _ in range(1000):
                scene.say(b'{"toolResponse":{}}')
                scene.hear({"serverContent": {"modelTurn": {"parts": [{"text": "a"}]}}})
            self.assertIn("<Turns 128 under way", repr(scene.turns))
            scene.turns.end(None)
            self.assertEqual(scene.desk.ledger.standing("runs").reserved, 0)

    def test_each_record_is_of_its_own_request(self) -> None:
        """Whatever order responses end in."""
        scene = Scene(capped(tokens=10**12))
        for stream, model in (("a", "gpt-4o"), ("b", "gpt-4o-mini")):
            scene.say(create(stream=stream, model=model))
        first = answers(1, stream="a", input=1)
        second = answers(2, stream="b", input=2, model="gpt-4o-mini")
        scene.hear(first[0], second[0], *second[1:], *first[1:])
        standing = scene.desk.ledger.standing
        self.assertEqual(standing("tokens", "model:gpt-4o").spent, 21_000)
        self.assertEqual(standing("tokens", "model:gpt-4o-mini").spent, 22_000)
        self.assertEqual(standing("tokens").reserved, 0)
        self.assertEqual(
            repr(scene.turns), "<Turns 0 under way, <Checkpoint 0 waiting>>"
        )

    def test_what_asks_during_a_response_is_a_part_of_it(self) -> None:
        """Gemini Live: what was set aside for it is given back when that is over."""
        scene = Scene(capped(runs=5), path=LIVE)
        scene.say(b'{"setup":{"model":"models/gemini-2.5-flash"}}')
        scene.say(b'{"clientContent":{"turns":[],"turnComplete":true}}')
        part = {"modelTurn": {"parts": [{"text": "hello"}]}}
        scene.hear({"serverContent": part})
        scene.say(b'{"toolResponse":{"functionResponses":[]}}')
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, 2)
        usage = {"promptTokenCount": 3, "responseTokenCount": 4}
        scene.hear({"serverContent": {"turnComplete": True}, "usageMetadata": usage})
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, 0)


class CutAnywhereTests(SynchronousTestCase):
    @STEADY
    @given(st.integers(1, 400), st.integers(1, 30))
    def test_what_we_say_stands_between_messages(
        self, step: int, fragment: int
    ) -> None:
        """Of the provider, however those are cut."""
        scene = Scene(capped(runs=1))
        scene.say(create())
        events = answers(said=200)
        data = b"".join(
            fragmented(json.dumps(event).encode(), fragment, 0, masked=False)
            for event in events
        )
        for number, at in enumerate(range(0, len(data), step)):
            scene.upstream(data[at : at + step])
            if number % 3 == 0:
                scene.say(create())
        refused = len(scene.desk.refusals)
        self.assertEqual([each for each in scene.told if "error" not in each], events)
        self.assertEqual(len(scene.told), len(events) + refused)
        self.assertEqual(scene.desk.ledger.standing("runs").spent, 1)


class StoppingTests(SynchronousTestCase):
    def test_between_messages_at_once(self) -> None:
        """Said, then closed; nothing passes any more."""
        scene = Scene(capped(runs=9))
        scene.turns.stop(Stopped())
        scene.turns.stop(Stopped())
        self.assertEqual(scene.told[0]["error"]["code"], "stopped_by_operator")
        ((code, reason, _, between),) = scene.wire.closed
        self.assertEqual((code, reason, between), (1008, b"stopped_by_operator", True))
        scene.say(create())
        self.assertEqual(scene.wire.upstream, b"")

    def test_in_the_middle_of_a_message(self) -> None:
        """At its end; what comes behind it in the same bytes is not passed on."""
        scene = Scene(capped(runs=9))
        one = frame(TEXT, b'{"type":"x"}')
        scene.upstream(one[:5])
        scene.turns.stop(Stopped())
        scene.upstream(one[5:8])
        self.assertEqual(scene.wire.agent, one[:8])
        scene.upstream(one[8:] + one[:3])
        self.assertEqual(len(scene.told), 2)
        self.assertEqual([each[3] for each in scene.wire.closed], [True])

    def test_a_provider_that_never_ends_its_message(self) -> None:
        """Is not waited for: the socket is cut after a moment."""
        scene = Scene(capped(runs=9))
        scene.turns.look()
        scene.upstream(frame(TEXT, b"{}")[:3])
        scene.turns.stop(Stopped())
        scene.turns.look()
        self.assertEqual(scene.wire.closed, [])
        scene.turns.look()
        self.assertEqual([each[3] for each in scene.wire.closed], [False])

    def test_a_response_that_crosses_the_cap(self) -> None:
        """Is cut, with the error that says so."""
        rules = Rules(budgets=Budgets(tokens=1_000_000))
        scene = Scene(rules)
        scene.say(create(output=10))
        created, delta, *_ = answers(said=8000)
        scene.hear(created, delta)
        code = scene.told[-1]["error"]["code"]
        self.assertEqual(code, "effective_tokens_limit_exceeded")
        self.assertEqual(len(scene.wire.closed), 1)
        scene.turns.end(scene.wire.closed[0][2])
        scene.desk.accounts.flush()
        (told,) = scene.desk.told
        self.assertEqual(told.gap, "effective_tokens_limit_exceeded")
