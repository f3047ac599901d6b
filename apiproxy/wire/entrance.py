"""The way in, where rules have to see the request before any of it leaves.

Where a budget is set, or models are, nothing goes upstream before the whole request is here:
its body says which model is asked and how much it may answer. So an ``Entrance`` serves the
request first. It gathers the body, asks ``Metering`` for a passage, which may take a while (a
place in the queue, a ledger on another host), and gives what it has to the relay. If the agent
leaves in the meantime, the question is taken back.
"""

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from apiproxy.core.errors import (
    AgentGone,
    AgentTooSlow,
    BodyTooLarge,
    InternalError,
    Overloaded,
    ProxyError,
)
from apiproxy.core.exchange import Exchange
from apiproxy.core.head import CHUNKED
from apiproxy.core.values import Ask
from apiproxy.wire.failures import ours
from apiproxy.wire.metering import Entered, Metering
from apiproxy.wire.relay import Relay
from apiproxy.wire.request import AgentRequest
from apiproxy.wire.route import Route
from apiproxy.wire.watch import Stall


class Entrance:
    """Serves a request until it is known whether it may leave."""

    def __init__(
        self,
        route: Route,
        metering: Metering,
        request: AgentRequest,
        ask: Ask,
        relay: Relay,
    ) -> None:
        self._route = route
        self._metering = metering
        self._request = request
        self._channel = request.channel
        self._ask = ask
        self._relay = relay
        # One piece: an agent may well send a body in a million of them.
        self._body = bytearray()
        self._size = 0
        self._asking: Deferred[None] | None = None
        self._stall = Stall()
        self._began: float | None = None

    def start(self) -> None:
        """Take in the body, if there is one."""
        if self._request.length > self._route.limits.body:
            self._relay.refuse(BodyTooLarge())
            return
        self._request.server = self
        first = self._channel.take_first_body()
        if first:
            self.body_data(first)
        if self._request.server is not self:
            return
        if self._channel.body_left:
            self._request.want_body()
            self._channel.release()
        else:
            self.body_ended()

    # What the agent's channel tells.

    def body_data(self, payload: bytes) -> None:
        """Payload of the request's body came."""
        if self._size + len(payload) > self._route.limits.body:
            self._refuse(BodyTooLarge())
        elif not self._metering.held.take(len(payload)):
            self._refuse(Overloaded(_HELD))
        else:
            self._size += len(payload)
            self._body += payload
            if self._request.length == CHUNKED:
                self._route.charge(len(payload))

    def body_ended(self) -> None:
        """All is here: ask."""
        body = bytes(self._body)
        self._body = bytearray()
        story = self._metering.enter(self._relay.exchange, self._ask, body)
        asking = Deferred.fromCoroutine(story)
        judged = asking.addCallbacks(self._may_pass, self._may_not)
        self._asking = judged.addErrback(self._break)

    def agent_lost(self, error: ProxyError | None) -> None:
        """The agent left, or broke the protocol in its body."""
        self._refuse(error or AgentGone())

    def agent_full(self) -> None:
        """Nothing is sent yet."""

    def agent_ready(self) -> None:
        """Nothing is sent yet."""

    def look(self, now: float) -> None:
        """Act on deadlines (see ``wire.watch``)."""
        if self._asking is not None:
            return
        if self._began is None:
            self._began = now
        patience = self._route.deadlines.body
        idle = self._stall.seconds(self._size, now)
        slow = now - self._began > patience + self._size / _SLOWEST
        if idle > patience or slow:
            self._refuse(AgentTooSlow())

    # What comes of it.

    def _may_pass(self, entered: Entered) -> None:
        size, self._size = self._size, 0
        entered.passage.own(lambda: self._metering.held.give(size))
        self._relay.start_whole(entered.body, entered.passage)

    def _may_not(self, failure: Failure) -> None:
        self._give_back()
        if failure.check(CancelledError):
            return
        sentence = "a request could not be judged"
        error = ours(failure, self._route.complain, sentence)
        self._metering.refused(self.exchange, error)
        self._relay.refuse(error)

    def _break(self, failure: Failure) -> None:
        """A bug, behind a question that had been answered."""
        assert failure.value is not None
        self._route.complain("an exchange could not begin", failure.value)
        self._relay.refuse(InternalError())

    def _refuse(self, error: ProxyError) -> None:
        """Refuse it before it was judged."""
        self._request.server = None
        self._relay.refuse(error)
        if self._asking is None:
            self._give_back()
        else:
            self._asking.cancel()

    def _give_back(self) -> None:
        """The memory of the body is the relay's now, or nobody's."""
        self._metering.held.give(self._size)
        self._size = 0
        self._body = bytearray()

    def stop(self, error: ProxyError) -> None:
        """End it now."""
        self._refuse(error)

    def halt(self, error: ProxyError) -> None:
        """End it at once, as ``stop`` does."""
        self._refuse(error)

    @property
    def exchange(self) -> Exchange:
        """Its story."""
        return self._relay.exchange

    def __repr__(self) -> str:
        return f"<Entrance {self._relay.exchange!r} {self._size} bytes>"


_SLOWEST = 64 * 1024
"""Bytes of a body that come in a second, at least, once an agent has had its time for none.
What is held is taken from all others, so nobody may keep it by a byte now and then."""

_HELD = "Too many requests are held at once; see APIPROXY_MAX_HELD_BYTES."
