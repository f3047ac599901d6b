"""HTTP/1.1 as it was meant, kept on the way through the proxy and Squid."""

from functools import partial

from apiproxy.wire.pool import Pool
from tests.kit.http import Response, chunk
from tests.kit.provider import (
    Behaviour,
    answer_json,
    chunked,
    closing,
    counted,
    cut,
    early,
    echo,
    empty,
    hanging_up,
    interim,
    raw,
    redirect,
    until_close,
)
from tests.squid.proxy import OPENAI, PROVIDERS, SquidCase, about, hashed

_MiB = 1024 * 1024
_PIECE = bytes(range(256)) * 256


class AnswerTests(SquidCase):
    async def answers(
        self, behaviour: Behaviour, method: bytes = b"GET"
    ) -> list[Response]:
        """What each provider's port makes of an answer; then it still serves another."""
        await self.stage()
        found = []
        for known in PROVIDERS:
            with about(known.name):
                self.provider.on(known.upstream_path, behaviour)
                agent = await self.agent(known.name)
                agent.ask(method, known.path)
                response = await agent.response(method)
                found.append(response)
                if response.get(b"connection") is None:
                    self.provider.on(known.upstream_path, echo())
                    agent.ask(b"GET", known.path)
                    self.assertEqual((await agent.response()).status, 200)
        return found

    async def test_an_answer_to_head_has_a_length_and_no_body(self) -> None:
        """HEAD gets the length that GET would have got."""
        for each in await self.answers(counted(b"x" * 1000), b"HEAD"):
            self.assertEqual((each.status, each.get(b"content-length")), (200, b"1000"))
            self.assertEqual(each.get(b"connection"), None)
        self.assertEqual(len(self.provider.connections), len(PROVIDERS))

    async def test_an_answer_to_head_in_chunks_has_no_body_either(self) -> None:
        """HEAD gets the same framing fields as GET, and ends with its head."""
        for each in await self.answers(chunked([b"not sent"]), b"HEAD"):
            self.assertEqual((each.status, bytes(each.body)), (200, b""))

    async def test_204_and_304_have_no_body(self) -> None:
        """The connection goes on behind answers that have no body by their status."""
        for each in await self.answers(empty(204)):
            self.assertEqual((each.status, each.framing), (204, "none"))
        for known in PROVIDERS:
            tag = [(b"ETag", b'"a"')]
            self.provider.on(known.upstream_path, empty(304, tag))
            response = await self.ask(known)
            self.assertEqual((response.status, response.framing), (304, "none"))
            self.assertEqual(response.get(b"etag"), b'"a"')

    async def test_early_hints_pass(self) -> None:
        """103 comes before the answer, as the provider sent it."""
        for each in await self.answers(interim(echo())):
            self.assertEqual([one.status for one in each.interim], [103])
            self.assertEqual(each.interim[0].get(b"link"), b"</style.css>; rel=preload")

    async def test_trailers_are_dropped(self) -> None:
        """A chunked answer ends without the trailers, which could smuggle fields."""
        trailers = [(b"X-Checksum", b"1"), (b"Set-Cookie", b"a=b")]
        pieces = chunked([b"one", b"two"], trailers=trailers)
        for each in await self.answers(pieces):
            self.assertEqual((bytes(each.body), each.trailers), (b"onetwo", []))

    async def test_an_answer_that_ends_with_its_connection_is_framed(self) -> None:
        """An answer with no framing of its own gets one, so that its end is certain."""
        for each in await self.answers(until_close(b"x" * 100_000)):
            self.assertEqual((each.framing, len(each.body)), ("chunked", 100_000))

    async def test_repeated_headers_stay_repeated(self) -> None:
        """Lines of one name stay lines, in order and case."""
        lines = [(b"Set-Cookie", b"a=1"), (b"X-MiXed", b"1"), (b"set-cookie", b"b=2")]
        for each in await self.answers(counted(b"", fields=lines)):
            self.assertEqual(each.fields[:3], lines)

    async def test_redirects_are_passed_back(self) -> None:
        """A redirect would carry the key away, so nobody follows one."""
        for status in (301, 302, 303, 307, 308):
            where = f"https://localhost:{1}/elsewhere".encode()
            if status == 301:
                found = await self.answers(redirect(where, 302))
                self.assertEqual([each.status for each in found], [302] * len(found))
                continue
            body = b"HTTP/1.1 %d See\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
            for known in PROVIDERS:
                with about((known.name, status)):
                    self.provider.on(
                        known.upstream_path, raw(body % (status, where), how=None)
                    )
                    response = await self.ask(known, b"POST", body=b"{}")
                    self.assertEqual(response.status, status)
                    self.assertEqual(response.get(b"location"), where)
        self.assertNotIn(b"/elsewhere", {each.path for each in self.provider.requests})

    async def test_an_answer_that_says_close_costs_the_line_only(self) -> None:
        """The provider's ``Connection: close`` is not the agent's."""
        for each in await self.answers(closing(echo())):
            self.assertEqual((each.status, each.get(b"connection")), (200, None))


class RequestTests(SquidCase):
    async def test_names_keep_their_case_and_their_repeats(self) -> None:
        """What the agent sent beside credentials arrives line for line."""
        await self.stage()
        lines = [
            (b"X-Multi", b"1"),
            (b"x-MULTI", b"2"),
            (b"anthropic-BETA", b"a,b"),
            (b"Anthropic-Beta", b"c"),
            (b"CONTENT-type", b"application/json"),
            (b"User-Agent", b"codex/1.0 (odd; case)"),
            (b"Accept-Encoding", b"gzip, br"),
        ]
        for known in PROVIDERS:
            with about(known.name):
                response = await self.ask(known, b"POST", fields=lines, body=b"{}")
                headers = [
                    (n.encode(), v.encode()) for n, v in response.json()["headers"]
                ]
                self.assertEqual([each for each in headers if each in lines], lines)

    async def test_hop_by_hop_fields_stay_behind(self) -> None:
        """What is said to us is not said to the provider."""
        await self.stage()
        fields = [
            (b"Connection", b"keep-alive, X-Private"),
            (b"X-Private", b"1"),
            (b"Keep-Alive", b"timeout=5"),
            (b"TE", b"trailers"),
            (b"Proxy-Connection", b"keep-alive"),
        ]
        for known in PROVIDERS:
            response = await self.ask(known, fields=fields)
            names = {name.lower() for name, _ in response.json()["headers"]}
            gone = {"connection", "x-private", "keep-alive", "te", "proxy-connection"}
            self.assertEqual(names & gone, set(), known.name)

    async def test_any_method_and_path_pass(self) -> None:
        """The proxy knows no list of endpoints."""
        await self.stage()
        number = 0
        for method in (b"GET", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"QUERY"):
            for target in (b"/v1/x", b"/v1/a%2Fb?q=%20&empty=&&x", b"/v1/files/f_1/"):
                with about((method, target)):
                    await self.ask(method=method, path=target)
                    number += 1
                    request = await self.provider.asked(number)
                    self.assertEqual((request.method, request.target), (method, target))

    async def test_an_agent_that_speaks_http_1_0(self) -> None:
        """It gets no chunks, and the end of the connection as the end of the answer."""
        await self.stage()
        for known in PROVIDERS:
            for behaviour in (chunked([b"one", b"two"]), counted(b"onetwo")):
                with about(known.name):
                    self.provider.on(known.upstream_path, interim(behaviour))
                    agent = await self.agent(known.name)
                    agent.write(b"GET %b HTTP/1.0\r\n\r\n" % known.path)
                    response = await agent.response()
                    self.assertEqual(response.interim, [])
                    self.assertIsNone(response.get(b"transfer-encoding"))
                    self.assertEqual(bytes(response.body), b"onetwo")
                    await agent.gone()

    async def test_pipelined_requests_are_answered_in_order(self) -> None:
        """Requests sent without waiting are answered one after the other."""
        await self.stage()
        for known in PROVIDERS:
            agent = await self.agent(known.name)
            for number in range(20):
                body = None if number % 2 else b"b" * number
                agent.ask(b"POST", known.path + b"?n=%d" % number, body=body)
            for number in range(20):
                with about((known.name, number)):
                    said = (await agent.response()).json()
                    self.assertTrue(said["target"].endswith(f"?n={number}"), said)
                    self.assertEqual(said["length"], 0 if number % 2 else number)

    async def test_100_continue_comes_from_us_and_goes_no_further(self) -> None:
        """An agent that waits for 100 gets it once the body has somewhere to go."""
        await self.stage()
        for known in PROVIDERS:
            with about(known.name):
                agent = await self.agent(known.name)
                fields = [(b"Expect", b"100-continue"), (b"Content-Length", b"5")]
                agent.ask(b"POST", known.path, fields)
                self.assertEqual(
                    await agent.read_until(b"\r\n\r\n"),
                    b"HTTP/1.1 100 Continue\r\n\r\n",
                )
                agent.write(b"12345")
                response = await agent.response()
                said = response.json()
                self.assertEqual((response.interim, said["length"]), ([], 5))
                names = {name.lower() for name, _ in said["headers"]}
                self.assertNotIn("expect", names)

    async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        """An announced length over the limit is 413 at once, and no 100."""
        await self.stage()
        for known in PROVIDERS:
            with about(known.name):
                agent = await self.agent(known.name)
                length = b"%d" % (32 * _MiB + 1)
                agent.ask(
                    b"POST",
                    known.path,
                    [(b"Expect", b"100-continue"), (b"Content-Length", length)],
                )
                response = await agent.response()
                code, message = known.error(response)
                self.assertEqual((response.status, code), (413, "body_too_large"))
                self.assertEqual(response.interim, [])
                self.assertIn("APIPROXY_MAX_BODY_BYTES", message)
                self.assertEqual(response.get(b"x-should-retry"), b"false")
        self.assertEqual(self.provider.requests, [])

    async def test_a_chunked_body_that_grows_too_large_is_refused(self) -> None:
        """Without a length the limit is met on the way; the provider sees no end of it."""
        await self.stage({"APIPROXY_MAX_BODY_BYTES": str(2 * _MiB)})
        for known in PROVIDERS:
            with about(known.name):
                agent = await self.agent(known.name)
                agent.ask(b"POST", known.path, [(b"Transfer-Encoding", b"chunked")])
                while not agent.received:
                    await agent.send(chunk(_PIECE))
                    await self.turn(0)
                response = await agent.response()
                self.assertEqual(response.status, 413)
                self.assertEqual(known.error(response)[0], "body_too_large")
        await self.provider.left()
        self.assertEqual(
            [each.complete for each in self.provider.requests], [False] * 6
        )

    async def test_an_upload_of_64_mib_arrives_as_it_was(self) -> None:
        """With the limit raised, a chunked body passes byte for byte."""
        await self.stage({"APIPROXY_MAX_BODY_BYTES": str(80 * _MiB)})
        agent = await self.agent()
        agent.ask(b"POST", OPENAI.path, [(b"Transfer-Encoding", b"chunked")])
        whole = bytearray()
        for number in range(1024):
            piece = b"%08d" % number + _PIECE[8:]
            whole += piece
            await agent.send(chunk(piece))
        agent.write(b"0\r\n\r\n")
        said = (await agent.response()).json()
        self.assertEqual((said["length"], said["framing"]), (64 * _MiB, "chunked"))
        self.assertEqual(said["sha256"], hashed(whole))
        line = await self.outcome()
        self.assertEqual(line["request_bytes"], 64 * _MiB)

    async def test_the_default_limit_refuses_64_mib(self) -> None:
        """32 MiB is the limit that is in force when nothing is said."""
        await self.stage()
        agent = await self.agent()
        agent.ask(b"POST", OPENAI.path, [(b"Transfer-Encoding", b"chunked")])
        sent = 0
        while not agent.received and sent < 64 * _MiB:
            await agent.send(chunk(_PIECE))
            sent += len(_PIECE)
            await self.turn(0)
        response = await agent.response()
        self.assertEqual(
            (response.status, OPENAI.error(response)[0]), (413, "body_too_large")
        )
        self.assertLess(sent, 64 * _MiB)

    async def test_an_early_answer_reaches_an_agent_that_is_still_sending(self) -> None:
        """The provider may refuse before the upload is over; the agent hears of it."""
        await self.stage()
        for how in ("close", None):
            for known in PROVIDERS:
                with about((known.name, how)):
                    self.provider.on(
                        known.upstream_path,
                        early(b'{"say": "too much"}', after=100, how=how),
                    )
                    agent = await self.agent(known.name)
                    length = (b"Content-Length", b"%d" % (8 * _MiB))
                    agent.ask(b"POST", known.path, [length])
                    while not agent.received:
                        await agent.send(_PIECE)
                        await self.turn(0)
                    response = await agent.response()
                    self.assertEqual(
                        (response.status, response.json()), (413, {"say": "too much"})
                    )
                    self.assertIsNone(response.get(b"x-apiproxy-error"))


class StaleLineTests(SquidCase):
    async def prepare(self, *second: Behaviour) -> None:
        """A stage on which each port has one warm line."""
        await self.stage()
        for known in PROVIDERS:
            self.provider.on(known.upstream_path, echo(), *second)

    async def test_a_request_on_a_line_that_dies_is_sent_again_once(self) -> None:
        """A warm line may end under a request; the agent does not notice."""
        await self.prepare(raw(how="close"), echo())
        for known in PROVIDERS:
            for body in (None, b"a body of some length"):
                with about((known.name, body)):
                    self.provider.on(
                        known.upstream_path, echo(), raw(how="close"), echo()
                    )
                    self.assertEqual((await self.ask(known)).status, 200)
                    before = len(self.provider.requests)
                    response = await self.ask(known, b"POST", body=body)
                    self.assertEqual(response.status, 200)
                    self.assertEqual(response.json()["length"], len(body or b""))
                    self.assertEqual(len(self.provider.requests), before + 2)
                    retries = self.proxy.proxy.counters.tally(known.name).retries
                    self.assertEqual(retries, 1 if body is None else 2)

    async def test_an_upgrade_on_a_line_that_dies_is_sent_again_once(self) -> None:
        """So is a WebSocket's handshake."""
        await self.prepare(raw(how="reset"), answer_json({}, 401))
        for known in PROVIDERS:
            with about(known.name):
                self.assertEqual((await self.ask(known)).status, 200)
                agent = await self.agent(known.name)
                self.assertEqual((await agent.upgrade(known.path)).status, 401)
                self.assertEqual(self.proxy.proxy.counters.tally(known.name).retries, 1)

    async def test_a_second_death_is_not_hidden(self) -> None:
        """Nothing is sent a third time."""
        await self.prepare(raw(how="close"))
        for known in PROVIDERS:
            with about(known.name):
                self.assertEqual((await self.ask(known)).status, 200)
                before = len(self.provider.requests)
                response = await self.ask(known, b"POST", body=b"{}")
                self.assertEqual(
                    (response.status, known.error(response)[0]), (502, "upstream_reset")
                )
                self.assertEqual(len(self.provider.requests), before + 2)

    async def test_nothing_is_sent_again_once_a_byte_was_heard(self) -> None:
        """A provider that began to answer has seen the request, so it is not repeated."""
        await self.prepare(cut(echo(), after=5, how="close", part="head"))
        for known in PROVIDERS:
            with about(known.name):
                self.assertEqual((await self.ask(known)).status, 200)
                before = len(self.provider.requests)
                response = await self.ask(known, b"POST", body=b"{}")
                self.assertEqual(
                    (response.status, known.error(response)[0]), (502, "upstream_reset")
                )
                self.assertEqual(len(self.provider.requests), before + 1)

    async def test_a_fresh_line_that_dies_is_not_replaced(self) -> None:
        """Only a line that was warm can have died of its age."""
        await self.stage()
        self.provider.default = raw(how="close")
        for number, known in enumerate(PROVIDERS, 1):
            response = await self.ask(known)
            self.assertEqual(
                (response.status, known.error(response)[0]), (502, "upstream_reset")
            )
            self.assertEqual(len(self.provider.requests), number)

    def is_empty(self, pool: Pool) -> bool:
        """Whether no line is kept."""
        return not pool.idle

    async def test_a_line_that_ended_while_idle_is_not_used(self) -> None:
        """When the end has been noticed, there is nothing to repeat."""
        await self.stage()
        self.provider.default = hanging_up(echo())
        for known in PROVIDERS:
            pool = self.proxy.proxy.sites[known.name].route.pool
            self.assertEqual((await self.ask(known)).status, 200)
            await self.until(partial(self.is_empty, pool))
            self.assertEqual((await self.ask(known)).status, 200)
            self.assertEqual(self.proxy.proxy.counters.tally(known.name).retries, 0)
