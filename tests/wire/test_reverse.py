"""From a request to an exchange under way."""

import re

from apiproxy.core.errors import NotConfigured, Overloaded, ProxyError
from apiproxy.core.exchange import Exchange
from apiproxy.core.values import Ask, Fields
from apiproxy.policy.callers import Caller, Callers
from apiproxy.policy.tokens import Verifier, digest
from apiproxy.providers.base import Provider
from apiproxy.wire.reverse import ProviderResource
from tests.kit.memory import Bench, BenchCase, a_provider, answer, get, post


class Recorder:
    """A guard that keeps what it was shown."""

    def __init__(self, refusal: ProxyError | None = None) -> None:
        self.asks: list[Ask] = []
        self.refusal = refusal

    def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        self.asks.append(ask)
        return self.refusal


class RequestTests(BenchCase):
    """What is read of a request."""

    def test_it_is_a_reverse_proxy_resource(self) -> None:
        """For one host, and the end of the path."""
        # Not at the top: its first import warns, and ours is the one that expects it.
        from twisted.web.proxy import ReverseProxyResource

        resource = self.bench().site.resource
        assert isinstance(resource, ProviderResource)
        self.assertIsInstance(resource, ReverseProxyResource)
        self.assertEqual((resource.host, resource.port), ("api.acme.example", 443))
        self.assertTrue(resource.isLeaf)

    def test_guards_see_what_goes_upstream(self) -> None:
        """The canonical target, the lines that pass, no credential."""
        guard = Recorder()
        bench = self.bench(
            guards=[guard],
            provider=a_provider(base_path=b"/api", defaults=[(b"V", b"1")]),
        )
        agent = bench.agent()
        agent.send(post("/a/../%62?key=x&c=d", b"12", "Authorization: x", "A: b"))
        self.assertEqual(
            guard.asks,
            [
                Ask(
                    method=b"POST",
                    target=b"/api/b?c=d",
                    path=b"/api/b",
                    fields=[(b"A", b"b"), (b"V", b"1")],
                    length=2,
                )
            ],
        )
        self.assertEqual(bench.told[0], "asked POST /a/../%62")
        self.assertIn(b"POST /api/b?c=d HTTP/1.1\r\n", bench.line().received)
        bench.line().send(answer())
        agent.send(
            post("/", b"", "Transfer-Encoding: chunked").replace(
                b"Content-Length: 0\r\n", b""
            )
        )
        self.assertIsNone(guard.asks[-1].length)

    def test_an_agents_own_line_beats_a_default(self) -> None:
        """In any case."""
        bench = self.bench(provider=a_provider(defaults=[(b"V", b"1")]))
        bench.agent().send(get("/", "v: 2"))
        self.assertIn(b"\r\nv: 2\r\n", bench.line().received)
        self.assertNotIn(b"V: 1", bench.line().received)

    def test_targets_that_could_mean_another_host(self) -> None:
        """400, and nothing leaves."""
        for target in (
            "//evil.example/x",
            "http://evil.example/x",
            ".evil.example/x",
            "@evil.example/",
            "/\\evil.example",
            "*",
            "/a/%2e%2e%2fb",
            "/a#b",
        ):
            bench = self.bench()
            agent = bench.agent()
            agent.send(get(target))
            self.assert_error(agent, 400, "bad_target")
            self.assertEqual(bench.endpoint.lines, [])
            self.assertEqual((bench.refusals, bench.told), (["bad_target"], []))

    def test_a_slash_too_many_where_the_provider_knows_of_it(self) -> None:
        """It is dropped, and guards see what goes upstream; elsewhere it is refused."""
        guard = Recorder()
        provider = a_provider(doubled=re.compile(rb"//ws/a"))
        bench = self.bench(guards=[guard], provider=provider)
        bench.agent().send(get("//ws/a?b=c"))
        (ask,) = guard.asks
        self.assertEqual((ask.target, ask.path), (b"/ws/a?b=c", b"/ws/a"))
        self.assertIn(b"GET /ws/a?b=c HTTP/1.1\r\n", bench.line().received)
        agent = bench.agent()
        agent.send(get("//ws/b"))
        self.assert_error(agent, 400, "bad_target")
        self.assertEqual(len(guard.asks), 1)

    def test_methods_that_are_never_carried(self) -> None:
        """405; the connection is kept."""
        for method in ("CONNECT", "TRACE", "TRACK"):
            bench = self.bench()
            agent = bench.agent()
            agent.send(get(method=method))
            self.assert_error(agent, 405, "method_refused")
            self.assertEqual(agent.state, "open")

    def test_methods_nobody_knows_are_carried(self) -> None:
        """They are the provider's business."""
        bench = self.bench()
        bench.agent().send(get(method="PROPFIND"))
        self.assertTrue(bench.line().received.startswith(b"PROPFIND /v1/models "))


class RefusalTests(BenchCase):
    """Requests that become exchanges and go nowhere."""

    def test_no_credential(self) -> None:
        """403 names the setting; the body is thrown away."""
        bench = self.bench(provider=a_provider(credential=None))
        agent = bench.agent()
        agent.send(post("/", b"body"))
        self.assert_error(agent, 403, "provider_not_configured")
        self.assertIn(b"ACME_API_KEY", agent.received)
        self.assert_over(bench, ["asked POST /", "closed 403 provider_not_configured"])
        self.assertEqual(agent.state, "open")

    def test_no_credential_comes_before_the_guards(self) -> None:
        """A guard may cost something."""
        guard = Recorder(Overloaded())
        bench = self.bench(provider=a_provider(credential=None), guards=[guard])
        agent = bench.agent()
        agent.send(get())
        self.assert_error(agent, 403, NotConfigured.code)
        self.assertEqual(guard.asks, [])

    def test_a_refusal_bears_the_agents_own_id(self) -> None:
        """Also when the request never became an exchange."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get("//evil", "x-request-id: mine-1"))
        self.assertIn(b"x-request-id: mine-1\r\n", agent.received)

    def test_the_first_guard_that_refuses(self) -> None:
        """The others are not asked."""
        guards = [Recorder(), Recorder(Overloaded()), Recorder()]
        bench = self.bench(guards=guards)
        agent = bench.agent()
        agent.send(get())
        self.assert_error(agent, 503, "too_many_exchanges")
        self.assertEqual([len(guard.asks) for guard in guards], [1, 1, 0])

    def test_a_guard_that_breaks_refuses(self) -> None:
        """Policy fails closed."""

        class Broken:
            def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
                raise ZeroDivisionError

        bench = Bench(guards=[Broken()])
        agent = bench.agent()
        agent.send(get())
        self.assert_error(agent, 500, "internal_error")
        self.assertEqual(bench.endpoint.lines, [])
        self.assertEqual(len(bench.complaints), 1)

    def test_a_provider_that_breaks(self) -> None:
        """500, whether it breaks before or after the exchange began."""

        class Kept(Provider):
            def kept(self, fields: Fields) -> Fields:
                raise ZeroDivisionError

        class Configured(Provider):
            def not_configured(self) -> NotConfigured | None:
                raise ZeroDivisionError

        for kind in (Kept, Configured):
            base = a_provider()
            names = ("name", "title", "port", "host", "dialect", "credential")
            provider = kind(**{name: getattr(base, name) for name in names})
            bench = Bench(provider=provider)
            agent = bench.agent()
            agent.send(get())
            self.assert_error(agent, 500, "internal_error")
            self.assertEqual(len(bench.complaints), 1)
            self.assertEqual(bench.census.live, 0)

    def test_callers(self) -> None:
        """Nobody without a token; who has one is named in the exchange."""
        token = b"sk-" + b"t" * 48
        caller = Caller(name="ci", verifiers=(Verifier.of(token),))
        bench = Bench()
        bench.site.route.callers = Callers([caller], bench.clock.seconds)
        agent = bench.agent()
        agent.send(get("/v1/models", "X-Api-Key: sk-other"))
        self.assert_error(agent, 401, "caller_unknown")
        self.assertEqual((bench.endpoint.lines, bench.story.exchanges), ([], []))
        agent.send(get("/v1/models?key=" + token.decode()))
        (exchange,) = bench.story.exchanges
        self.assertEqual(
            (exchange.caller, exchange.grant), ("ci", caller.grant(digest(token)))
        )
        self.assertNotIn(token, bench.line().received)
