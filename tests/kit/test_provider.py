"""The provider does what it is told, over real TLS."""

import hashlib

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost

from tests.kit.agent import Agent, Refused, SocketAgent
from tests.kit.case import LoopbackCase
from tests.kit.frames import BINARY, CLOSE, PONG, TEXT, close_payload, frame
from tests.kit.http import Malformed
from tests.kit.line import Gate, Gone
from tests.kit.provider import (
    Behaviour,
    Call,
    Provider,
    Socket,
    SocketClosed,
    answer_json,
    by_hand,
    chunked,
    closing,
    counted,
    cut,
    deaf,
    early,
    echo,
    empty,
    endless,
    events,
    hanging_up,
    held,
    interim,
    late,
    raw,
    redirect,
    silent,
    until_close,
    websocket,
)
from tests.kit.tls import authority


class ProviderCase(LoopbackCase):
    """A provider, and an agent that talks to it directly."""

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        super().setUp()
        return Deferred.fromCoroutine(self.begin())

    async def begin(self) -> None:
        options = authority().identity().options()
        self.provider = await self.started(Provider(self.reactor, options))
        self.tls = authority().client("api.openai.com")

    async def agent(self) -> Agent:
        return await Agent.connect(self.reactor, self.provider.port, tls=self.tls)

    async def asking(self, behaviour: Behaviour, method: bytes = b"GET") -> Agent:
        self.provider.on(b"/", behaviour)
        agent = await self.agent()
        agent.ask(method)
        return agent


class AnswerTests(ProviderCase):
    async def test_an_echo_says_exactly_what_was_asked(self) -> None:
        agent = await self.agent()
        fields = [(b"X-a", b"1"), (b"x-A", b"2")]
        agent.ask(b"POST", b"/v1/x?y=%20z", fields, b"hello")
        response = await agent.response()
        self.assertEqual(
            response.json(),
            {
                "method": "POST",
                "target": "/v1/x?y=%20z",
                "headers": [
                    ["Host", "localhost"],
                    ["X-a", "1"],
                    ["x-A", "2"],
                    ["Content-Length", "5"],
                ],
                "length": 5,
                "sha256": hashlib.sha256(b"hello").hexdigest(),
                "trailers": [],
                "framing": "length",
                "connection": 1,
            },
        )
        (request,) = self.provider.requests
        self.assertEqual(
            (request.method, request.path, bytes(request.body), request.complete),
            (b"POST", b"/v1/x", b"hello", True),
        )
        self.assertEqual(self.provider.connections[0].server_name, b"api.openai.com")
        self.assertEqual(repr(request), "<Request POST /v1/x?y=%20z on 1>")

    async def test_a_chunked_upload_is_kept_with_its_chunks_and_trailers(self) -> None:
        agent = await self.agent()
        agent.write(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"
        )
        seen = (await agent.response()).json()
        self.assertEqual(
            (seen["length"], seen["trailers"], seen["framing"]),
            (13, [["X-Sum", "1"]], "chunked"),
        )
        self.assertEqual(self.provider.requests[0].chunks, [3, 10])

    async def test_requests_follow_each_other_on_one_connection(self) -> None:
        agent = await self.agent()
        agent.ask(target=b"/1")
        agent.ask(target=b"/2")  # pipelined
        for number in (b"/1", b"/2"):
            seen = (await agent.response()).json()
            self.assertEqual((seen["target"], seen["connection"]), (number.decode(), 1))
        agent.end()
        await self.provider.left()

    async def test_behaviours_of_one_path_take_turns(self) -> None:
        self.provider.on(b"/", counted(b"", 500), counted(b"", 200))
        agent = await self.agent()
        statuses = []
        for _ in range(3):
            agent.ask()
            statuses.append((await agent.response()).status)
        self.assertEqual(statuses, [500, 200, 200])

    async def test_repeated_fields_arrive_as_repeated_fields(self) -> None:
        cookies = [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
        agent = await self.asking(counted(b"x", fields=cookies, pieces=1))
        response = await agent.response()
        self.assertEqual(response.all(b"set-cookie"), [b"a=1", b"b=2"])

    async def test_head_204_and_304_have_no_body(self) -> None:
        agent = await self.asking(counted(b"12345"), b"HEAD")
        response = await agent.response(b"HEAD")
        self.assertEqual((response.get(b"content-length"), response.body), (b"5", b""))
        for behaviour, status in ((empty(), 204), (empty(304), 304)):
            self.provider.on(b"/", behaviour)
            agent.ask()
            self.assertEqual((await agent.response()).status, status)
        self.provider.on(b"/", chunked([b"x"]))
        agent.ask(b"HEAD")
        self.assertEqual((await agent.response(b"HEAD")).body, b"")
        self.assertEqual(len(self.provider.connections), 1)

    async def test_chunks_and_trailers(self) -> None:
        agent = await self.asking(chunked([b"ab", b"cde"], trailers=[(b"X-T", b"1")]))
        response = await agent.response()
        self.assertEqual(
            (bytes(response.body), response.chunks, response.trailers),
            (b"abcde", [2, 3], [(b"X-T", b"1")]),
        )

    async def test_an_answer_may_end_with_the_connection(self) -> None:
        agent = await self.asking(until_close(b"all of it"))
        response = await agent.response()
        self.assertEqual((response.framing, response.body), ("close", b"all of it"))

    async def test_events_come_one_by_one(self) -> None:
        gate = Gate()
        agent = await self.asking(events(3, 0.001, gate=gate))
        await agent.read_until(b'data: {"n": 0}\n\n')
        self.assertEqual(bytes(agent.received), b"\r\n")
        gate.open()
        await agent.read_until(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    async def test_an_endless_answer_stops_when_nobody_reads(self) -> None:
        agent = await self.asking(endless())
        request = await self.provider.asked()
        agent.pause()
        await self.until_still(lambda: request.sent)
        sent = request.sent
        self.assertTrue(request.line.full)
        self.assertLess(sent, 2**25)  # what the kernel's buffers may hold
        agent.resume()
        await self.until(lambda: request.sent > sent + 2**20)
        agent.end("reset")
        await self.provider.left()

    async def test_redirects_are_only_answers(self) -> None:
        agent = await self.asking(redirect(b"https://evil.example/"))
        response = await agent.response()
        self.assertEqual(
            (response.status, response.get(b"location")),
            (302, b"https://evil.example/"),
        )

    async def test_interim_answers_come_first(self) -> None:
        agent = await self.asking(interim(echo()))
        response = await agent.response()
        self.assertEqual([each.status for each in response.interim], [103])
        self.assertEqual(response.status, 200)

    async def test_an_answer_can_be_late_or_held_or_never_come(self) -> None:
        gate = Gate()
        self.provider.on(b"/", late(0.001, echo()), held(gate, echo()), silent())
        agent = await self.agent()
        agent.ask()
        await agent.response()
        agent.ask()
        await self.provider.asked(2)
        self.assertEqual(agent.received, b"")
        gate.open()
        await agent.response()
        agent.ask()
        await self.provider.asked(3)
        agent.end()
        await self.provider.left()

    async def test_an_upload_can_be_left_unread(self) -> None:
        gate = Gate()
        self.provider.on(b"/", deaf(gate, echo(), after=10))
        agent = await self.agent()
        size = 2**25
        agent.ask(b"POST", body=bytes(size))
        request = await self.provider.asked()
        await self.provider.until(lambda: request.line.paused)
        self.assertFalse(request.complete)
        self.assertTrue(agent.full)
        gate.open()
        self.assertEqual((await agent.response()).json()["length"], size)

    async def test_an_answer_may_come_before_the_upload_ends(self) -> None:
        self.provider.on(b"/", early(b"no", after=3), early(b"go on", 400, how=None))
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"
        agent = await self.agent()
        agent.write(head + b"abc")
        response = await agent.response()
        self.assertEqual(
            (response.status, response.get(b"connection")), (413, b"close")
        )
        await agent.gone()
        agent = await self.agent()
        agent.write(head)
        self.assertEqual((await agent.response()).body, b"go on")
        agent.write(b"abcdef")
        self.provider.on(b"/", echo())
        agent.ask()
        self.assertEqual((await agent.response()).json()["connection"], 2)
        self.assertEqual(bytes(self.provider.requests[1].body), b"abcdef")


class EndTests(ProviderCase):
    async def test_connection_close_is_said_and_done(self) -> None:
        agent = await self.asking(closing(answer_json({"ok": True})))
        response = await agent.response()
        self.assertEqual(response.get(b"connection"), b"close")
        self.assertIsInstance((await agent.gone()).value, ConnectionDone)

    async def test_an_agent_may_ask_to_close(self) -> None:
        agent = await self.agent()
        agent.ask(fields=[(b"Connection", b"close")])
        await agent.response()
        await agent.gone()

    async def test_an_idle_connection_can_be_closed(self) -> None:
        gate = Gate()
        agent = await self.asking(hanging_up(echo(), gate=gate))
        await agent.response()
        self.assertTrue(agent.open)
        gate.open()
        await agent.gone()

    async def test_an_answer_can_be_cut_anywhere(self) -> None:
        for part, after, expected in (
            ("head", 0, b""),
            ("head", 7, b"HTTP/1."),
            ("body", 0, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            ("body", 4, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"),
        ):
            for how, kind in (
                ("close", ConnectionDone),
                ("fin", ConnectionLost),
                ("reset", ConnectionLost),
            ):
                self.provider.on(
                    b"/",
                    cut(counted(b"123456789"), after, how, part=part),  # type: ignore[arg-type]  # the table is too simple for Literal
                )
                agent = await self.agent()
                agent.ask()
                reason = await agent.gone()
                self.assertEqual(bytes(agent.received), expected)
                self.assertIsInstance(reason.value, kind, (how, reason))

    async def test_a_cut_can_wait_for_the_test(self) -> None:
        gate = Gate()
        agent = await self.asking(cut(events(9), 30, gate=gate))
        response, _ = await agent.response_head()
        await agent.read(30)
        self.assertTrue(agent.open)
        gate.open()
        await agent.gone()
        self.assertEqual((response.status, agent.received), (200, b""))

    async def test_any_bytes_can_be_an_answer(self) -> None:
        agent = await self.asking(raw(b"HTTP/1.1 ", b"999 what\n\n"))
        self.assertEqual(await agent.read_all(), b"HTTP/1.1 999 what\n\n")

    async def test_a_malformed_request_is_an_error_of_the_test(self) -> None:
        for bad in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            b"GET /\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        ):
            agent = await self.agent()
            agent.write(bad)
            await agent.gone()
            self.assertEqual(len(self.flushLoggedErrors(Malformed)), 1, bad)

    async def test_a_stranger_is_counted_but_asks_nothing(self) -> None:
        with self.assertRaises(Gone):
            await Agent.connect(
                self.reactor, self.provider.port, tls=authority().client("x.example")
            )
        await self.provider.connected()
        await self.provider.left()
        self.assertEqual(self.provider.requests, [])
        self.assertEqual((len(self.provider.connections), self.provider.open), (1, 0))


class WebSocketTests(ProviderCase):
    async def socket(self, path: str = "/", **options: object) -> SocketAgent:
        agent = await SocketAgent.connect(
            self.reactor,
            self.provider.port,
            path,
            tls=self.tls,
            **options,  # type: ignore[arg-type]  # passed on as they are
        )
        self.addCleanup(self.ended, agent.stop)
        return agent

    async def test_messages_come_back(self) -> None:
        self.provider.on(b"/", websocket())
        agent = await self.socket()
        agent.send("häh")
        agent.send(b"\0\xff" * 40000, fragment=1000)
        self.assertEqual(await agent.message(), "häh")
        self.assertEqual(await agent.message(), b"\0\xff" * 40000)
        agent.ping(b"p")
        await agent.until(lambda: ("pong", b"p") in agent.events)
        agent.end(1000, "bye")
        self.assertEqual(await agent.ended(), SocketClosed(True, 1000, None))
        await self.provider.left()
        (socket,) = self.provider.sockets
        self.assertEqual(
            (socket.messages[0], socket.pings, socket.closed, socket.deflate),
            ("häh", [b"p"], SocketClosed(True, 1000, "bye"), False),
        )

    async def test_compression_and_subprotocol_are_negotiated(self) -> None:
        self.provider.on(
            b"/",
            websocket(protocols=["realtime"], headers={"x-codex-turn-state": "7"}),
        )
        agent = await self.socket(protocols=["x", "realtime"], deflate=True)
        agent.send("a" * 10000)
        self.assertEqual(await agent.message(), "a" * 10000)
        assert agent.response is not None
        self.assertEqual(agent.response.protocol, "realtime")
        self.assertEqual(agent.response.headers["x-codex-turn-state"], "7")
        self.assertTrue(agent.deflate and self.provider.sockets[0].deflate)
        self.assertLess(self.provider.connections[0].total_received, 5000)
        self.provider.on(b"/", websocket(deflate=False))
        self.assertFalse((await self.socket(deflate=True)).deflate)

    async def test_the_greeting_is_in_the_segment_of_the_101(self) -> None:
        self.provider.on(b"/", websocket(greeting=["hello"]))
        agent = await self.agent()
        response = await agent.upgrade(after=frame(TEXT, b"early", mask=b"abcd"))
        self.assertEqual(response.status, 101)
        self.assertTrue(agent.received.startswith(frame(TEXT, b"hello")))
        self.assertEqual((await agent.frame()).payload, b"hello")
        self.assertEqual((await agent.frame()).payload, b"early")
        agent.send_frame(CLOSE, close_payload(1001))
        self.assertEqual((await agent.frame()).opcode, CLOSE)
        await agent.gone()
        await self.provider.left()
        closed = self.provider.sockets[0].closed
        assert closed is not None
        self.assertEqual(closed.code, 1001)

    async def test_the_provider_can_talk_and_close(self) -> None:
        async def story(socket: Socket) -> None:
            socket.ping(b"there?")
            await socket.until(lambda: socket.pongs == [b"there?"])
            socket.send(b"x" * 2**20)
            socket.end(1011, "enough")

        self.provider.on(b"/", websocket(then=story))
        agent = await self.socket()
        self.assertEqual(await agent.message(), b"x" * 2**20)
        self.assertEqual(await agent.ended(), SocketClosed(True, 1011, "enough"))
        self.assertEqual(
            [event[0] for event in agent.events], ["open", "ping", "message", "close"]
        )
        self.provider.on(b"/", websocket(then=self._empty_close))
        self.assertTrue((await (await self.socket()).ended()).clean)

    async def _empty_close(self, socket: Socket) -> None:
        socket.end(None)

    async def test_a_refusal_has_status_fields_and_body(self) -> None:
        for status in (401, 429, 500):
            fields = [(b"Retry-After", b"7")]
            self.provider.on(b"/", answer_json({"error": "no"}, status, fields))
            with self.assertRaises(Refused) as caught:
                await self.socket()
            self.assertEqual(
                (caught.exception.status, caught.exception.headers["retry-after"]),
                (status, "7"),
            )
            agent = await self.agent()
            response = await agent.upgrade()
            self.assertEqual(response.json(), {"error": "no"})

    async def test_a_socket_path_refuses_plain_requests(self) -> None:
        agent = await self.asking(websocket())
        self.assertEqual((await agent.response()).status, 426)

    async def test_frames_can_be_made_by_hand(self) -> None:
        async def story(call: Call) -> None:
            received = await call.frame()
            self.assertEqual((received.payload, received.masked), (b"ping?", True))
            await call.send(frame(PONG, b"?") + frame(BINARY, b"y" * 70000, rsv=2))
            await call.end()

        self.provider.on(b"/", by_hand(story, first=frame(TEXT, b"1", fin=False)))
        agent = await self.agent()
        response = await agent.upgrade()
        self.assertEqual(
            response.get(b"sec-websocket-accept"), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        )
        self.assertFalse((await agent.frame()).fin)
        agent.send_frame(payload=b"ping?")
        self.assertEqual((await agent.frame()).opcode, PONG)
        last = await agent.frame()
        self.assertEqual((last.rsv, len(last.payload)), (2, 70000))
        await agent.gone()

    async def test_a_handmade_upgrade_needs_a_key(self) -> None:
        async def story(call: Call) -> None:
            """Never told."""

        agent = await self.asking(by_hand(story))
        await agent.gone()
        self.assertEqual(len(self.flushLoggedErrors(Malformed)), 1)

    async def test_an_abort_is_noticed(self) -> None:
        self.provider.on(b"/", websocket())
        agent = await self.socket()
        agent.abort()
        await self.provider.left()
        closed = self.provider.sockets[0].closed
        assert closed is not None
        self.assertFalse(closed.clean)
        with self.assertRaises(Gone):
            await agent.message()
