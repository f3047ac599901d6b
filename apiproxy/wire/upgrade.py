"""A WebSocket's beginning: an HTTP exchange whose answer should be 101.

Upstream is asked first, over an ordinary line. If it refuses, that is an ordinary answer and
reaches the agent whole. If it agrees, both connections become sockets, upstream's first, and
a bridge passes their bytes.

Our own refusals take the status that makes clients do the best they can: 426 sends Codex to
HTTP at once where trying again may help; 400 stops it where nothing can.
"""

import base64
from functools import partial

from apiproxy.core.errors import InternalError, ProxyError, UpstreamMalformed
from apiproxy.core.exchange import Exchange
from apiproxy.core.handshake import deflate_offers, handshake_fields
from apiproxy.core.headers import Special, join, subprotocols
from apiproxy.core.values import Answer, Ask
from apiproxy.wire.bridge import Bridge
from apiproxy.wire.relay import Relay
from apiproxy.wire.request import AgentRequest
from apiproxy.wire.route import Route
from apiproxy.wire.transport import Transport
from apiproxy.wire.turns import Turns


def upgrade_status(error: ProxyError) -> int:
    """The status by which a WebSocket client is refused."""
    if error.status in (400, 401, 413, 426, 429, 431, 499):
        return error.status
    return 426 if error.retriable else 400


class Upgrade(Relay):
    """One WebSocket, from the agent's request to the open bridge."""

    def __init__(
        self, route: Route, request: AgentRequest, exchange: Exchange, ask: Ask
    ) -> None:
        super().__init__(route, request, exchange, ask)
        self._key = base64.b64encode(route.random(16))
        self._protocols = subprotocols(request.special)
        self._offers = deflate_offers(request.special)

    def _framing(self) -> bytes:
        return join(handshake_fields(self._key, self._protocols, self._offers))

    def _error_status(self, error: ProxyError) -> int:
        return upgrade_status(error)

    def _answer_error(self, error: ProxyError) -> None:
        self._request.keep = False
        super()._answer_error(error)

    def answer_switched(self, answer: Answer, special: Special, rest: bytes) -> None:
        """Upstream agreed: answer the agent, and bridge the two."""
        line, self._line = self._line, None
        assert line is not None
        upstream = line.hand_over()
        try:
            protocol = self._agreed_protocol(special)
            self._route.handshakes.judge(
                upstream, self._key, bool(self._offers), special
            )
            self.exchange.answer(answer)
            self._open(answer, special, protocol, upstream, rest)
        except UpstreamMalformed as error:
            upstream.abortConnection()
            self._finish(error)
        except Exception as error:
            self._route.complain("a WebSocket could not be opened", error)
            upstream.abortConnection()
            self._finish(InternalError())

    def _turns(self, special: Special, bridge: Bridge) -> Turns | None:
        """Who follows the conversation; nobody, if no model takes part in it."""
        metering = self._route.metering
        if metering is None or not metering.follows(self._ask):
            return None
        return Turns(
            metering,
            self.exchange,
            self._ask,
            bridge,
            b",".join(special.get(b"sec-websocket-extensions", ())),
            self._route.limits.message,
            partial(self._route.random, 4),
            self._route.complain,
        )

    def _agreed_protocol(self, special: Special) -> bytes | None:
        """The subprotocol that upstream chose, which must be one that was offered."""
        agreed = special.get(b"sec-websocket-protocol", [])
        if not agreed:
            return None
        if len(agreed) > 1 or agreed[0] not in self._protocols:
            raise UpstreamMalformed("The provider chose a subprotocol nobody offered.")
        return agreed[0]

    def _open(
        self,
        answer: Answer,
        special: Special,
        protocol: bytes | None,
        upstream: Transport,
        down: bytes,
    ) -> None:
        route = self._route
        agent, up = self._channel.give_away()
        route.handshakes.answer(
            agent,
            self._request.special,
            protocol,
            b", ".join(special.get(b"sec-websocket-extensions", ())),
            [*answer.fields, (b"x-request-id", self.exchange.id.encode("ascii"))],
        )
        bridge = Bridge(
            self.exchange,
            route.deadlines,
            route.limits.message,
            route.random,
            route.watch,
            route.bridges,
            partial(route.agent_left, self._channel.peer),
            route.charge,
        )
        bridge.open(agent, upstream, up, down, self._turns(special, bridge))
        if route.draining:
            bridge.drain()
