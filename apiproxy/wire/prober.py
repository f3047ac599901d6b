"""Our own small requests to providers, by treq: whether a key is accepted.

They take the same way as the agents' requests, through the egress proxy and verified TLS,
but not the same lines. treq is told not to follow redirects, because it would carry some
credential headers along to another host.
"""

from collections.abc import Callable

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from apiproxy.core.egress import EgressProxy
from apiproxy.providers.base import Probe, Provider
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.tunnel import within
from apiproxy.wire.ways import Ways

_SECONDS = 15.0


@implementer(IAgentEndpointFactory)
class _OneWay:
    """An endpoint factory that leads to one provider, whatever the URL says."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._endpoint


class Prober:
    """Sends providers their probes."""

    def __init__(
        self,
        reactor: Reactor,
        ways: Ways,
        proxy_for: Callable[[Provider], EgressProxy | None],
    ) -> None:
        """Nothing is asked yet.

        Args:
            reactor: provides time.
            ways: leads to providers.
            proxy_for: the egress proxy on the way to a provider, if any.
        """
        self._reactor = reactor
        self._ways = ways
        self._proxy_for = proxy_for

    def ask(self, provider: Provider, probe: Probe) -> Deferred[int]:
        """Send a provider its probe, with the credential.

        Returns:
            The status of the answer.

        Errors:
            what ``wire.failures`` translates, and what ``twisted.web.client`` fails with.
        """
        story = Deferred.fromCoroutine(self._ask(provider, probe))
        return within(_SECONDS, self._reactor, story)

    async def _ask(self, provider: Provider, probe: Probe) -> int:
        way = self._ways.to(provider, self._proxy_for(provider))
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        agent = Agent.usingEndpointFactory(self._reactor, _OneWay(way), pool)
        headers = Headers()
        for name, value in probe.fields:
            headers.addRawHeader(name, value)
        credential = provider.credential_for(probe.method, probe.path)
        field = None if credential is None else credential.field()
        if field is not None:
            headers.addRawHeader(*field)
        response = await HTTPClient(agent).request(
            probe.method.decode("ascii"),
            b"https://%b%b" % (provider.authority, probe.path),
            headers=headers,
            data=probe.body or None,
            allow_redirects=False,
            unbuffered=True,
        )
        await response.collect(lambda data: None)
        return int(response.code)
