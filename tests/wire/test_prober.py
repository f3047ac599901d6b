"""What our own calls to providers do, and what they never do."""

from typing import cast

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.limits import Deadlines
from apiproxy.core.values import Secret
from apiproxy.credentials.static import StaticSource
from apiproxy.providers.base import (
    Credential,
    Probe,
    Provider as ProviderValue,
)
from apiproxy.providers.dialects import OpenAIDialect
from apiproxy.wire.failures import translate_dial
from apiproxy.wire.prober import Prober
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.trust import trust
from apiproxy.wire.ways import Ways
from tests.kit.case import LoopbackCase
from tests.kit.memory import a_provider
from tests.kit.provider import Provider, counted, redirect
from tests.kit.tls import authority
from tests.wire.test_tunnel import Names


class PatienceTests(SynchronousTestCase):
    """A call that gets no answer."""

    def test_it_ends_in_a_timeout(self) -> None:
        """Also where it hangs in the search for a name; it is not taken for a stop."""
        reactor = MemoryReactorClock()
        reactor.installNameResolver(Names())
        ways = Ways(reactor, trust(), Deadlines(dial=100))
        prober = Prober(cast(Reactor, reactor), ways, lambda provider: None)
        calling = prober.ask(a_provider(), Probe(b"GET", b"/v1/models"))
        reactor.advance(14.9)
        self.assertNoResult(calling)
        reactor.advance(0.2)
        error = self.failureResultOf(calling).value
        assert error is not None
        self.assertEqual(
            translate_dial(error, tunnelled=False).code, "upstream_timeout"
        )
        self.assertEqual(reactor.getDelayedCalls(), [])


class ProberTests(LoopbackCase):
    """The real way: TLS on loopback."""

    async def opened(self) -> None:
        """Start the provider, and make what is tested."""
        identity = authority().identity()
        self.upstream = await self.started(Provider(self.reactor, identity.options()))
        reactor = cast(Reactor, self.reactor)
        ways = Ways(reactor, trust(str(authority().pem)), Deadlines())
        self.prober = Prober(reactor, ways, lambda provider: None)

    def provider(self, key: str | None = "sk-real") -> ProviderValue:
        source = StaticSource(None if key is None else Secret(key.encode()))
        return ProviderValue(
            name="openai",
            title="OpenAI",
            port=None,
            host="localhost",
            host_port=self.upstream.port,
            dialect=OpenAIDialect(),
            credential=Credential(b"Authorization", b"Bearer ", source),
        )

    async def test_the_credential_goes_along(self) -> None:
        """A probe is sent with the key, its own lines and its body."""
        await self.opened()
        self.upstream.on(b"/v1/messages", counted(b"{}", status=400))
        probe = Probe(b"POST", b"/v1/messages", b"{}", ((b"x-version", b"1"),))
        status = await self.prober.ask(self.provider(), probe)
        self.assertEqual(status, 400)
        [request] = self.upstream.requests
        self.assertIn((b"Authorization", b"Bearer sk-real"), request.fields)
        self.assertIn(b"x-version", [name.lower() for name, _ in request.fields])

    async def test_redirects_are_not_followed(self) -> None:
        """A redirect is an answer like any other, so no key goes elsewhere."""
        await self.opened()
        target = b"https://localhost:%d/elsewhere" % self.upstream.port
        self.upstream.on(b"/v1/models", redirect(target))
        probe = Probe(b"GET", b"/v1/models")
        status = await self.prober.ask(self.provider(None), probe)
        self.assertEqual(status, 302)
        self.assertEqual([r.path for r in self.upstream.requests], [b"/v1/models"])
