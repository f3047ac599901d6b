"""Pitfalls 12 to 17: slow and broken ends, and guards that only one transport has."""

import hashlib
from typing import Any

from apiproxy.core.errors import EndpointRefused, ProxyError
from apiproxy.core.exchange import Exchange
from apiproxy.core.values import Ask
from tests.kit.http import Malformed
from tests.kit.line import Gone
from tests.kit.provider import (
    Call,
    answer_json,
    chunked,
    counted,
    cut,
    endless,
    silent,
)
from tests.security.stage import WAYS, PitfallCase, Way
from tests.squid.proxy import PROVIDERS

HTTP = [way for way in WAYS if not way.upgrade]
SOCKETS = [way for way in WAYS if way.upgrade]


class Pitfall12SlowEndsTests(PitfallCase):
    """Deadlines for heads, bodies, first bytes, silence and stalls; caps on how many."""

    async def test_a_slow_head(self) -> None:
        """408 when its time is over, however it trickles."""
        await self.put_up({"APIPROXY_HEAD_SECONDS": "0.3"}, tick=0.02)

        async def story(way: Way) -> None:
            agent = await self.agent(way.known.name)
            head = way.head([b"X-Slow: 1"])
            try:
                for at in range(len(head) - 4):
                    agent.write(head[at : at + 1])
                    await self.turn(0.03)
                    if agent.received:
                        break
            except Gone:
                pass
            response = await agent.response()
            self.assert_refused(way, response, 408, "request_timeout")
            await agent.gone()

        await self.every_way(story)
        self.assert_untouched()

    async def test_a_slow_body(self) -> None:
        """One that makes no progress is given up on both sides."""
        await self.put_up({"APIPROXY_BODY_SECONDS": "0.2"}, tick=0.02)

        async def story(way: Way) -> None:
            agent = await self.agent(way.known.name)
            agent.write(way.head([b"Content-Length: 100"]) + b"x")
            response = await agent.response()
            self.assert_refused(way, response, 408, "request_timeout")
            await agent.gone()

        await self.every_way(story, HTTP)
        await self.settled()
        self.assertFalse(any(request.complete for request in self.provider.requests))

    async def test_an_idle_connection(self) -> None:
        """It is closed without a word, whether it ever said something or not."""
        await self.put_up({"APIPROXY_KEEPALIVE_SECONDS": "0.2"}, tick=0.02)

        async def story(way: Way) -> None:
            agent = await self.agent(way.known.name)
            self.assertEqual(await agent.read_all(), b"")

        await self.every_way(story, HTTP)
        self.assert_untouched()

    async def test_a_provider_that_says_nothing(self) -> None:
        """504 to a request, 426 to a handshake."""
        await self.put_up({"APIPROXY_FIRST_BYTE_SECONDS": "0.2"}, tick=0.02)
        self.provider.default = silent()

        async def story(way: Way) -> None:
            response = await self.answered(way)
            status = 426 if way.upgrade else 504
            self.assert_refused(way, response, status, "upstream_timeout")

        await self.every_way(story)

    async def test_an_agent_that_does_not_read(self) -> None:
        """The provider is held back, and after a while the agent is cut off."""
        await self.put_up({"APIPROXY_WRITE_STALL_SECONDS": "0.3"}, tick=0.02)
        self.provider.default = endless(b"x" * 65536)

        async def story(way: Way) -> None:
            agent = await self.agent(way.known.name)
            agent.pause()
            agent.write(way.head(method=b"GET"))
            await self.until(lambda: self.proxy.outcomes, 60)
            agent.resume()
            await agent.gone()

        await self.every_way(story, HTTP[:1])
        (request,) = self.provider.requests
        await self.until(lambda: request.line.reason is not None)
        self.assertLess(request.sent, 64 * 1024 * 1024)

    async def test_there_are_not_too_many(self) -> None:
        """Connections of one address, and exchanges in all; others go on."""
        await self.put_up(
            {"APIPROXY_MAX_PEER_CONNECTIONS": "4", "APIPROXY_MAX_EXCHANGES": "2"}
        )
        self.provider.default = silent()
        way, socket = HTTP[0], SOCKETS[0]
        for each in (way, socket):
            agent = await self.agent(each.known.name)
            agent.write(each.head(method=b"GET"))
        await self.provider.asked(2)
        for each in (way, socket):
            response = await self.answered(each)
            status = 426 if each.upgrade else 503
            self.assert_refused(each, response, status, "too_many_exchanges")
        await self.until(lambda: self.proxy.proxy.census.agents == 2)
        more = [await self.agent("gemini") for _ in range(3)]
        gone = [one for one in more if await self._refused_at_once(one)]
        self.assertEqual(len(gone), 1)

    async def _refused_at_once(self, agent: Any) -> bool:
        try:
            agent.write(HTTP[0].head(method=b"GET", target=b"/health"))
            await agent.response()
        except Gone:
            return True
        return False


class Pitfall13TruncatedAnswerTests(PitfallCase):
    """Upstream loss aborts the agent's connection."""

    async def test_half_an_answer_never_looks_whole(self) -> None:
        """Counted and in chunks, ended by FIN, by RST and in order."""
        await self.put_up()
        for whole in (counted(b"x" * 1000), chunked([b"x" * 500, b"y" * 500])):
            for how in ("close", "fin", "reset"):
                self.provider.default = cut(whole, 600, how)

                async def story(way: Way) -> None:
                    agent = await self.agent(way.known.name)
                    agent.write(way.head(method=b"GET"))
                    with self.assertRaises((Gone, Malformed)):
                        await agent.response()

                await self.every_way(story, HTTP)

    async def test_half_a_message_never_looks_whole(self) -> None:
        """The connection is cut in the middle of the frame, without a Close."""
        await self.put_up()

        async def half(call: Call) -> None:
            call.upgrade(first=b"\x81\x7e\x03\xe8" + b"x" * 600)
            await call.end("fin")

        self.provider.default = half

        async def story(way: Way) -> None:
            agent = await self.agent(way.known.name)
            response = await agent.upgrade(way.known.path)
            self.assertEqual(response.status, 101)
            rest = await agent.read_all()
            self.assertEqual(rest, (b"\x81\x7e\x03\xe8" + b"x" * 600)[: len(rest)])

        await self.every_way(story, SOCKETS)


class Pitfall14EarlyRefusalTests(PitfallCase):
    """Answer, then drain a bounded amount, then close."""

    async def test_the_refusal_arrives_while_the_body_is_still_coming(self) -> None:
        """Ours, and the provider's that has not read the body either."""
        await self.put_up()

        async def story(way: Way) -> None:
            for target in (b"/v1/realtime/client_secrets", b"/v1/../..//x"):
                agent = await self.agent(way.known.name)
                lines = [b"Content-Length: 900000"]
                agent.write(way.head(lines, target=target) + b"x" * 900_000)
                response = await agent.response()
                self.assertIn(response.status, (400, 403))
                self.assertTrue(response.all(b"x-apiproxy-error"))
                agent.end("reset")

        await self.every_way(story, HTTP)
        self.assert_untouched()

    async def test_a_handshakes_refusal_arrives_with_frames_behind_it(self) -> None:
        """As an agent sends that does not wait for the 101."""
        await self.put_up()

        async def story(way: Way) -> None:
            data = way.head(target=b"/v1/realtime/client_secrets") + b"x" * 200_000
            _, response = await self.say(way, data)
            self.assert_refused(way, response, 400, "endpoint_refused")

        await self.every_way(story, SOCKETS)
        self.assert_untouched()

    async def test_what_is_read_for_it_is_bounded(self) -> None:
        """An agent that never stops is cut off."""
        await self.put_up()
        agent = await self.agent()
        agent.write(
            HTTP[0].head([b"Content-Length: 30000000"], target=b"/v1/organization")
        )
        response = await agent.response()
        self.assertEqual(response.status, 403)
        sent = 0
        try:
            while sent < 30_000_000:
                await agent.send(b"x" * 100_000)
                await self.turn(0)
                sent += 100_000
        except Gone:
            pass
        self.assertLess(sent, 20_000_000)


class Pitfall15CredentialAfterTheBodyTests(PitfallCase):
    """Headers are settled before the first byte goes out."""

    timeout = 180

    async def test_an_upload_of_64_mib_in_chunks(self) -> None:
        """The key goes out before the body, and the body arrives to the last byte."""
        await self.put_up({"APIPROXY_MAX_BODY_BYTES": "128MiB"})
        piece = bytes(range(256)) * 1024
        seen: list[tuple[bytes | None, str]] = []

        async def digest(call: Call) -> None:
            before = call.request.get(b"authorization")
            body = await call.body()
            seen.append((before, hashlib.sha256(body).hexdigest()))
            await answer_json({})(call)

        self.provider.default = digest
        agent = await self.agent()
        agent.write(HTTP[0].head([b"Transfer-Encoding: chunked"]))
        for _ in range(256):
            await agent.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        agent.write(b"0\r\n\r\n")
        response = await agent.response()
        self.assertEqual(response.status, 200)
        whole = hashlib.sha256(piece * 256).hexdigest()
        self.assertEqual(seen, [(HTTP[0].known.credential, whole)])

    async def test_the_first_bytes_carry_the_key(self) -> None:
        """On every port: with a body of which a byte has come, and with a handshake."""
        await self.put_up()

        async def story(way: Way) -> None:
            agent = await self.agent(way.known.name)
            lines = [] if way.upgrade else [b"Content-Length: 2"]
            agent.write(way.head(lines) + (b"" if way.upgrade else b"{"))
            await self.until(
                lambda: any(
                    one.get(way.known.header) == way.known.credential
                    and one.upgrade == way.upgrade
                    and one.path == way.known.upstream_path
                    for one in self.provider.requests
                )
            )

        await self.every_way(story)


class _Refusing:
    """A guard that refuses, and notes by which transport each request came."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """No."""
        self.seen.append(exchange.transport)
        return EndpointRefused()


class _Broken:
    """A guard with a bug."""

    def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """Raise."""
        raise RuntimeError("a bug in a guard")


class Pitfall16GuardOnOneTransportTests(PitfallCase):
    """One guard chain, two callers."""

    async def test_a_guard_sees_both(self) -> None:
        """And what it refuses does not leave by either."""
        proxy = await self.put_up()
        refusing = _Refusing()
        for site in proxy.proxy.sites.values():
            site.route.guards = (refusing,)

        async def story(way: Way) -> None:
            response = await self.answered(way)
            status = 400 if way.upgrade else 403
            self.assert_refused(way, response, status, "endpoint_refused")

        await self.every_way(story)
        self.assert_untouched()
        half = len(PROVIDERS)
        self.assertEqual(sorted(refusing.seen), ["http"] * half + ["websocket"] * half)

    async def test_a_guard_that_breaks_refuses(self) -> None:
        """Policy fails closed, by both."""
        proxy = await self.put_up()
        for site in proxy.proxy.sites.values():
            site.route.guards = (_Broken(),)

        async def story(way: Way) -> None:
            response = await self.answered(way)
            status = 400 if way.upgrade else 500
            self.assert_refused(way, response, status, "internal_error")

        await self.every_way(story)
        self.assert_untouched()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), len(WAYS))
        self.proxy.lines[:] = [
            line for line in self.proxy.lines if line not in self.proxy.bugs
        ]


ADMIN = (
    b"/admin",
    b"/config",
    b"/config/update",
    b"/control",
    b"/shutdown",
    b"/reload",
    b"/stop",
    b"/state",
    b"/debug",
    b"/health/",
    b"/health?x",
    b"/Health",
    b"/%68ealth?x",
    b"/metrics/",
    b"/reflect/x",
)


class Pitfall17AdminOnTheAgentsPortTests(PitfallCase):
    """Control socket only."""

    async def test_nothing_of_ours_can_be_changed_here(self) -> None:
        """Whatever is asked for is the provider's; three local answers are read only."""
        await self.put_up()

        async def story(way: Way) -> None:
            for target in ADMIN:
                for method in (b"GET", b"POST", b"PUT")[: 1 if way.upgrade else 3]:
                    response = await self.answered(way, target=target, method=method)
                    self.assertIn(response.status, (101, 200))
            if not way.upgrade:
                for target in (b"/health", b"/reflect", b"/metrics"):
                    for method in (b"POST", b"PUT", b"DELETE", b"PATCH"):
                        await self.answered(way, target=target, method=method)

        await self.every_way(story)
        asked = len(ADMIN) * (3 + 1) + 3 * 4
        self.assertEqual(len(self.provider.requests), asked * len(PROVIDERS))
