"""What passes between the two ends of an open WebSocket, and how they close."""

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from apiproxy.core.errors import Stopped
from apiproxy.core.limits import Limits
from apiproxy.policy.rules import Budgets, Rates, Rules
from apiproxy.wire.metering import Metering
from tests.kit.books import Desk
from tests.kit.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_payload,
    frame,
)
from tests.kit.memory import Agent, Bench, BenchCase, Upstream, get
from tests.kit.sockets import from_agent, opened, switch, upgrade

MASKED = b"mask"
ASKED = ["asked GET /v1/realtime", "forwarded, fresh line", "answering 101"]
HELLO = frame(TEXT, b"hello", mask=MASKED)
HI = frame(TEXT, b"hi")
_GONE = "upstream closed the connection"


def close(code: int, reason: str = "", mask: bytes | None = None) -> bytes:
    """A Close."""
    return frame(CLOSE, close_payload(code, reason), mask=mask)


class BridgeCase(BenchCase):
    def start(self, **how: object) -> tuple[Bench, Agent, Upstream]:
        """An open socket."""
        bench = self.bench(**how)
        agent, line = opened(bench)
        return bench, agent, line

    def assert_ended(self, bench: Bench, end: str, code: int | None) -> None:
        """It is over, and this is what the log will say."""
        self.assertEqual(bench.told, [*ASKED, end])
        self.assertEqual(bench.story.exchanges[0].close_code, code)
        self.assertEqual(bench.site.route.bridges, set())
        self.assertEqual((bench.census.live, bench.pool.busy), (0, 0))
        self.assertEqual(bench.site.channels, set())


class PassingTests(BridgeCase):
    """Bytes are handed on as they arrive."""

    def test_frames_of_all_kinds(self) -> None:
        """Masked or not, compressed, fragmented, reserved bits, foreign pings."""
        bench, agent, line = self.start()
        up = [
            HELLO,
            frame(BINARY, b"x" * 70_000, mask=MASKED),
            frame(TEXT, b"one", fin=False, mask=MASKED),
            frame(PING, b"theirs", mask=MASKED),
            frame(CONTINUATION, b"two", mask=MASKED),
            frame(TEXT, b"squeezed", rsv=4, mask=MASKED),
            frame(PONG, b"unasked", mask=MASKED),
            frame(0x3, b"odd"),
        ]
        down = [
            HI,
            frame(PING, b"p"),
            frame(PONG, b"theirs"),
            frame(BINARY, b"y" * 200),
        ]
        agent.send(*up)
        line.send(*down)
        self.assertEqual(line.received, b"".join(up))
        self.assertEqual(agent.received, b"".join(down))
        agent.leave()
        exchange = bench.story.exchanges[0]
        self.assertEqual(
            (exchange.bytes_up, exchange.bytes_down),
            (len(line.received), len(agent.received)),
        )

    def test_pieces_go_on_as_they_come(self) -> None:
        """Half a frame is not held back; at most its head is."""
        _, agent, line = self.start()
        for byte in HELLO:
            agent.send(bytes((byte,)))
        self.assertEqual(line.received, HELLO)
        line.send(HI[:3])
        self.assertEqual(agent.received, HI[:3])

    def test_repr_says_where_it_is(self) -> None:
        """For whoever debugs."""
        bench, agent, _ = self.start()
        agent.send(HELLO + HELLO[:8])
        (bridge,) = bench.site.route.bridges
        self.assertEqual(
            repr(bridge),
            "<Bridge <Exchange id-1 acme ANSWERING 0.0s 0↑ 0↓>"
            " agent <FrameScanner 1 messages, 3 bytes to go>"
            " upstream <FrameScanner 0 messages, between frames>>",
        )


class CloseTests(BridgeCase):
    """Close codes and reasons are carried across."""

    def test_the_agent_closes(self) -> None:
        """Upstream answers, and hangs up; then we do."""
        bench, agent, line = self.start()
        asked = close(4001, "enough", MASKED)
        agent.send(asked)
        self.assertEqual(line.received, asked)
        line.send(close(4001, "enough"))
        self.assertEqual(agent.received, close(4001, "enough"))
        line.leave()
        self.assertEqual(agent.state, "ended")
        agent.leave()
        self.assert_ended(bench, "closed 101", 4001)

    def test_upstream_closes(self) -> None:
        """The agent answers; its code is not that which counts."""
        bench, agent, line = self.start()
        line.send(close(1008, "policy"))
        self.assertEqual(agent.received, close(1008, "policy"))
        agent.send(close(1000, "", MASKED))
        self.assertEqual(line.received, close(1000, "", MASKED))
        agent.leave()
        line.leave()
        self.assert_ended(bench, "closed 101", 1008)

    def test_an_empty_close(self) -> None:
        """It ended normally, without a code."""
        bench, agent, line = self.start()
        agent.send(frame(CLOSE, mask=MASKED))
        line.send(frame(CLOSE))
        line.leave()
        agent.leave()
        self.assert_ended(bench, "closed 101", None)

    def test_an_agent_that_just_leaves(self) -> None:
        """By FIN or RST, even in the middle of a frame: it ended normally."""
        for reason in (None, ConnectionLost()):
            for last in (b"", HELLO, HELLO[:8]):
                bench, agent, line = self.start()
                agent.send(last)
                agent.leave(reason)
                self.assertEqual(line.received, last)
                self.assertEqual(line.state, "ended")
                line.leave()
                self.assert_ended(bench, "closed 101", None)

    def test_a_provider_that_just_leaves(self) -> None:
        """The agent gets 1011 and a FIN."""
        for reason in (None, ConnectionLost()):
            bench, agent, line = self.start()
            line.send(HI)
            line.leave(reason)
            self.assertEqual(
                agent.received, HI + close(1011, "upstream closed the connection")
            )
            self.assertEqual(agent.state, "ended")
            agent.send(HELLO)
            agent.leave()
            self.assert_ended(bench, "closed 101 upstream_reset", None)

    def test_a_provider_that_leaves_in_mid_frame(self) -> None:
        """Nothing can be said in between: a cut."""
        bench, agent, line = self.start()
        line.send(HI[:3])
        line.leave()
        self.assertEqual((agent.received, agent.state), (HI[:3], "aborted"))
        self.assert_ended(bench, "closed 101 upstream_reset", None)

    def test_a_provider_that_leaves_in_the_middle_of_a_head(self) -> None:
        """That part was held back, so a Close can be said."""
        _, agent, line = self.start()
        line.send(HI + frame(BINARY, b"x" * 200)[:3])
        line.leave()
        self.assertTrue(agent.received.startswith(HI + close(1011, "up")[:1]))
        self.assertEqual(agent.state, "ended")

    def test_a_provider_that_leaves_a_full_agent(self) -> None:
        """It gets all that was sent, and then the Close, when it reads again."""
        bench, agent, line = self.start()
        agent.transport.high_water = 10
        agent.stall()
        sent = frame(BINARY, b"x" * 100)
        line.send(sent)
        line.transport.paused = False
        line.leave()
        self.assertEqual(agent.state, "open")
        bench.wait(15)
        agent.transport.flow()
        bench.turn()
        self.assertEqual(agent.received, sent + close(1011, _GONE))
        self.assertEqual(agent.state, "ended")
        agent.leave()
        self.assert_ended(bench, "closed 101 upstream_reset", None)

    def test_a_provider_that_leaves_an_agent_that_never_reads(self) -> None:
        """It is cut off when it has stalled for too long."""
        bench, agent, line = self.start()
        agent.transport.high_water = 10
        agent.stall()
        line.send(frame(BINARY, b"x" * 100))
        line.transport.paused = False
        line.leave()
        bench.wait(125)
        self.assertEqual(agent.state, "aborted")

    def test_a_side_that_does_not_hang_up(self) -> None:
        """It is cut off after a while, and only then forgotten."""
        bench, agent, line = self.start()
        agent.send(close(1000, "", MASKED))
        agent.leave()
        self.assertEqual(line.state, "ended")
        bench.wait(10)
        self.assertEqual(len(bench.site.route.bridges), 1)
        bench.wait(2)
        self.assertEqual(line.state, "aborted")
        self.assert_ended(bench, "closed 101", 1000)

    def test_what_comes_after_the_end_goes_nowhere(self) -> None:
        """The other side is gone."""
        bench, agent, line = self.start()
        agent.leave()
        line.send(HI)
        self.assertEqual(agent.received, b"")
        line.leave()
        self.assert_ended(bench, "closed 101", None)


class SizeTests(BridgeCase):
    """Messages over the limit."""

    def test_from_the_agent(self) -> None:
        """It gets 1009; upstream is not left with half of it."""
        for frames in (
            [frame(BINARY, b"x" * 101, mask=MASKED)],
            [
                frame(BINARY, b"x" * 60, fin=False, mask=MASKED),
                frame(CONTINUATION, b"x" * 41, mask=MASKED),
            ],
        ):
            bench, agent, line = self.start(limits=Limits(message=100))
            agent.send(*frames)
            self.assertEqual(
                agent.received,
                close(1009, "message too big; see APIPROXY_MAX_MESSAGE_BYTES"),
            )
            self.assertEqual(agent.state, "ended")
            self.assertIn(line.state, ("ended", "aborted"))
            agent.send(b"x" * 1000)
            agent.leave()
            if line.state == "ended":
                line.leave()
            self.assert_ended(bench, "closed 101", 1009)

    def test_a_message_of_just_the_limit(self) -> None:
        """Passes."""
        _, agent, line = self.start(limits=Limits(message=100))
        agent.send(frame(BINARY, b"x" * 100, mask=MASKED))
        line.send(frame(BINARY, b"x" * 100))
        self.assertEqual((agent.state, line.state), ("open", "open"))

    def test_from_upstream(self) -> None:
        """The agent learns that something was wrong; nothing of it is passed on."""
        bench, agent, line = self.start(limits=Limits(message=100))
        line.send(HI)
        line.send(frame(BINARY, b"x" * 101))
        self.assertTrue(agent.received.startswith(HI))
        self.assertNotIn(b"xx", agent.received)
        self.assertIn(agent.state, ("ended", "aborted"))
        if agent.state == "ended":
            agent.leave()
        if line.state == "ended":
            line.leave()
        self.assert_ended(bench, "closed 101", 1009)


class DrainTests(BridgeCase):
    """We shut down."""

    def test_it_closes_between_messages(self) -> None:
        """1001 to both, once upstream has said all and a while has passed."""
        bench, agent, line = self.start()
        line.send(HI)
        bench.wait(1)
        bench.site.drain()
        line.send(HI[:3])
        self.assertFalse(bench.site.quiet)
        line.send(HI[3:])
        bench.wait(3)
        self.assertEqual(agent.take(), HI * 2)
        bench.wait(5)
        self.assertEqual(agent.received, close(1001, "apiproxy is shutting down"))
        self.assertEqual(from_agent(line.received), close(1001))
        agent.leave()
        line.leave()
        self.assert_ended(bench, "closed 101", 1001)
        self.assertTrue(bench.site.quiet)

    def test_an_answer_that_is_thought_about_is_waited_for(self) -> None:
        """While the agent's question is open, and while a message is."""
        bench, agent, line = self.start()
        bench.site.drain()
        agent.send(HELLO)
        bench.wait(12)
        self.assertEqual((agent.state, line.state), ("open", "open"))
        line.send(frame(TEXT, b"one", fin=False))
        bench.wait(12)
        self.assertEqual((agent.state, line.state), ("open", "open"))
        line.send(frame(CONTINUATION, b"two"))
        bench.wait(8)
        agent.take()
        self.assertEqual(agent.state, "ended")

    def test_a_pong_asks_nothing(self) -> None:
        """Nor does a ping: a socket on which nothing else comes is between two answers."""
        for asks, says in (
            (frame(PING, b"theirs"), frame(PONG, b"theirs", mask=MASKED)),
            (b"", frame(PONG, b"apiproxy-0", mask=MASKED)),
            (b"", frame(PING, b"mine", mask=MASKED)),
        ):
            bench, agent, line = self.start()
            bench.wait(11)
            line.send(asks)
            agent.send(says)
            bench.site.drain()
            bench.wait(8)
            self.assertEqual(agent.state, "ended")

    def test_a_socket_opened_while_draining_is_drained_too(self) -> None:
        """It does not use up the grace."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(upgrade())
        bench.site.drain()
        line = bench.line()
        line.send(switch())
        bench.wait(8)
        self.assertEqual(agent.state, "ended")

    def test_it_is_cut_if_it_does_not_end(self) -> None:
        """After the grace."""
        bench, agent, line = self.start()
        bench.site.drain()
        bench.site.abort()
        bench.turn()
        self.assertEqual((agent.state, line.state), ("aborted", "aborted"))
        self.assert_ended(bench, "closed 101 shutting_down", None)

    def test_a_side_that_has_closed_gets_no_second_close(self) -> None:
        """Its own is enough."""
        bench, agent, line = self.start()
        line.send(close(1000))
        bench.site.drain()
        bench.wait(8)
        self.assertEqual(agent.received, close(1000))
        agent.leave()
        line.leave()
        self.assert_ended(bench, "closed 101", 1001)

    def test_closing_twice(self) -> None:
        """Changes nothing."""
        bench, agent, line = self.start()
        (bridge,) = bench.site.route.bridges
        bridge.close(1001, b"once")
        bridge.close(1011, b"twice")
        self.assertEqual(agent.received, close(1001, "once"))
        agent.leave()
        line.leave()
        self.assert_ended(bench, "closed 101", 1001)


class TurnsTests(BridgeCase):
    """Where a rule sees messages."""

    def scene(self, rules: Rules) -> tuple[Bench, Agent, Upstream]:
        """An open socket on which a model is talked to."""

        def metering(clock: Clock) -> Metering:
            self.desk = Desk(clock, rules)
            return self.desk.metering

        bench = self.bench(metering=metering)
        agent = bench.agent()
        agent.send(upgrade("/v1/responses"))
        bench.line().send(switch())
        agent.take()
        bench.line().take()
        return bench, agent, bench.line()

    def test_a_message_is_held_and_judged(self) -> None:
        """An agent that says too much meanwhile is read no more."""
        bench, agent, line = self.scene(Rules(budgets=Budgets(runs=1)))
        self.desk.ledger.slow = True
        message = b'{"type":"response.create","model":"gpt-4o"}'
        agent.send(frame(TEXT, message, mask=MASKED))
        for _ in range(2):
            agent.send(
                frame(TEXT, b'{"type":"n","t":"' + b"x" * 60_000 + b'"}', mask=MASKED)
            )
        self.assertEqual(line.received, b"")
        self.desk.ledger.answer()
        bench.turn()
        self.assertEqual(line.take().count(b"\x81"), 3)
        self.desk.ledger.slow = False
        agent.send(frame(TEXT, message, mask=MASKED))
        self.assertIn(b"budget_reserved", agent.received)
        self.assertEqual(line.received, b"")

    def test_a_stop_is_said(self) -> None:
        """In the words of the provider, and by a Close."""
        for rules in (Rules(budgets=Budgets(runs=1)), Rules()):
            bench, agent, line = self.scene(rules)
            line.send(b"\x81\x05hel")
            (bridge,) = bench.site.route.bridges
            bridge.stop(Stopped())
            line.send(b"lo\x81")
            self.assertIn(b"stopped_by_operator", agent.received)
            self.assertIn(b"\x88\x15\x03\xf0stopped_by_operator", agent.received)
            self.assertEqual(bench.told[-1], "closed 101 stopped_by_operator")
            agent.leave()
            line.leave()

    def test_a_stop_where_nobody_listens(self) -> None:
        """A Close says it."""
        bench, agent, line = self.start()
        (bridge,) = bench.site.route.bridges
        bridge.stop(Stopped())
        self.assertIn(b"\x03\xf0stopped_by_operator", agent.received)
        agent.leave()
        line.leave()

    def test_bytes_count_for_the_rate(self) -> None:
        """As they come."""
        rates = Rates(enabled=True, bytes_pm=10)
        bench, agent, _ = self.scene(Rules(rates=rates))
        agent.send(frame(TEXT, b'{"type":"session.note"}', mask=MASKED))
        bench.wait(2)
        other = bench.agent()
        other.send(get())
        self.assert_error(other, 429, "rate_limited")
