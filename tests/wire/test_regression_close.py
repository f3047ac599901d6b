"""Closes that once went differently with us in between than without us."""

from tests.kit.frames import CLOSE, close_payload, frame
from tests.kit.memory import Agent, Bench, BenchCase, Upstream
from tests.kit.sockets import opened

MASKED = b"mask"


class AgentClosedTests(BenchCase):
    def closed_by_agent(self, sent: bytes) -> tuple[Bench, Agent, Upstream]:
        """An open socket on which the agent has sent a Close."""
        bench = self.bench()
        agent, line = opened(bench)
        agent.send(sent)
        self.assertEqual(line.received, sent)
        return bench, agent, line

    def test_a_provider_that_answers_a_close_by_leaving(self) -> None:
        """The agent hears what it would have heard without us: nothing, and a FIN.

        Autobahn answers so when a Close is wrong, as those of its cases 7.3.2, 7.3.6, 7.5.1,
        7.9.* and 7.13.* are; others do it always.
        """
        for payload in (
            b"",
            b"\x03",  # a code of one byte
            close_payload(1000, "done"),
            close_payload(1005, ""),  # a code that must not be sent
            close_payload(65535, ""),
            b"\x03\xe8\xff",  # a reason that is not UTF-8
            b"\x03\xe8" + b"x" * 124,  # longer than a control frame may be
        ):
            bench, agent, line = self.closed_by_agent(
                frame(CLOSE, payload, mask=MASKED)
            )
            line.leave()
            self.assertEqual((agent.received, agent.state), (b"", "ended"), payload)
            agent.leave()
            self.assertEqual(bench.told[-1], "closed 101")
            self.assertEqual(bench.site.route.bridges, set())
            self.assertEqual((bench.census.live, bench.pool.busy), (0, 0))
