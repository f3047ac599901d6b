"""One listener: a ``Site`` whose channels are ours, and the resources behind it.

``Site`` gives each connection an ``AgentChannel`` and each request a resource: one of the
local endpoints if the target is exactly theirs, else the provider's.
"""

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.web.resource import IResource
from twisted.web.server import Site

from apiproxy.core.errors import InternalError, Overloaded, ProxyError, ShuttingDown
from apiproxy.core.familiar import Familiar
from apiproxy.core.headers import request_id as agents_id, request_kind
from apiproxy.wire.channel import AgentChannel
from apiproxy.wire.local import Awaited, Endpoint, Local
from apiproxy.wire.peers import address_of
from apiproxy.wire.request import AgentRequest
from apiproxy.wire.reverse import ProviderResource
from apiproxy.wire.route import Route

Refused = Callable[[str, str, ProxyError], None]
"""Told of a request refused before it became an exchange: id, provider, error."""


class ProviderSite(Site):
    """The listener of one provider.

    Attributes:
        route: the way to the provider.
        endpoints: what it answers itself, by request target.
        channels: the connections of agents.
        draining: whether nothing new is taken.
    """

    def __init__(
        self,
        route: Route,
        endpoints: Mapping[bytes, Endpoint],
        refused: Refused,
        reactor: object,
    ) -> None:
        self.resource: IResource
        self.use(route)
        self.channels: set[AgentChannel] = set()
        self.draining = False
        self.endpoints = endpoints
        self._refused = refused
        super().__init__(  # type: ignore[no-untyped-call]
            ProviderResource(self), reactor=reactor
        )
        self.noisy = False

    def use(self, route: Route) -> None:
        """Carry what comes from now on by this route."""
        self.route = route
        self.limits = route.limits
        self.deadlines = route.deadlines
        self.familiar = Familiar(request_kind(route.provider.own_slots))

    def startFactory(self) -> None:
        """No access log, and so no clock for one."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def buildProtocol(  # type: ignore[override]  # Twisted wants one of its own
        self, addr: IAddress | None
    ) -> AgentChannel | None:
        """A channel for an agent; none when there are too many, in all or of its address."""
        route = self.route
        if route.census.agents >= route.limits.connections:
            return None
        peer = address_of(addr)
        if peer and route.peers.full(peer, route.limits.peer):
            return None
        return AgentChannel(self, route.seconds, peer)

    # What a channel calls.

    def serve(self, request: AgentRequest) -> None:
        """Give a request to the resource it is for."""
        endpoint = self.endpoints.get(request.head.target)
        if self.draining:
            request.keep = False
        try:
            refusal = self._not_let_in(request)
            if refusal is not None:
                request.keep = False
                self.refuse(request, refusal)
            elif endpoint is not None and request.head.method in (b"GET", b"HEAD"):
                self._answer_locally(request, endpoint)
            else:
                self.resource.render(request)
        except Exception as error:
            self.complain("a request could not be served", error)
            self.refuse(request, InternalError())

    def _not_let_in(self, request: AgentRequest) -> ProxyError | None:
        """Why a web page may have sent this; None for an agent, or a page on the list."""
        visitors, special = self.route.visitors, request.special
        # No browser comes by a Unix socket, and clients put anything into Host there.
        if visitors is not None and request.channel.peer:
            refusal = visitors.refusal(special)
            if refusal is not None:
                return refusal
        if b"origin" in special:
            request.fields += [(b"Origin", value) for value in special[b"origin"]]
        return None

    def _answer_locally(self, request: AgentRequest, endpoint: Endpoint) -> None:
        accept = next(
            (v for name, v in request.fields if name.lower() == b"accept"), None
        )
        local = endpoint(accept)
        if isinstance(local, Deferred):
            Awaited(self, request, local)
        else:
            self.answer(request, local)

    def answer(self, request: AgentRequest, local: Local) -> None:
        """Give a local answer."""
        fields = [
            (b"Content-Type", local.content_type),
            (b"Cache-Control", b"no-store"),
        ]
        request.answer(local.status, fields, local.body)

    def busy(self) -> ProxyError | None:
        """Why nothing new can be taken now, or None."""
        if self.draining:
            return ShuttingDown()
        if self.route.census.live > self.route.limits.exchanges:
            return Overloaded()
        return None

    def refuse(self, request: AgentRequest, error: ProxyError) -> None:
        """Answer a request that never became an exchange."""
        request_id = agents_id(request.special) or self.route.new_id()
        self._refused(request_id, self.route.provider.name, error)
        fields, body = self.route.error_answer(error, request_id)
        request.answer(error.status, fields, body)

    def refuse_head(self, channel: AgentChannel, error: ProxyError) -> None:
        """Answer something that never became a request; the channel closes."""
        request_id = self.route.new_id()
        self._refused(request_id, self.route.provider.name, error)
        fields, body = self.route.error_answer(error, request_id)
        channel.answer_unparsed(error.status, fields, body)

    def later(self, act: Callable[[], None]) -> None:
        """Act in the next turn of the loop."""
        self.reactor.callLater(0, act)

    def channel_made(self, channel: AgentChannel) -> None:
        """An agent connected."""
        self.route.census.agent_came()
        self.route.peers.came(channel.peer)
        self.channels.add(channel)
        self.route.watch.add(channel)

    def channel_lost(self, channel: AgentChannel) -> None:
        """An agent's connection is gone."""
        self.route.agent_left(channel.peer)
        self.channel_given(channel)

    def channel_given(self, channel: AgentChannel) -> None:
        """An agent's connection is a WebSocket now, and still counts."""
        self.channels.discard(channel)
        self.route.watch.remove(channel)

    def complain(self, sentence: str, error: BaseException) -> None:
        """A bug, contained."""
        self.route.complain(sentence, error)

    # Shutdown.

    def drain(self) -> None:
        """Take nothing new; close what is idle."""
        self.draining = self.route.draining = True
        for channel in list(self.channels):
            if channel.idle:
                channel.linger()
            elif channel.request is not None:
                channel.request.keep = False
        for bridge in list(self.route.bridges):
            bridge.drain()

    def abort(self) -> None:
        """End what is still going on."""
        for channel in list(self.channels):
            server = None if channel.request is None else channel.request.server
            if server is not None:
                server.agent_lost(ShuttingDown())
            channel.close()
        for bridge in list(self.route.bridges):
            bridge.abort(ShuttingDown())

    @property
    def quiet(self) -> bool:
        """Whether nothing is going on."""
        return not self.route.bridges and all(channel.idle for channel in self.channels)

    @property
    def empty(self) -> bool:
        """Whether no agent is connected any more."""
        return not self.route.bridges and not self.channels

    def __repr__(self) -> str:
        return (
            f"<ProviderSite {self.route.provider.name}: {len(self.channels)} agents,"
            f" {len(self.route.bridges)} sockets, {self.route.pool!r}>"
        )
