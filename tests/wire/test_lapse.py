"""WebSockets of callers whose token has ended are closed."""

from apiproxy.core.grant import Grant
from apiproxy.policy.callers import Caller, Callers
from apiproxy.policy.tokens import Verifier, make, narrow
from apiproxy.wire.lapse import Lapse
from apiproxy.wire.stopping import Stopping
from tests.kit.memory import Agent, BenchCase
from tests.kit.sockets import opened

TOKEN = make("openai", lambda count: bytes(range(1, count + 1)))
CALLER = Caller(name="ci", verifiers=(Verifier.of(TOKEN),))


class LapseTests(BenchCase):
    def setUp(self) -> None:
        """A listener, and somebody who looks."""
        self.now = 1000.0
        self.stage = self.bench()
        sites = [self.stage.site]
        self.lapse = Lapse(lambda: sites, Stopping(lambda: sites, self.stage.clock))

    def listed(self, *callers: Caller) -> Callers:
        """Put a list in force."""
        made = Callers(callers, lambda: self.now)
        self.stage.site.route.callers = made
        return made

    def open(self, grant: Grant | None) -> Agent:
        """A WebSocket that was opened with this."""
        gate, self.stage.site.route.callers = self.stage.site.route.callers, None
        agent, _ = opened(self.stage)
        self.stage.site.route.callers = gate
        (bridge,) = self.stage.site.route.bridges
        bridge.exchange.grant = grant
        return agent

    def assert_closed(self, agent: Agent) -> None:
        """After the next look, and not before."""
        self.assertEqual(agent.received, b"")
        self.lapse.look(0.0)
        self.assertIn(b"caller_expired", agent.received)
        self.assertEqual(self.stage.told[-1], "closed 101 caller_expired")

    def test_a_token_that_ends(self) -> None:
        """A narrowed one at its own time."""
        gate = self.listed(CALLER)
        agent = self.open(gate.admit([narrow(TOKEN, [b"e=1010", b"e=1005"])], "openai"))
        self.now = 1004.9
        self.lapse.look(0.0)
        self.now = 1005.0
        self.assert_closed(agent)

    def test_a_token_that_is_listed_no_more(self) -> None:
        """The caller may still be."""
        gate = self.listed(CALLER)
        agent = self.open(gate.admit([TOKEN], "openai"))
        self.lapse.look(0.0)
        other = make("openai", lambda count: bytes(range(2, count + 2)))
        self.listed(Caller(name="ci", verifiers=(Verifier.of(other),)))
        self.assert_closed(agent)

    def test_a_caller_that_ends(self) -> None:
        """Whatever was made of its token."""
        gate = self.listed(CALLER)
        agent = self.open(gate.admit([narrow(TOKEN, [b"m=*"])], "openai"))
        self.listed(Caller(name="ci", verifiers=CALLER.verifiers, expires=900.0))
        self.assert_closed(agent)

    def test_where_nobody_is_told_apart(self) -> None:
        """Now, or when it was opened."""
        agent = self.open(None)
        self.lapse.look(0.0)
        self.listed(CALLER)
        self.lapse.look(0.0)
        self.assertEqual(agent.received, b"")
        self.assertEqual(repr(self.lapse), "<Lapse>")
