"""Messages on one WebSocket that are held back until they are judged: passed, or refused."""

from typing import Any

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import AgentGone, Stopped
from apiproxy.core.frames import FrameScanner
from apiproxy.core.messages import MessageReader
from apiproxy.policy.rules import Places, Rules
from tests.kit.books import capped
from tests.kit.deflate import Deflater
from tests.kit.frames import BINARY, CLOSE, PING, TEXT, frame
from tests.kit.hypothesis_profile import STEADY
from tests.wire.talk import (
    DEFLATE,
    MASK,
    NOTE,
    WITHOUT,
    Scene,
    answers,
    create,
    fragmented,
)


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

    def test_a_message_that_is_being_judged_is_held_too(self) -> None:
        """Or many sockets could hold any number of them."""
        scene = self.slow(held=100_000)
        scene.say(create(asked=60_000))
        self.assertLess(scene.desk.metering.held.left, 40_000)
        scene.desk.ledger.answer()
        self.assertEqual(scene.desk.metering.held.left, 100_000)
        scene.say(create(asked=60_000))
        scene.turns.end(AgentGone())
        self.assertEqual(scene.desk.metering.held.left, 100_000)

    def test_a_message_weighs_what_it_says(self) -> None:
        """A few compressed bytes may say millions of them, which are held."""
        scene = self.slow(extensions=DEFLATE, held=1 << 20)
        deflater = Deflater()
        for _ in range(11):
            data = deflater(create(asked=100_000))
            scene.turns.from_agent(frame(TEXT, data, rsv=4, mask=MASK))
        ((code, *_),) = scene.wire.closed
        self.assertEqual((code, scene.wire.told), (1013, ["hold"]))
        self.assertEqual(scene.desk.metering.held.left, 1 << 20)

    def test_a_message_weighs_what_it_says_so_far(self) -> None:
        """Its end may never come."""
        scene = self.slow(extensions=DEFLATE, held=1 << 19)
        data = frame(TEXT, Deflater()(create(asked=900_000)), rsv=4, mask=MASK)
        scene.turns.from_agent(data[:-1])
        ((code, *_),) = scene.wire.closed
        self.assertEqual((code, scene.desk.metering.held.left), (1013, 1 << 19))

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
