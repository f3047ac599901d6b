"""One side of an open WebSocket."""

from twisted.internet.interfaces import IPushProducer
from zope.interface.verify import verifyObject

from apiproxy.core.limits import Deadlines
from tests.kit.frames import BINARY, PING, PONG, frame
from tests.kit.memory import answer, get
from tests.kit.sockets import from_agent, switch, upgrade
from tests.wire.test_bridge import HELLO, HI, MASKED, BridgeCase


class BackPressureTests(BridgeCase):
    """A slow side slows the other down."""

    def test_its_ends_are_producers(self) -> None:
        """So that each is told when its connection is full."""
        _, agent, line = self.start()
        for transport in (agent.transport, line.transport):
            self.assertTrue(verifyObject(IPushProducer, transport.producer))

    def test_both_ways(self) -> None:
        """Nothing is gathered, and all goes on when it reads again."""
        for way in ("down", "up"):
            _, agent, line = self.start()
            slow, fast = (agent, line) if way == "down" else (line, agent)
            slow.transport.high_water = 1000
            slow.stall()
            data = frame(BINARY, b"x" * 300_000)
            fast.send(data)
            self.assertTrue(fast.transport.paused)
            self.assertLess(slow.transport.buffered, 140_000)
            slow.flow()
            self.assertFalse(fast.transport.paused)
            self.assertEqual(slow.received, data)

    def test_a_side_that_stalls_for_good(self) -> None:
        """The socket is cut after a while."""
        bench, agent, line = self.start()
        agent.transport.high_water = 1000
        agent.stall()
        line.send(frame(BINARY, b"x" * 5000))
        for _ in range(20):
            bench.wait(2)
            agent.send(HELLO)
        self.assertEqual(agent.state, "open")
        bench.wait(3)
        self.assertEqual((agent.state, line.state), ("aborted", "aborted"))
        self.assert_ended(bench, "closed 101 upstream_timeout", None)

    def test_an_answer_still_in_the_buffer_is_not_in_the_way(self) -> None:
        """A socket opened on a connection that is still full."""
        bench = self.bench()
        agent = bench.agent(high_water=100)
        agent.send(get())
        agent.stall()
        bench.line().send(answer(b"x" * 500))
        agent.flow()
        agent.send(upgrade())
        agent.stall()
        bench.line().send(switch() + HI)
        agent.flow()
        self.assertTrue(agent.received.endswith(HI))


class PingTests(BridgeCase):
    """Idle legs."""

    def test_we_ping_who_is_silent_and_keep_its_pong(self) -> None:
        """Each side for itself; the other side sees nothing of it."""
        bench, agent, line = self.start()
        bench.wait(11)
        self.assertEqual(agent.take(), frame(PING, b"apiproxy-0"))
        self.assertEqual(from_agent(line.take()), frame(PING, b"apiproxy-0"))
        agent.send(frame(PONG, b"apiproxy-0", mask=MASKED))
        line.send(frame(PONG, b"apiproxy-0"))
        self.assertEqual((agent.take(), line.take()), (b"", b""))
        agent.send(HELLO)
        self.assertEqual(line.take(), HELLO)

    def test_only_the_silent_side(self) -> None:
        """The one that talks needs no ping."""
        bench, agent, line = self.start()
        for _ in range(25):
            bench.wait(1)
            line.send(HI)
        self.assertEqual(line.received, b"")
        self.assertEqual(agent.received.count(b"apiproxy-0"), 2)

    def test_foreign_pings_and_pongs_pass(self) -> None:
        """Even while one of ours is on its way; one that is cut in pieces too."""
        bench, agent, line = self.start()
        bench.wait(11)
        agent.take()
        line.take()
        ours = frame(PONG, b"apiproxy-0", mask=MASKED)
        pieces = HELLO + frame(PONG, b"theirs", mask=MASKED) + ours + HELLO
        for byte in pieces:
            agent.send(bytes((byte,)))
        self.assertEqual(line.received, pieces.replace(ours, b""))

    def test_no_ping_in_the_middle_of_a_frame(self) -> None:
        """It waits for the end of what is passing that way."""
        bench, agent, line = self.start()
        line.send(HI[:3])
        bench.wait(15)
        self.assertEqual(agent.take(), HI[:3])
        line.send(HI[3:])
        bench.wait(10)
        self.assertTrue(agent.received.startswith(HI[3:] + b"\x89"))

    def test_pings_can_be_switched_off(self) -> None:
        """Then only silence is watched."""
        bench, agent, line = self.start(deadlines=Deadlines(ping=0, silence=30))
        bench.wait(29)
        self.assertEqual((agent.received, line.received), (b"", b""))

    def test_a_side_that_answers_no_ping(self) -> None:
        """It is dead, and so is the socket."""
        bench, agent, line = self.start()
        for _ in range(32):
            bench.wait(1)
            agent.send(HELLO)
        self.assertEqual((agent.state, line.state), ("aborted", "aborted"))
        self.assert_ended(bench, "closed 101 upstream_timeout", None)

    def test_a_socket_on_which_only_pongs_move_lives(self) -> None:
        """For hours."""
        bench, agent, line = self.start()
        for _ in range(60):
            bench.wait(2)
            for side, mask in ((agent, MASKED), (line, None)):
                if b"apiproxy-" in side.received or len(side.received) > 6:
                    side.take()
                    heard = side.transport.protocol.heard  # type: ignore[union-attr]
                    payload = b"apiproxy-%d" % heard
                    side.send(frame(PONG, payload, mask=mask))
        self.assertEqual((agent.state, line.state), ("open", "open"))
