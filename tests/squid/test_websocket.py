"""WebSockets through Squid: everything from end to end, and all the ways they close."""

import secrets
from collections.abc import Sequence
from functools import partial

from tests.kit.agent import Agent, SocketAgent
from tests.kit.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_payload,
    frame,
)
from tests.kit.provider import (
    Behaviour,
    Call,
    answer_json,
    by_hand,
    chunked,
    empty,
    raw,
    redirect,
    websocket,
)
from tests.squid.proxy import OPENAI, PROVIDERS, SquidCase, about, hashed, hold

_MiB = 1024 * 1024


class ConversationTests(SquidCase):
    async def test_messages_are_echoed(self) -> None:
        """Text and binary go both ways on every port."""
        await self.stage()
        self.provider.default = websocket()
        for known in PROVIDERS:
            with about(known.name):
                socket = await self.socket(known)
                for message in (
                    "",
                    "text",
                    "ünïcödé",
                    b"\x00\xff" * 1000,
                    "x" * 70_000,
                ):
                    socket.send(message)
                    self.assertEqual(await socket.message(), message)
                socket.end(1000, "done")
                closed = await socket.ended()
                self.assertEqual((closed.clean, closed.code), (True, 1000))
        line = await self.outcome(len(PROVIDERS))
        self.assertEqual(
            (line["event"], line["status"]), ("websocket_upgrade_complete", 101)
        )
        self.assertEqual(line["close_code"], 1000)

    async def test_a_subprotocol_is_agreed_on_end_to_end(self) -> None:
        """The provider chooses among what the agent has offered."""
        await self.stage()
        self.provider.default = websocket(protocols=["realtime"])
        for known in PROVIDERS:
            with about(known.name):
                socket = await self.socket(known, protocols=["other", "realtime"])
                assert socket.response is not None
                self.assertEqual(socket.response.protocol, "realtime")
                socket = await self.socket(known, protocols=["other"])
                assert socket.response is not None
                self.assertIsNone(socket.response.protocol)

    async def test_compression_is_agreed_on_end_to_end(self) -> None:
        """permessage-deflate is the ends' business, and so are their frames."""
        await self.stage()
        for known in PROVIDERS:
            for offered in (True, False):
                for accepted in (True, False):
                    with about((known.name, offered, accepted)):
                        self.provider.default = websocket(deflate=accepted)
                        socket = await self.socket(known, deflate=offered)
                        far = self.provider.sockets[-1]
                        agreed = offered and accepted
                        self.assertEqual(
                            (socket.deflate, far.deflate), (agreed, agreed)
                        )
                        for message in ("a" * 100_000, b"b" * 100_000, "last"):
                            socket.send(message)
                            self.assertEqual(await socket.message(), message)

    async def test_compressed_frames_pass_as_they_are(self) -> None:
        """Nothing is inflated, deflated or framed anew on the way."""
        await self.stage()
        seen = []

        async def script(call: Call) -> None:
            for _ in range(3):
                seen.append(await call.frame())
            call.write(frame(BINARY, b"\x01\x02", rsv=4))

        chosen = b"permessage-deflate; server_no_context_takeover"
        extensions = [(b"Sec-WebSocket-Extensions", chosen)]
        self.provider.default = by_hand(script, fields=extensions)
        for known in PROVIDERS:
            seen.clear()
            agent = await self.agent(known.name)
            offer = b"permessage-deflate; client_max_window_bits; server_no_context_takeover"
            with about(known.name):
                response = await agent.upgrade(
                    known.path, [(b"Sec-WebSocket-Extensions", offer)]
                )
                self.assertEqual(response.get(b"sec-websocket-extensions"), chosen)
                agent.send_frame(TEXT, b"\xca\x48", fin=False, rsv=4)
                agent.send_frame(CONTINUATION, b"", fin=False)
                agent.send_frame(CONTINUATION, b"\xcd\x00")
                self.assertEqual((await agent.frame()).rsv, 4)
                self.assertEqual(
                    [(each.opcode, each.payload, each.fin, each.rsv) for each in seen],
                    [
                        (TEXT, b"\xca\x48", False, 4),
                        (CONTINUATION, b"", False, 0),
                        (CONTINUATION, b"\xcd\x00", True, 0),
                    ],
                )

    async def test_fragments_stay_fragments(self) -> None:
        """Fragments are not joined, and pings between them are not moved."""
        await self.stage()

        async def script(call: Call) -> None:
            while True:
                each = await call.frame()
                call.write(frame(each.opcode, each.payload, fin=each.fin))

        self.provider.default = by_hand(script)
        sent = [
            (TEXT, b"one", False),
            (PING, b"between", True),
            (CONTINUATION, b"two", False),
            (CONTINUATION, b"", False),
            (PONG, b"unasked", True),
            (CONTINUATION, b"three", True),
        ]
        for known in PROVIDERS:
            agent = await self.agent(known.name)
            self.assertEqual((await agent.upgrade(known.path)).status, 101)
            for opcode, payload, fin in sent:
                agent.send_frame(opcode, payload, fin=fin)
            for each in sent:
                with about((known.name, each)):
                    got = await agent.frame()
                    self.assertEqual((got.opcode, got.payload, got.fin), each)

    async def test_pings_and_pongs_pass(self) -> None:
        """A ping reaches the other end, and its pong comes back."""
        await self.stage()
        self.provider.default = websocket()
        for known in PROVIDERS:
            with about(known.name):
                socket = await self.socket(known)
                socket.ping(b"from the agent")
                await self.until(partial(self.has_ponged, socket))
                far = self.provider.sockets[-1]
                self.assertEqual(far.pings, [b"from the agent"])
                far.ping(b"from the provider")
                await self.until(partial(bool, far.pongs))
                self.assertEqual(far.pongs, [b"from the provider"])

    def has_ponged(self, socket: SocketAgent) -> bool:
        """Whether the pong to the agent's ping has come."""
        return ("pong", b"from the agent") in socket.events

    async def test_16_mib_in_one_message(self) -> None:
        """A large message passes whole, in one frame or in many."""
        await self.stage()
        self.provider.default = websocket()
        socket = await self.socket()
        message = secrets.token_bytes(16 * _MiB)
        for fragment in (None, 100_000):
            socket.send(message, fragment=fragment)
            got = await socket.message()
            assert isinstance(got, bytes)
            self.assertEqual(hashed(got), hashed(message))

    async def test_a_message_over_the_limit_ends_the_socket(self) -> None:
        """Too much in one message is 1009 for the agent."""
        await self.stage({"APIPROXY_MAX_MESSAGE_BYTES": "1000"})
        self.provider.default = websocket()
        for known in PROVIDERS:
            with about(known.name):
                socket = await self.socket(known)
                socket.send(b"x" * 1000)
                self.assertEqual(await socket.message(), b"x" * 1000)
                socket.send(b"x" * 1001)
                self.assertEqual((await socket.ended()).code, 1009)

    async def test_bytes_in_the_segment_of_the_handshake_are_not_lost(self) -> None:
        """Neither behind the agent's request nor behind the provider's 101."""
        await self.stage()
        got = []

        async def script(call: Call) -> None:
            got.append((await call.frame()).payload)
            call.write(frame(TEXT, b"then"))

        self.provider.default = by_hand(script, first=frame(TEXT, b"first"))
        for known in PROVIDERS:
            with about(known.name):
                agent = await self.agent(known.name)
                early = frame(TEXT, b"early", mask=b"mask")
                self.assertEqual(
                    (await agent.upgrade(known.path, after=early)).status, 101
                )
                self.assertEqual((await agent.frame()).payload, b"first")
                self.assertEqual((await agent.frame()).payload, b"then")
                self.assertEqual(got.pop(), b"early")


class ClosingTests(SquidCase):
    async def test_codes_and_reasons_pass_both_ways(self) -> None:
        """Whoever closes, the other learns why in the same words."""
        await self.stage()
        self.provider.default = websocket()
        codes = [
            (1000, "bye"),
            (1001, ""),
            (3999, "library"),
            (4001, "grüße"),
            (1011, "x"),
        ]
        for known in PROVIDERS:
            for code, reason in codes:
                with about((known.name, code)):
                    socket = await self.socket(known)
                    far = self.provider.sockets[-1]
                    socket.end(code, reason)
                    await self.until(partial(getattr, far, "closed"))
                    assert far.closed is not None
                    self.assertEqual(
                        (far.closed.code, far.closed.reason or ""), (code, reason)
                    )
                    self.assertTrue((await socket.ended()).clean)
                    socket = await self.socket(known)
                    self.provider.sockets[-1].end(code, reason)
                    closed = await socket.ended()
                    self.assertEqual((closed.code, closed.reason or ""), (code, reason))
        lines = self.proxy.events("websocket_upgrade_complete")
        self.assertEqual(
            [line["close_code"] for line in lines],
            [code for code, _ in codes for _ in "ab"] * len(PROVIDERS),
        )
        self.assertEqual({line.get("error") for line in lines}, {None})

    async def test_an_agent_that_just_leaves_has_ended_normally(self) -> None:
        """FIN, RST or an empty Close: most agents end like that."""
        await self.stage()
        self.provider.default = by_hand(hold)

        async def leave_empty(agent: Agent) -> None:
            agent.send_frame(CLOSE)
            await agent.flushed()
            agent.end("close")

        async def leave_fin(agent: Agent) -> None:
            agent.end("fin")

        async def leave_reset(agent: Agent) -> None:
            agent.end("reset")

        number = 0
        for known in PROVIDERS:
            for leave in (leave_empty, leave_fin, leave_reset):
                with about((known.name, leave)):
                    agent = await self.agent(known.name)
                    self.assertEqual((await agent.upgrade(known.path)).status, 101)
                    await leave(agent)
                    number += 1
                    line = await self.outcome(number)
                    self.assertEqual(line["event"], "websocket_upgrade_complete")
                    self.assertNotIn("error", line)
                    await self.provider.left()

    async def test_a_provider_that_just_leaves_is_reported(self) -> None:
        """Between frames the agent gets 1011, within a frame its connection is cut."""
        await self.stage()

        async def leave(call: Call) -> None:
            await call.frame()
            await call.end("reset")

        async def leave_within(call: Call) -> None:
            await call.frame()
            call.write(frame(TEXT, b"half a message")[:-5])
            await call.frame()
            await call.end("reset")

        number = 0
        for known in PROVIDERS:
            with about(known.name):
                self.provider.on(known.upstream_path, by_hand(leave))
                agent = await self.agent(known.name)
                await agent.upgrade(known.path)
                agent.send_frame(TEXT, b"go")
                got = await agent.frame()
                self.assertEqual(
                    (got.opcode, got.payload[:2]), (CLOSE, close_payload(1011))
                )
                await agent.gone()
                self.provider.on(known.upstream_path, by_hand(leave_within))
                agent = await self.agent(known.name)
                await agent.upgrade(known.path)
                agent.send_frame(TEXT, b"go")
                half = frame(TEXT, b"half a message")[:-5]
                self.assertEqual(await agent.read(len(half)), half)
                agent.send_frame(TEXT, b"go")
                self.assertEqual(await agent.read_all(), b"")
                number += 2
                line = await self.outcome(number)
                self.assertEqual(
                    (line["error"], line["status"]), ("upstream_reset", 101)
                )


class RefusalTests(SquidCase):
    async def refusal(self, behaviour: Behaviour, status: int) -> None:
        """See that a provider's refusal reaches the agent of every port whole."""
        for known in PROVIDERS:
            with about((known.name, status)):
                self.provider.on(known.upstream_path, behaviour)
                agent = await self.agent(known.name)
                response = await agent.upgrade(known.path)
                self.assertEqual(response.status, status)
                self.assertIsNone(response.get(b"x-apiproxy-error"))
                if status not in (204, 302):
                    self.assertEqual(response.json(), {"error": {"message": "no"}})
                    self.assertEqual(response.all(b"retry-after"), [b"7"])
                    self.assertEqual(response.all(b"set-cookie"), [b"a", b"b"])
                # The connection is as good as before.
                agent.ask(b"GET", b"/v1/other")
                self.assertEqual((await agent.response()).status, 200)

    async def test_a_refusal_arrives_whole(self) -> None:
        """Status, headers and body of the provider's refusal are the agent's."""
        await self.stage()
        fields = [(b"Retry-After", b"7"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")]
        for status in (200, 401, 403, 404, 426, 429, 500):
            said = {"error": {"message": "no"}}
            await self.refusal(answer_json(said, status, fields), status)
        await self.refusal(
            chunked([b'{"error": ', b'{"message": "no"}}'], 503, fields), 503
        )
        await self.refusal(empty(204), 204)
        await self.refusal(redirect(b"https://localhost:1/"), 302)
        lines = self.proxy.events("websocket_upgrade_failed")
        self.assertEqual(len(lines), 10 * len(PROVIDERS))
        self.assertEqual({line["request_bytes"] for line in lines}, {0})

    async def test_a_101_that_is_wrong_is_not_passed(self) -> None:
        """A false accept key or an extension nobody asked for opens nothing."""
        await self.stage()

        async def false_key(call: Call) -> None:
            call.upgrade(accept=b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
            await call.line.gone()

        wrong: Sequence[Behaviour] = (
            false_key,
            by_hand(
                hold, fields=[(b"Sec-WebSocket-Extensions", b"permessage-deflate")]
            ),
            by_hand(hold, fields=[(b"Sec-WebSocket-Protocol", b"unasked")]),
            raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", how=None),
        )
        for known in PROVIDERS:
            for number, behaviour in enumerate(wrong):
                with about((known.name, number)):
                    self.provider.on(known.upstream_path, behaviour)
                    agent = await self.agent(known.name)
                    response = await agent.upgrade(known.path)
                    self.assertEqual(known.error(response)[0], "upstream_malformed")
                    self.assertEqual(response.status, 426)
                    await agent.gone()

    async def test_101_for_nobody_is_refused(self) -> None:
        """A provider cannot switch protocols on a request that did not ask for it."""
        await self.stage()

        async def switch(call: Call) -> None:
            call.start(101, [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")])
            await call.line.gone()

        self.provider.default = switch
        for known in PROVIDERS:
            with about(known.name):
                response = await self.ask(known)
                self.assertEqual(
                    (response.status, known.error(response)[0]),
                    (502, "upstream_malformed"),
                )

    async def test_sockets_that_are_not_carried_get_426(self) -> None:
        """Switched off, a WebSocket is refused so that Codex falls back to HTTP at once."""
        await self.stage({"APIPROXY_WEBSOCKET": "off"})
        for known in PROVIDERS:
            with about(known.name):
                agent = await self.agent(known.name)
                response = await agent.upgrade(known.path)
                self.assertEqual(response.status, 426)
                self.assertEqual(response.get(b"connection"), b"close")
                self.assertEqual(known.error(response)[0], "websocket_unavailable")
                self.assertEqual(response.get(b"x-should-retry"), b"false")
                await agent.gone()
                self.assertEqual((await self.ask(known)).status, 200)
        lines = self.proxy.events("websocket_upgrade_rejected")
        self.assertEqual([line["status"] for line in lines], [426] * len(PROVIDERS))

    async def test_a_handshake_that_is_none_is_refused(self) -> None:
        """What RFC 6455 does not allow goes nowhere."""
        await self.stage()
        agent = await self.agent()
        version = [(b"Sec-WebSocket-Version", b"8")]
        self.assertEqual((await agent.upgrade(OPENAI.path, version)).status, 400)
        agent = await self.agent()
        agent.ask(
            b"POST",
            OPENAI.path,
            [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")],
            b"{}",
        )
        self.assertEqual((await agent.response()).status, 400)
        self.assertEqual(self.provider.requests, [])


class IdleTests(SquidCase):
    async def test_our_pings_keep_an_idle_socket_open(self) -> None:
        """A socket outlives Squid's read timeout, and nobody sees our pings or pongs."""
        await self.stage({"APIPROXY_PING_SECONDS": "0.5"}, read_timeout=6)
        self.provider.default = websocket()
        sockets = [(known, await self.socket(known)) for known in PROVIDERS]
        await self.turn(11)
        for known, socket in sockets:
            with about(known.name):
                socket.send("still here")
                self.assertEqual(await socket.message(), "still here")
                self.assertNotIn("pong", {event[0] for event in socket.events})
        for far in self.provider.sockets:
            self.assertEqual(far.pongs, [])
            self.assertGreater(len(far.pings), 3)

    async def test_without_them_squid_ends_it(self) -> None:
        """So the test above can fail."""
        await self.stage({"APIPROXY_PING_SECONDS": "600"}, read_timeout=1)
        self.provider.default = websocket()
        sockets = [await self.socket(known) for known in PROVIDERS]
        for socket in sockets:
            self.assertEqual((await socket.ended()).code, 1011)
        self.assertEqual(
            {line["error"] for line in self.proxy.outcomes}, {"upstream_reset"}
        )

    async def test_a_provider_that_does_not_answer_pings_is_given_up(self) -> None:
        """A dead peer is found in the end."""
        await self.stage(
            {"APIPROXY_PING_SECONDS": "0.3", "APIPROXY_SILENCE_SECONDS": "1"}
        )
        self.provider.default = by_hand(hold)
        agents = []
        for known in PROVIDERS:
            agent = await self.agent(known.name)
            self.assertEqual((await agent.upgrade(known.path)).status, 101)
            agents.append(agent)
        for agent in agents:
            await agent.gone()
        self.assertEqual(
            {line["error"] for line in self.proxy.outcomes}, {"upstream_timeout"}
        )
