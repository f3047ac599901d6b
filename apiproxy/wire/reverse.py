"""The resource behind a listener: from a request to an exchange under way."""

import typing
import warnings

from twisted.web.server import NOT_DONE_YET

from apiproxy.core.errors import (
    InternalError,
    MethodRefused,
    ProxyError,
    WebSocketUnavailable,
)
from apiproxy.core.exchange import Exchange
from apiproxy.core.grant import Grant
from apiproxy.core.handshake import check_handshake
from apiproxy.core.head import CHUNKED
from apiproxy.core.headers import request_id
from apiproxy.core.memo import Memo
from apiproxy.core.presented import presented
from apiproxy.core.target import split_target, upstream_target
from apiproxy.core.values import Ask
from apiproxy.wire.entrance import Entrance
from apiproxy.wire.relay import Relay
from apiproxy.wire.request import AgentRequest
from apiproxy.wire.route import Route
from apiproxy.wire.upgrade import Upgrade

with warnings.catch_warnings():  # that module imports what its own package deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from twisted.web.proxy import ReverseProxyResource

_QUERY = ord("?")  # bytes are searched for a number in a tenth of the time
_REFUSED_METHODS = frozenset({b"CONNECT", b"TRACE", b"TRACK"})


class Listener(typing.Protocol):
    """What the resource needs of its site."""

    route: Route

    def busy(self) -> ProxyError | None:
        """Why nothing new can be taken now, or None."""

    def refuse(self, request: AgentRequest, error: ProxyError) -> None:
        """Answer a request that never became an exchange."""


class ProviderResource(ReverseProxyResource):
    """Everything on a listener that is not a local endpoint."""

    isLeaf = True

    def __init__(self, listener: Listener) -> None:
        provider = listener.route.provider
        super().__init__(  # type: ignore[no-untyped-call]
            provider.host, provider.host_port, b"", reactor=None
        )
        self._listener = listener
        self._base_path = provider.base_path
        self._targets = Memo(self._target)

    def render(self, request: AgentRequest) -> int:
        """Begin the exchange that this request asks for, or refuse it."""
        route = self._listener.route
        try:
            # Without callers nobody is asked who it is.
            grant = None if route.callers is None else self._admitted(route, request)
            ask = self._read(request)
        except ProxyError as error:
            self._listener.refuse(request, error)
            return NOT_DONE_YET
        exchange = route.exchange(
            request_id(request.special) or route.new_id(),
            ask.method,
            request.head.target.partition(b"?")[0],
            websocket=ask.upgrade,
            grant=grant,
        )
        kind = Upgrade if ask.upgrade else Relay
        relay = kind(route, request, exchange, ask)
        try:
            refusal = self._refusal(route, exchange, ask)
            if refusal is None:
                self._begin(route, request, ask, relay)
            else:
                relay.refuse(refusal)
        except Exception as error:
            route.complain("an exchange could not begin", error)
            relay.refuse(InternalError())
        return NOT_DONE_YET

    def _begin(
        self, route: Route, request: AgentRequest, ask: Ask, relay: Relay
    ) -> None:
        """Send it on its way, or to those who have to see it whole."""
        metering = route.metering
        if metering is None:
            relay.start()
            return
        if not metering.rules_over(relay.exchange):
            relay.start(metering.passage(relay.exchange, ask))
            return
        refusal = None
        if metering.rates.enabled:
            refusal = metering.limit(relay.exchange, ask.length or 0)
        refusal = refusal or metering.uncounted(relay.exchange, ask)
        if refusal is not None:
            relay.refuse(refusal)
        elif ask.upgrade:  # each message on a socket is judged
            relay.start()
        elif metering.gates(relay.exchange) and metering.asks(ask):
            Entrance(route, metering, request, ask, relay).start()
        else:
            relay.start(metering.passage(relay.exchange, ask))

    def _refusal(self, route: Route, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """Why this must not leave, or None."""
        return (
            self._listener.busy()
            or route.provider.not_configured()
            or (WebSocketUnavailable() if ask.upgrade and not route.websocket else None)
            or exchange.ask(ask, route.guards)
        )

    def _admitted(self, route: Route, request: AgentRequest) -> Grant:
        """What whoever asks may do.

        Raises:
            AccessRefused: it may not do anything here.
        """
        assert route.callers is not None
        query = split_target(request.head.target)[1]
        keys = presented(request.special, query, route.provider.own_slots)
        return route.callers.admit(keys, route.provider.name)

    def _target(self, target: bytes) -> tuple[bytes, bytes]:
        """The target for upstream, and its path."""
        doubled = self._listener.route.provider.doubled
        target = upstream_target(target, self._base_path, doubled)
        return target, split_target(target)[0]

    def _read(self, request: AgentRequest) -> Ask:
        """What the agent asks of the provider.

        Raises:
            ProxyError: something that no provider should be asked.
        """
        head, provider = request.head, self._listener.route.provider
        if head.method.upper() in _REFUSED_METHODS:
            raise MethodRefused
        if provider.base_path != self._base_path:  # a new configuration is in force
            self._base_path = provider.base_path
            self._targets.clear()
        # A query might hold a secret, and is not remembered.
        remembered = _QUERY not in head.target
        spell = self._targets.__getitem__ if remembered else self._target
        target, path = spell(head.target)
        upgrade = request.wants_websocket
        if upgrade:
            check_handshake(head.method, head.minor, request.length, request.special)
        fields = provider.kept(request.fields)
        added = provider.additions(head.method, path, fields)
        return Ask(
            head.method,
            target,
            path,
            fields + added if added else fields,
            None if request.length == CHUNKED else request.length,
            upgrade,
        )
