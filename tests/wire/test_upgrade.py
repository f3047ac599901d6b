"""A WebSocket's beginning, from the agent's request to the open socket."""

from apiproxy.core import errors
from apiproxy.core.errors import EgressDenied, ProxyError
from apiproxy.core.exchange import Exchange
from apiproxy.core.limits import Limits
from apiproxy.core.values import Ask
from apiproxy.wire.upgrade import upgrade_status
from tests.kit.frames import TEXT, frame
from tests.kit.memory import KEY, Agent, Bench, BenchCase, a_provider, answer, get, head
from tests.kit.sockets import AGENT_ACCEPT, AGENT_KEY, OUR_KEY, switch, upgrade

ASKED = "asked GET /v1/realtime"
FRESH = "forwarded, fresh line"
HELLO = frame(TEXT, b"hello", mask=b"mask")
HI = frame(TEXT, b"hi")


class UpgradeCase(BenchCase):
    def start(
        self, *lines: str, after: bytes = b"", **how: object
    ) -> tuple[Bench, Agent]:
        """An agent has asked for a WebSocket."""
        bench = self.bench(**how)
        agent = bench.agent()
        agent.send(upgrade("/v1/realtime", *lines) + after)
        return bench, agent


class AcceptedTests(UpgradeCase):
    """Upstream first, then the agent."""

    def test_the_handshake_that_goes_upstream(self) -> None:
        """A key of our own, the credential, the offers; nothing of the agent's secrets."""
        bench, agent = self.start(
            "Authorization: Bearer AGENT",
            "OpenAI-Beta: realtime=v1",
            "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.AGENT, v2",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-odd",
            "Origin: http://agent",
        )
        self.assertEqual(
            bench.line().text,
            "GET /v1/realtime HTTP/1.1\n"
            "Host: api.acme.example\n"
            "OpenAI-Beta: realtime=v1\n"
            "Origin: http://agent\n"
            "x-api-key: sk-the-real-key\n"
            "Upgrade: websocket\n"
            "Connection: Upgrade\n"
            "Sec-WebSocket-Version: 13\n"
            f"Sec-WebSocket-Key: {OUR_KEY.decode()}\n"
            "Sec-WebSocket-Protocol: realtime, v2\n"
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\n"
            "x-request-id: id-1\n"
            "\n",
        )
        self.assertEqual(agent.received, b"")

    def test_the_101_the_agent_gets(self) -> None:
        """Exactly ``Connection: Upgrade``, its own key accepted, repeats kept."""
        bench, agent = self.start("Sec-WebSocket-Protocol: a, b")
        bench.line().send(
            switch(
                "Sec-WebSocket-Protocol: b",
                "Set-Cookie: 1",
                "Set-Cookie: 2",
                "x-request-id: theirs",
                "Server: acme",
                "Strange: caf\xe9",
                "Content-Length: 0",
            )
        )
        lines = agent.text.split("\n")
        self.assertEqual(lines[0], "HTTP/1.1 101 Switching Protocols")
        self.assertEqual(
            sorted(line.lower() for line in lines[1:] if line),
            sorted(
                [
                    "connection: upgrade",
                    f"sec-websocket-accept: {AGENT_ACCEPT.lower()}",
                    "sec-websocket-protocol: b",
                    "server: acme",
                    "set-cookie: 1",
                    "set-cookie: 2",
                    "upgrade: websocket",
                    "x-request-id: id-1",
                    "x-upstream-request-id: theirs",
                ]
            ),
        )
        self.assertIn("Connection: Upgrade", lines)
        self.assertEqual(bench.told, [ASKED, FRESH, "answering 101"])
        self.assertNotIn(KEY, agent.received)

    def test_nothing_is_agreed_that_was_not_offered(self) -> None:
        """Neither a subprotocol nor an extension."""
        _, agent = self.start()
        bench, agent = self.start()
        bench.line().send(switch())
        self.assertNotIn("Sec-WebSocket-Protocol", agent.text)
        self.assertNotIn("Sec-WebSocket-Extensions", agent.text)

    def test_deflate_is_agreed_in_upstreams_words(self) -> None:
        """The agent gets exactly what upstream chose."""
        bench, agent = self.start("Sec-WebSocket-Extensions: permessage-deflate")
        words = "permessage-deflate; server_no_context_takeover"
        bench.line().send(switch(f"Sec-WebSocket-Extensions: {words}"))
        self.assertIn(f"\nSec-WebSocket-Extensions: {words}\n", agent.text)

    def test_deflate_may_be_left_out(self) -> None:
        """Then the agent gets none either."""
        bench, agent = self.start("Sec-WebSocket-Extensions: permessage-deflate")
        bench.line().send(switch())
        self.assertNotIn("Sec-WebSocket-Extensions", agent.text)
        self.assertEqual(agent.state, "open")

    def test_bytes_behind_the_heads_are_not_lost(self) -> None:
        """On either leg, in the same segment."""
        bench, agent = self.start(after=HELLO)
        line = bench.line()
        self.assertNotIn(b"hello", line.take())
        line.send(switch() + HI)
        self.assertEqual(line.received, HELLO)
        self.assertTrue(agent.received.endswith(b"\r\n\r\n" + HI))
        agent.send(HELLO)
        line.send(HI)
        self.assertEqual(line.received, HELLO * 2)
        self.assertTrue(agent.received.endswith(b"\r\n\r\n" + HI * 2))

    def test_a_warm_line_is_used_and_gone_from_the_pool(self) -> None:
        """A socket has its connection for itself."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get())
        bench.line().send(answer())
        agent.send(upgrade())
        bench.line().send(switch())
        self.assertEqual(len(bench.endpoint.lines), 1)
        self.assertEqual((bench.pool.idle, bench.pool.busy), (0, 0))
        self.assertEqual(bench.site.channels, set())
        self.assertEqual(len(bench.site.route.bridges), 1)

    def test_a_stale_warm_line_is_replaced(self) -> None:
        """As for any request."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get())
        bench.line().send(answer())
        agent.send(upgrade())
        bench.line().leave()
        self.assertEqual(bench.retries, 1)
        bench.line().send(switch())
        self.assertIn(b"HTTP/1.1 101 ", agent.received)

    def test_interim_answers_before_the_101(self) -> None:
        """Do not disturb it."""
        bench, agent = self.start()
        bench.line().send(head("103 Early Hints") + switch() + HI)
        self.assertTrue(agent.received.endswith(HI))


class RefusedUpstreamTests(UpgradeCase):
    """The provider says no: an ordinary answer, which reaches the agent whole."""

    def test_status_lines_and_body(self) -> None:
        """Whatever they are; the connection is kept."""
        bench, agent = self.start()
        bench.line().send(
            answer(b'{"no":1}', "401 Unauthorized", "WWW-Authenticate: Bearer", "X: 1")
        )
        self.assertEqual(
            agent.text,
            "HTTP/1.1 401 Unauthorized\nContent-Length: 8\nWWW-Authenticate: Bearer\n"
            'X: 1\nx-request-id: id-1\n\n{"no":1}',
        )
        self.assertEqual((agent.state, bench.pool.idle), ("open", 1))
        self.assert_over(bench, [ASKED, FRESH, "answering 401", "closed 401"])

    def test_a_200_is_a_refusal_too(self) -> None:
        """Only 101 opens a socket."""
        bench, agent = self.start()
        bench.line().send(answer(b"hi"))
        self.assertTrue(agent.text.startswith("HTTP/1.1 200 OK\n"))
        self.assertEqual(bench.site.route.bridges, set())


class Bad101Tests(UpgradeCase):
    """A 101 that is not what RFC 6455 wants: 426, so that clients fall back to HTTP."""

    def assert_bad(self, answered: bytes, *lines: str) -> None:
        bench, agent = self.start(*lines)
        bench.line().send(answered)
        self.assert_error(agent, 426, "upstream_malformed", closing=True)
        self.assertEqual(agent.state, "ended")
        self.assertEqual(bench.line().state, "aborted")
        self.assert_over(bench, [ASKED, FRESH, "closed 426 upstream_malformed"])
        self.assertEqual(bench.site.route.bridges, set())

    def test_the_handshake(self) -> None:
        """Wrong or missing accept, upgrade, connection."""
        good = switch()
        for answered in (
            switch(accepted="AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            switch(accepted="caf\xe9"),
            head("101 x", "Upgrade: websocket", "Connection: Upgrade"),
            good.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
            good.replace(b"Upgrade: websocket\r\n", b""),
            good.replace(b"Connection: Upgrade", b"Connection: close"),
            good.replace(b"Connection: Upgrade\r\n", b""),
            good[:-2] + b"Sec-WebSocket-Accept: x\r\n\r\n",
        ):
            self.assert_bad(answered)

    def test_a_subprotocol_nobody_offered(self) -> None:
        """Or two of them."""
        self.assert_bad(switch("Sec-WebSocket-Protocol: a"))
        self.assert_bad(
            switch("Sec-WebSocket-Protocol: c"), "Sec-WebSocket-Protocol: a,b"
        )
        self.assert_bad(
            switch("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"),
            "Sec-WebSocket-Protocol: a, b",
        )

    def test_an_extension_nobody_offered(self) -> None:
        """Deflate without an offer, another than deflate, parameters nobody knows."""
        offer = "Sec-WebSocket-Extensions: permessage-deflate"
        self.assert_bad(switch("Sec-WebSocket-Extensions: permessage-deflate"))
        self.assert_bad(switch("Sec-WebSocket-Extensions: x-odd"), offer)
        self.assert_bad(
            switch("Sec-WebSocket-Extensions: permessage-deflate; odd=1"), offer
        )
        self.assert_bad(
            switch(
                "Sec-WebSocket-Extensions: permessage-deflate",
                "Sec-WebSocket-Extensions: permessage-deflate",
            ),
            offer,
        )


class OurRefusalTests(UpgradeCase):
    """What we refuse ourselves, by the status that makes clients do the best."""

    def test_each_error_has_its_status(self) -> None:
        """426 where trying by HTTP may help, 400 or 401 where nothing does."""
        statuses = {
            kind.code: upgrade_status(kind())
            for kind in vars(errors).values()
            if isinstance(kind, type) and issubclass(kind, ProxyError)
        }
        self.assertEqual(set(statuses.values()), {400, 401, 413, 426, 429, 431, 499})
        for code, status in (
            ("websocket_unavailable", 426),
            ("too_many_exchanges", 426),
            ("shutting_down", 426),
            ("egress_timeout", 426),
            ("upstream_reset", 426),
            ("malformed_request", 400),
            ("egress_denied", 400),
            ("provider_not_configured", 400),
            ("upstream_tls_failed", 400),
        ):
            self.assertEqual(statuses[code], status, code)

    def test_sockets_can_be_switched_off(self) -> None:
        """426 with ``Connection: close``; HTTP goes on as before."""
        bench, agent = self.start(websocket=False)
        self.assert_error(agent, 426, "websocket_unavailable", closing=True)
        self.assertEqual(bench.endpoint.lines, [])
        self.assert_over(bench, [ASKED, "closed 426 websocket_unavailable"])
        other = bench.agent()
        other.send(get())
        self.assertEqual(len(bench.endpoint.lines), 1)

    def test_no_credential(self) -> None:
        """400, for no fallback would help."""
        _, agent = self.start(provider=a_provider(credential=None))
        self.assert_error(agent, 400, "provider_not_configured", closing=True)

    def test_a_guard_that_refuses(self) -> None:
        """It is asked about sockets as it is about requests."""

        class No:
            def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
                assert ask.upgrade
                assert exchange.transport == "websocket"
                return EgressDenied()

        bench, agent = self.start(guards=[No()])
        self.assert_error(agent, 400, "egress_denied", closing=True)
        self.assertEqual(bench.endpoint.lines, [])

    def test_a_dial_that_fails(self) -> None:
        """426 where it may be tried again."""
        bench = self.bench()
        bench.endpoint.failing = TimeoutError()
        agent = bench.agent()
        agent.send(upgrade())
        self.assert_error(agent, 426, "egress_timeout", closing=True)

    def test_the_provider_hangs_up(self) -> None:
        """Before its 101."""
        bench, agent = self.start()
        bench.line().leave()
        self.assert_error(agent, 426, "upstream_reset", closing=True)

    def test_the_provider_is_silent(self) -> None:
        """As long as for any request."""
        bench, agent = self.start()
        bench.wait(22)
        self.assert_error(agent, 426, "upstream_timeout", closing=True)
        self.assertEqual(bench.line().state, "aborted")

    def test_the_agent_leaves_before_the_101(self) -> None:
        """Upstream is aborted."""
        bench, agent = self.start()
        agent.leave()
        self.assertEqual(bench.line().state, "aborted")
        self.assert_over(bench, [ASKED, FRESH, "closed 499 agent_gone"])

    def test_handshakes_that_are_none(self) -> None:
        """400 before anything leaves."""
        good = upgrade()
        for sent in (
            good.replace(b"GET", b"PUT", 1),
            good.replace(b"HTTP/1.1", b"HTTP/1.0", 1),
            good.replace(AGENT_KEY.encode(), b"short"),
            good.replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-Kex"),
            good.replace(b"Version: 13", b"Version: 8"),
            good.replace(b"Version: 13", b"Version: 13, 8"),
            good[:-2] + f"Sec-WebSocket-Key: {AGENT_KEY}\r\n\r\n".encode(),
            good[:-2] + b"Content-Length: 1\r\n\r\nx",
        ):
            bench = self.bench()
            agent = bench.agent()
            agent.send(sent)
            self.assertIn(b"HTTP/1.1 400 Bad Request\r\n", agent.received)
            self.assertIn(b"x-apiproxy-error: malformed_request", agent.received)
            self.assertEqual((bench.endpoint.lines, bench.told), ([], []))

    def test_another_protocol_is_not_carried(self) -> None:
        """``Upgrade: h2c`` is dropped, and the request carried as it is."""
        bench = self.bench()
        agent = bench.agent()
        agent.send(get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
        self.assertNotIn(b"pgrade", bench.line().received)
        bench.line().send(answer(b"ok"))
        self.assertTrue(agent.received.endswith(b"ok"))

    def test_more_exchanges_than_we_take(self) -> None:
        """A socket is an exchange as long as it is open."""
        bench = self.bench(limits=Limits(exchanges=1))
        agent = bench.agent()
        agent.send(upgrade())
        bench.line().send(switch())
        other = bench.agent()
        other.send(upgrade())
        self.assert_error(other, 426, "too_many_exchanges", closing=True)
        agent.leave()
        self.assertEqual(bench.census.live, 0)

    def test_a_bug_behind_the_101(self) -> None:
        """Both sides are cut off and the exchange is over."""
        bench = Bench()

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        bench.site.route.handshakes.answer = broken  # type: ignore[method-assign, assignment]
        agent = bench.agent()
        agent.send(upgrade())
        bench.line().send(switch())
        self.assertEqual((agent.state, bench.line().state), ("aborted", "aborted"))
        self.assertEqual(len(bench.complaints), 1)
        self.assertEqual((bench.census.live, bench.pool.busy), (0, 0))
        self.assertEqual(bench.site.channels, set())

    def test_a_bug_before_the_101(self) -> None:
        """400 for the agent, for nothing has been said yet."""
        bench = Bench()

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        bench.site.route.handshakes.judge = broken  # type: ignore[method-assign, assignment]
        agent = bench.agent()
        agent.send(upgrade())
        bench.line().send(switch())
        self.assert_error(agent, 400, "internal_error", closing=True)
        self.assertEqual(bench.line().state, "aborted")
        self.assertEqual(bench.census.live, 0)
