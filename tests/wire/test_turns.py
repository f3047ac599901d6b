"""Requests and responses on one WebSocket, cut anywhere, held back, refused, counted."""

import json
from typing import Any

from hypothesis import given, strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.deflate import DeflateTerms
from apiproxy.core.errors import AgentGone, ProxyError, Stopped
from apiproxy.core.frames import FrameScanner
from apiproxy.core.messages import MessageReader
from apiproxy.core.values import Ask
from apiproxy.policy.rules import Budgets, Places, Rules
from apiproxy.wire.turns import Turns
from tests.kit.books import Desk, capped
from tests.kit.deflate import Deflater
from tests.kit.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame
from tests.kit.hypothesis_profile import STEADY
from tests.metering.conversation import Turn, events_of

MASK = b"mask"
DEFLATE = b"permessage-deflate"
WITHOUT = b"permessage-deflate; client_no_context_takeover"
PATH = b"/v1/responses"
_LIVE = b"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
SOUND = b'{"type":"input_audio_buffer.append","audio":"AAAA"}'
NOTE = b'{"type":"session.note","text":"hello"}'


class Wire:
    """A bridge of which nothing is there but what turns see."""

    def __init__(self) -> None:
        self.agent = b""
        self.upstream = b""
        self.told: list[str] = []
        self.closed: list[tuple[int, bytes, ProxyError | None, bool]] = []
        self.scanner = FrameScanner(1 << 30)

    def to_agent(self, data: bytes) -> None:
        self.agent += data

    def to_upstream(self, data: bytes) -> None:
        self.upstream += data

    @property
    def may_speak(self) -> bool:
        return self.scanner.between_messages

    def close(
        self,
        code: int,
        reason: bytes,
        error: ProxyError | None = None,
        *,
        between: bool = False,
    ) -> None:
        self.closed.append((code, reason, error, between))

    def hold(self) -> None:
        self.told.append("hold")

    def release(self) -> None:
        self.told.append("release")


class Scene:
    """A socket.

    Attributes:
        desk: its books.
        wire: both directions.
        turns: what stands in them.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        extensions: bytes = b"",
        *,
        limit: int = 1 << 20,
        path: bytes = PATH,
        **more: Any,
    ) -> None:
        self.clock = Clock()
        self.desk = Desk(self.clock, rules, **more)
        self.wire = Wire()
        self.exchange = self.desk.exchange(transport="websocket")
        self.turns = Turns(
            self.desk.metering,
            self.exchange,
            Ask(b"GET", path, path.partition(b"?")[0], [], None, True),
            self.wire,
            extensions,
            limit,
            lambda: b"ours",
            lambda sentence, error: self.desk.complaints.append(sentence),
        )
        self._terms = DeflateTerms.read(extensions, from_agent=True)

    def say(self, payload: bytes, opcode: int = TEXT) -> None:
        """The agent says something, in one frame."""
        self.turns.from_agent(frame(opcode, payload, mask=MASK))

    def hear(self, *events: dict[str, Any]) -> None:
        """The provider says something."""
        for event in events:
            self.upstream(frame(TEXT, json.dumps(event).encode()))

    def upstream(self, data: bytes) -> None:
        """Bytes come from the provider."""
        data = self.wire.scanner.feed(data)
        self.turns.from_upstream(data)

    @property
    def passed(self) -> list[bytes]:
        """The messages that the provider understands."""
        reader = MessageReader(self._terms, 1 << 30)
        return [each.payload or b"?" for each in reader.feed(self.wire.upstream)]

    @property
    def told(self) -> list[dict[str, Any]]:
        """The messages that the agent gets."""
        reader = MessageReader(None, 1 << 30)
        found = reader.feed(self.wire.agent)
        return [json.loads(each.payload or b"null") for each in found]


def create(**more: Any) -> bytes:
    """A message that asks for a response."""
    return Turn(**more).request.encode()


def answers(number: int = 1, **more: Any) -> list[dict[str, Any]]:
    """The events of its response."""
    return events_of(json.loads(create(**more)), number)


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

    def test_live_has_no_words_for_a_refusal(self) -> None:
        """So the socket is closed and says why; its SDKs choke on an event, or wait."""
        scene = Scene(capped(runs=1), path=_LIVE)
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
            scene = Scene(rules, path=_LIVE)
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
        scene = Scene(capped(runs=5), path=_LIVE)
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
    @given(
        st.lists(st.sampled_from(["create", "note", "ping"]), max_size=12),
        st.sampled_from([b"", DEFLATE, WITHOUT]),
        st.integers(0, 4),
        st.integers(1, 60),
        st.lists(st.integers(1, 300), min_size=1, max_size=20),
    )
    def test_messages_arrive_whole_or_not_at_all(
        self,
        kinds: list[str],
        extensions: bytes,
        cap: int,
        fragment: int,
        sizes: list[int],
    ) -> None:
        """Compressed or not, in any fragments, with pings between, at any cut."""
        scene = Scene(capped(runs=cap), extensions)
        deflater = Deflater()
        data, wanted, pings, asked = b"", [], 0, 0
        for number, kind in enumerate(kinds):
            if kind == "ping":
                data += frame(PING, b"%d" % number, mask=MASK)
                pings += 1
                continue
            payload = create(input=number) if kind == "create" else NOTE
            asked += kind == "create"
            if kind == "note" or asked <= cap:
                wanted.append(payload)
            body, rsv = payload, 0
            if extensions:
                if extensions == WITHOUT:
                    deflater = Deflater()
                body, rsv = deflater(payload), 4
            data += fragmented(body, fragment, rsv, ping=bool(number % 2))
            pings += number % 2
        at = 0
        while at < len(data):
            size = sizes[at % len(sizes)]
            scene.turns.from_agent(data[at : at + size])
            at += size
        self.assertEqual(scene.passed, wanted)
        scanner = FrameScanner(1 << 30)
        scanner.feed(scene.wire.upstream)
        self.assertTrue(scanner.between_messages)
        self.assertEqual(scanner.frames - scanner.messages >= pings, True)
        refused = max(asked - cap, 0)
        codes = [event["error"]["code"] for event in scene.told]
        self.assertEqual(len(codes), refused)
        self.assertEqual(len(scene.desk.refusals), refused)
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, min(asked, cap))
        scene.turns.end(None)
        self.assertEqual(scene.desk.metering.held.left, 1 << 20)

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


def fragmented(
    body: bytes, size: int, rsv: int, *, ping: bool = False, masked: bool = True
) -> bytes:
    """A message in frames of this size, perhaps with a ping behind the first."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    mask = MASK if masked else None
    told = b""
    for at, piece in enumerate(pieces):
        first, last = at == 0, at == len(pieces) - 1
        opcode = TEXT if first else CONTINUATION
        told += frame(opcode, piece, fin=last, rsv=rsv if first else 0, mask=mask)
        if ping and first:
            told += frame(PING, b"between", mask=mask)
    return told


class HoldingTests(SynchronousTestCase):
    def slow(self, rules: Rules | None = None, **more: Any) -> Scene:
        """A socket whose ledger takes its time."""
        scene = Scene(rules or capped(runs=2), **more)
        scene.desk.ledger.slow = True
        return scene

    def test_messages_wait_in_line(self) -> None:
        """Pings do not."""
        scene = self.slow()
        scene.say(create(input=1))
        scene.say(NOTE)
        ping = frame(PING, b"x", mask=MASK)
        scene.turns.from_agent(ping)
        self.assertEqual(scene.wire.upstream, ping)
        self.assertEqual(
            repr(scene.turns), "<Turns 0 under way, <Checkpoint 1 waiting>>"
        )
        scene.desk.ledger.answer()
        self.assertEqual(scene.passed, [create(input=1), NOTE])

    def test_an_agent_that_says_too_much_is_held(self) -> None:
        """Until what it has said is judged."""
        scene = self.slow()
        scene.say(create())
        for _ in range(3):
            scene.say(b'{"type":"note","text":"' + b"x" * 30_000 + b'"}')
        self.assertEqual(scene.wire.told, ["hold"])
        scene.desk.ledger.answer()
        self.assertEqual(scene.wire.told, ["hold", "release"])
        self.assertEqual(len(scene.passed), 4)

    def test_memory_has_an_end(self) -> None:
        """Over all sockets."""
        scene = self.slow(held=1000)
        scene.turns.from_agent(frame(TEXT, b"x" * 2000, mask=MASK)[:1500])
        ((code, _, error, _),) = scene.wire.closed
        self.assertEqual(code, 1013)
        assert error is not None
        self.assertEqual(error.code, "too_many_exchanges")
        scene.turns.end(error)
        self.assertEqual(scene.desk.metering.held.left, 1000)

    def test_a_close_goes_before_what_waits(self) -> None:
        """The agent leaves, and nothing of it is set aside any more."""
        scene = self.slow()
        scene.say(create())
        close = frame(CLOSE, b"\x03\xe8", mask=MASK)
        scene.turns.from_agent(close)
        self.assertEqual(scene.wire.upstream, close)
        scene.desk.ledger.answer()
        scene.turns.end(AgentGone())
        scene.desk.ledger.answer()
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, 0)
        scene.desk.accounts.flush()
        self.assertEqual(scene.desk.told, [])

    def test_the_socket_ends_while_a_message_is_judged(self) -> None:
        """That message has cost nothing; the one before it may have."""
        scene = self.slow()
        scene.say(create(input=1))
        scene.desk.ledger.answer()
        scene.say(create(input=2))
        scene.turns.end(AgentGone())
        scene.desk.ledger.answer()
        scene.desk.ledger.answer()
        scene.desk.accounts.flush()
        (told,) = scene.desk.told
        self.assertEqual((told.gap, told.record.estimated), ("agent_gone", True))
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, 0)

    def test_a_bug_ends_the_message_not_the_socket(self) -> None:
        """It is complained of."""
        scene = Scene(capped(runs=2))
        scene.desk.ledger.broken = ValueError()
        scene.say(create())
        self.assertEqual(scene.told[0]["error"]["code"], "internal_error")
        self.assertEqual(scene.desk.complaints, ["a message could not be judged"])

    def test_a_bug_behind_a_judgement(self) -> None:
        """Closes the socket."""
        scene = Scene(capped(runs=1))

        def broken(data: bytes) -> None:
            raise ValueError

        scene.say(create())
        scene.wire.to_agent = broken  # type: ignore[method-assign]
        scene.say(create())
        self.assertEqual(scene.wire.closed[0][:2], (1011, b"internal error"))
        self.assertEqual(scene.desk.complaints, ["a message could not be passed on"])


class RefusingTests(SynchronousTestCase):
    def test_what_cannot_be_read(self) -> None:
        """Does not pass; what was asked before it stays asked."""
        scene = Scene(capped(runs=5), DEFLATE, limit=2000)
        scene.say(create())
        broken = frame(TEXT, b"\xff\xff\xff", rsv=4, mask=MASK)
        scene.turns.from_agent(broken)
        scene.say(b'{"type":"response.create","model":"a","response":{"model":"b"}}')
        scene.say(b"no JSON")
        codes = [event["error"]["code"] for event in scene.told]
        self.assertEqual(codes, ["body_unreadable"] * 3)
        self.assertEqual(scene.told[0]["error"]["reason"], "deflate_broken")
        scene.hear(*answers(input=3))
        self.assertEqual(scene.desk.ledger.standing("runs").spent, 1)
        self.assertEqual(
            repr(scene.turns), "<Turns 0 under way, <Checkpoint 0 waiting>>"
        )

    def test_binary_stays_binary(self) -> None:
        """Also in a frame of ours."""
        scene = Scene(capped(runs=0), DEFLATE)
        scene.say(create())
        scene.say(NOTE, BINARY)
        reader = MessageReader(None, 1 << 20)
        (message,) = reader.feed(scene.wire.upstream)
        self.assertEqual((message.opcode, message.payload), (BINARY, NOTE))

    def test_places_are_for_messages(self) -> None:
        """A second response waits for the first one's place."""
        scene = Scene(Rules(places=Places(concurrent=1)))
        scene.say(create(input=1))
        scene.say(create(input=2))
        self.assertEqual(len(scene.passed), 1)
        scene.hear(*answers())
        self.assertEqual(len(scene.passed), 2)
        scene.turns.end(None)
        self.assertEqual(scene.clock.getDelayedCalls()[1:], [])


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

    def test_a_message_that_is_judged_too_late(self) -> None:
        """Does not pass, and costs nothing."""
        scene = Scene(capped(runs=9))
        scene.desk.ledger.slow = True
        scene.say(create())
        scene.turns.stop(Stopped())
        scene.desk.ledger.answer()
        scene.desk.ledger.answer()
        self.assertEqual(scene.wire.upstream, b"")
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, 0)

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
