"""One exchange from the agent's request to the provider's answer and back."""

from collections.abc import Callable

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from apiproxy.core.errors import (
    EgressDenied,
    InternalError,
    ProxyError,
    Stopped,
    UpstreamMalformed,
)
from apiproxy.core.exchange import Exchange
from apiproxy.core.limits import Limits, MiB
from apiproxy.core.values import Ask, Secret
from apiproxy.policy.rules import Budgets, Rates, Rules
from apiproxy.providers.base import Credential
from apiproxy.wire.metering import Metering
from apiproxy.wire.relay import Relay
from tests.kit.books import Desk
from tests.kit.memory import (
    KEY,
    Agent,
    Bench,
    BenchCase,
    Upstream,
    a_provider,
    answer,
    get,
    head,
    post,
    request,
)

ASKED = "asked GET /v1/models"
FRESH = "forwarded, fresh line"
WARM = "forwarded, warm line"
WHOLE = ["asked POST /", FRESH, "answering 200", "closed 200"]


class RelayCase(BenchCase):
    """With a bench, an agent, and a line when there is one."""

    def start(self, sent: bytes = b"", **arguments: object) -> tuple[Bench, Agent]:
        """A bench on which an agent has sent something."""
        bench = self.bench(**arguments)
        agent = bench.agent()
        agent.send(sent)
        return bench, agent

    def warm(self, bench: Bench) -> Upstream:
        """A warm line, made by an agent that has left again."""
        agent = bench.agent()
        agent.send(get("/warm"))
        bench.line().send(answer())
        agent.leave()
        del bench.told[:]
        line = bench.line()
        line.take()
        self.assertEqual((bench.pool.idle, bench.pool.busy), (1, 0))
        return line


class RequestTests(RelayCase):
    """What goes upstream."""

    def test_the_head_that_goes_upstream(self) -> None:
        """Lines keep order, case and repeats; Host, key, id and framing are ours."""
        bench, _ = self.start(
            request(
                "POST",
                "/v1/messages?beta=true",
                "Host: whatever",
                "anthropic-BETA: one",
                "Content-Length: 2",
                "anthropic-BETA: two",
                "X-Request-ID: mine.1",
            )
            + b"{}"
        )
        self.assertEqual(
            bench.line().text,
            "POST /v1/messages?beta=true HTTP/1.1\n"
            "Host: api.acme.example\n"
            "anthropic-BETA: one\n"
            "anthropic-BETA: two\n"
            "x-api-key: sk-the-real-key\n"
            "Content-Length: 2\n"
            "x-request-id: mine.1\n"
            "\n"
            "{}",
        )

    def test_nothing_that_is_a_credential_or_a_hop_passes(self) -> None:
        """Whatever slot the agent fills, its value goes nowhere."""
        slots = [
            "Authorization", "Proxy-Authorization", "x-api-key", "X-API-KEY", "api-key",
            "x-goog-api-key", "x_api_key", "X-Goog-User-Project", "Cookie",
            "OpenAI-Organization", "OpenAI-Project", "x-github-token", "x-amz-security",
            "X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "TE", "Trailer",
            "Keep-Alive", "Proxy-Connection", "x-apiproxy-anything", "HTTP2-Settings",
            "Named-By-Connection",
        ]  # fmt: skip
        bench, _ = self.start(
            get(
                "/v1/models?key=AGENT&a=b&api_key=AGENT&access_token=AGENT",
                "Connection: named-by-connection",
                *[f"{slot}: AGENT" for slot in slots],
            )
        )
        sent = bench.line().received
        self.assertNotIn(b"AGENT", sent)
        self.assertTrue(sent.startswith(b"GET /v1/models?a=b HTTP/1.1\r\n"))
        self.assertEqual(sent.lower().count(b"x-api-key"), 1)
        self.assertEqual(sent.count(b"\r\n"), 5)

    def test_the_agents_request_id_is_taken_only_if_it_is_harmless(self) -> None:
        """One line of 1 to 128 plain characters; else we make one up."""
        for lines, expected in (
            (["X-Request-Id: a.b_c-9"], "a.b_c-9"),
            (["X-Request-Id: " + "a" * 128], "a" * 128),
            (["X-Request-Id: " + "a" * 129], "id-1"),
            (["X-Request-Id: a b"], "id-1"),
            (["X-Request-Id:"], "id-1"),
            (["X-Request-Id: a", "X-Request-Id: b"], "id-1"),
            ([], "id-1"),
        ):
            bench, agent = self.start(get("/", *lines))
            self.assertIn(f"\nx-request-id: {expected}\n", bench.line().text)
            bench.line().send(answer(b"", "200 OK", "x-request-id: theirs"))
            self.assertIn(f"\nx-request-id: {expected}\n", agent.text)
            self.assertIn("\nx-upstream-request-id: theirs\n", agent.text)

    def test_a_base_path_and_a_port_are_put_in(self) -> None:
        """The agent does not know them."""
        provider = a_provider(base_path=b"/api", host_port=8443)
        bench, _ = self.start(get("/v1/models"), provider=provider)
        self.assertTrue(
            bench.line().text.startswith(
                "GET /api/v1/models HTTP/1.1\nHost: api.acme.example:8443\n"
            )
        )
        self.assertEqual(bench.told[0], ASKED)

    def test_a_body_of_no_bytes_keeps_its_length(self) -> None:
        """``Content-Length: 0`` passes; no length stays none."""
        bench, _ = self.start(post("/", b""))
        self.assertIn("Content-Length: 0\n", bench.line().text)
        bench, _ = self.start(get())
        self.assertNotIn("Content-Length", bench.line().text)
        self.assertNotIn("Transfer-Encoding", bench.line().text)

    def test_a_chunked_body_is_framed_anew(self) -> None:
        """Only payload passes, in chunks of our own; trailers are dropped."""
        bench, agent = self.start(
            request("POST", "/", "Transfer-Encoding: Chunked", "Trailer: Authorization")
        )
        agent.send(
            b"3\r", b"\nabc\r\n0", b"4\r\ndefg\r\n00", b"0\r\nAuthorization: x\r\n"
        )
        agent.send(b"\r\n")
        sent = bench.line().text
        self.assertIn("\nTransfer-Encoding: chunked\n", sent)
        self.assertTrue(sent.endswith("\n\n3\nabc\n4\ndefg\n0\n\n"), sent)
        bench.line().send(answer(b"ok"))
        self.assertEqual(agent.state, "open")
        self.assert_over(bench, WHOLE)

    def test_head_and_first_body_go_out_in_one_write(self) -> None:
        """One TLS record, one packet."""
        bench = self.bench()
        self.warm(bench)
        writes: list[bytes] = []
        transport = bench.line().transport
        write = transport.write
        transport.write = lambda data: (writes.append(data), write(data))[1]  # type: ignore[method-assign, func-returns-value]
        bench.agent().send(post("/", b"body"))
        self.assertEqual(len(writes), 1)

    def test_an_empty_body_that_ends_late_is_still_sent(self) -> None:
        """A chunked request may have no payload at all."""
        bench, agent = self.start(request("POST", "/", "Transfer-Encoding: chunked"))
        self.assertEqual(bench.line().received, b"")
        agent.send(b"0\r\n\r\n")
        self.assertTrue(bench.line().text.endswith("\n\n0\n\n"))

    def test_a_body_that_comes_before_the_line_waits(self) -> None:
        """Up to a bound, then the agent is not read until the line is there."""
        bench = self.bench()
        bench.endpoint.held = True
        agent = bench.agent()
        agent.send(request("POST", "/", f"Content-Length: {MiB}"))
        agent.send(b"x" * MiB)
        self.assertTrue(agent.transport.paused)
        self.assertLess(bench.story.exchanges[0].bytes_up, 256 * 1024)
        line = bench.endpoint.connected()
        bench.turn()
        self.assertEqual(line.received.count(b"x" * 1024), 1024)
        self.assertFalse(agent.transport.paused)

    def test_a_64_MiB_chunked_upload_is_never_gathered(self) -> None:
        """It passes piece by piece, with its credential sent before the first."""
        bench, agent = self.start(
            request("POST", "/", "Transfer-Encoding: chunked"),
            limits=Limits(body=64 * MiB),
        )
        line, passed = None, 0
        for _ in range(64):
            agent.send(b"100000\r\n" + b"x" * MiB + b"\r\n")
            line = bench.line()
            if not passed:
                self.assertIn(KEY, line.received)
            passed += len(line.take())
        agent.send(b"0\r\n\r\n")
        assert line is not None
        self.assertGreater(passed, 64 * MiB)
        line.send(answer(b"thanks"))
        self.assert_over(bench, WHOLE)


class BodyLimitTests(RelayCase):
    """More than we take."""

    def test_a_counted_body_is_refused_by_its_announcement(self) -> None:
        """413 before a byte goes upstream."""
        bench, agent = self.start(
            request("POST", "/", "Content-Length: 101"), limits=Limits(body=100)
        )
        self.assert_error(agent, 413, "body_too_large")
        self.assertEqual(bench.endpoint.lines, [])
        self.assert_over(bench, ["asked POST /", "closed 413 body_too_large"])
        agent.send(b"x" * 101 + get())
        self.assertIn(b"GET /v1/models", bench.line().received)

    def test_a_body_of_just_the_limit_passes(self) -> None:
        """The limit is the largest there may be."""
        bench, _ = self.start(post("/", b"x" * 100), limits=Limits(body=100))
        self.assertTrue(bench.line().received.endswith(b"x" * 100))

    def test_a_chunked_body_is_refused_when_it_is_too_large(self) -> None:
        """413; upstream is aborted, so it cannot take what it got for the whole."""
        bench, agent = self.start(
            request("POST", "/", "Transfer-Encoding: chunked") + b"64\r\n" + b"x" * 100,
            limits=Limits(body=100),
        )
        self.assertTrue(bench.line().received.endswith(b"x" * 100 + b"\r\n"))
        agent.send(b"\r\n1\r\nx\r\n")
        self.assert_error(agent, 413, "body_too_large", closing=True)
        self.assertEqual(agent.state, "ended")
        self.assertEqual(bench.line().state, "aborted")
        self.assertFalse(bench.line().received.endswith(b"0\r\n\r\n"))
        self.assert_over(bench, ["asked POST /", FRESH, "closed 413 body_too_large"])

    def test_a_chunked_body_that_is_too_large_behind_half_an_answer(self) -> None:
        """The agent is cut off."""
        bench, agent = self.start(
            request("POST", "/", "Transfer-Encoding: chunked") + b"1\r\nx\r\n",
            limits=Limits(body=100),
        )
        bench.line().send(head("200 OK", "Content-Length: 4") + b"ha")
        agent.send(b"64\r\n" + b"x" * 100)
        self.assertEqual((agent.state, bench.line().state), ("aborted", "aborted"))


class AnswerTests(RelayCase):
    """What comes back."""

    def relay(self, answered: bytes, asked: bytes = b"") -> tuple[Bench, Agent]:
        bench, agent = self.start(asked or get())
        bench.line().send(answered)
        return bench, agent

    def test_the_head_that_comes_back(self) -> None:
        """Lines keep order, case and repeats; hop-by-hop ones go."""
        _, agent = self.relay(
            answer(
                b"hi",
                "299 Strange Reason",
                "Set-Cookie: a",
                "X-Odd_Case: 1",
                "Set-Cookie: b",
                "Connection: keep-alive, X-Gone",
                "Keep-Alive: timeout=5",
                "X-Gone: 1",
                "Alt-Svc: h3",
                "X-Apiproxy-Error: forged",
            )
        )
        self.assertEqual(
            agent.text,
            "HTTP/1.1 299 Strange Reason\n"
            "Content-Length: 2\n"
            "Set-Cookie: a\n"
            "X-Odd_Case: 1\n"
            "Set-Cookie: b\n"
            "x-request-id: id-1\n"
            "\n"
            "hi",
        )

    def test_head_and_first_payload_go_out_in_one_write(self) -> None:
        """And a head that comes alone is not held back."""
        bench, agent = self.start(get())
        bench.line().send(head("200 OK", "Content-Length: 2"))
        self.assertTrue(agent.text.endswith("\n\n"))
        bench.line().send(b"h")
        self.assertTrue(agent.text.endswith("\n\nh"))

    def test_chunked_answers_are_framed_anew(self) -> None:
        """Extensions and trailers are dropped; each piece goes on as it comes."""
        bench, agent = self.start(get())
        line = bench.line()
        line.send(head("200 OK", "Transfer-Encoding: chunked"))
        self.assertIn("\nTransfer-Encoding: chunked\n", agent.text)
        agent.take()
        line.send(b"5;a=b\r\nhello\r\n")
        self.assertEqual(agent.take(), b"5\r\nhello\r\n")
        line.send(b"1\r\n!\r\n1\r\n?\r\n")
        self.assertEqual(agent.take(), b"2\r\n!?\r\n")
        line.send(b"0\r\nTrailer: x\r\n")
        self.assertEqual(agent.take(), b"")
        line.send(b"\r\n")
        self.assertEqual(agent.take(), b"0\r\n\r\n")
        self.assertEqual((agent.state, bench.pool.idle), ("open", 1))
        self.assert_over(bench, [ASKED, FRESH, "answering 200", "closed 200"])

    def test_a_chunked_answer_without_payload(self) -> None:
        """Head and end in one."""
        _, agent = self.relay(
            head("200 OK", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
        )
        self.assertTrue(agent.text.endswith("\nTransfer-Encoding: chunked\n\n0\n\n"))

    def test_http_1_0_gets_chunks_decoded_until_the_end(self) -> None:
        """It does not know chunks; the end is the connection's."""
        _, agent = self.relay(
            head("200 OK", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n",
            request("GET", "/", minor=0),
        )
        self.assertNotIn("Transfer-Encoding", agent.text)
        self.assertIn("\nConnection: close\n", agent.text)
        self.assertTrue(agent.text.endswith("\n\nhi"))
        self.assertEqual(agent.state, "ended")

    def test_an_answer_that_ends_with_its_connection_becomes_chunked(self) -> None:
        """So the agent knows that it was whole."""
        bench, agent = self.start(get())
        bench.line().send(head("200 OK") + b"some", b" more")
        self.assertEqual(agent.state, "open")
        bench.line().leave()
        self.assertTrue(agent.text.endswith("4\nsome\n5\n more\n0\n\n"))
        self.assert_over(bench, [ASKED, FRESH, "answering 200", "closed 200"])
        self.assertEqual(bench.pool.idle, 0)

    def test_an_answer_that_should_end_with_its_connection_but_is_cut(self) -> None:
        """The agent is cut off too, and never told that it was whole."""
        bench, agent = self.start(get())
        bench.line().send(head("200 OK") + b"some")
        bench.line().reset()
        self.assertTrue(agent.text.endswith("\n4\nsome\n"))
        self.assertEqual(agent.state, "aborted")
        self.assert_over(
            bench, [ASKED, FRESH, "answering 200", "closed 200 upstream_reset"]
        )

    def test_answers_without_a_body(self) -> None:
        """HEAD, 204 and 304 end with their head, whatever they announce."""
        for method, answered in (
            ("HEAD", head("200 OK", "Content-Length: 100")),
            ("HEAD", head("200 OK", "Transfer-Encoding: chunked")),
            ("HEAD", head("200 OK")),
            ("GET", head("204 No Content")),
            ("GET", head("304 Not Modified", "Content-Length: 100")),
        ):
            bench, agent = self.relay(answered, get(method=method))
            self.assertTrue(agent.text.endswith("\nx-request-id: id-1\n\n"))
            self.assertEqual("Content-Length" in agent.text, b"Length" in answered)
            self.assertEqual((agent.state, bench.pool.idle), ("open", 1))
            self.assertEqual(bench.census.live, 0)

    def test_interim_answers(self) -> None:
        """103 passes, 100 does not, because we have said it ourselves."""
        bench, agent = self.start(get())
        bench.line().send(
            head("100 Continue") + head("103 Early Hints", "Link: </a>"),
            head("103 Early Hints") + answer(b"hi"),
        )
        self.assertEqual(
            agent.text,
            "HTTP/1.1 103 Early Hints\nLink: </a>\n\n"
            "HTTP/1.1 103 Early Hints\n\n"
            "HTTP/1.1 200 OK\nContent-Length: 2\nx-request-id: id-1\n\nhi",
        )
        self.assertEqual(bench.pool.idle, 1)

    def test_http_1_0_gets_no_interim_answers(self) -> None:
        """It would take them for the answer."""
        _, agent = self.relay(
            head("103 Early Hints") + answer(b"hi"), request("GET", "/", minor=0)
        )
        self.assertTrue(agent.text.startswith("HTTP/1.1 200 OK\n"))

    def test_thousands_of_interim_answers_in_one_segment(self) -> None:
        """They are read one after the other; the stack does not grow."""
        _, agent = self.relay(head("100 Continue") * 3000 + answer(b"hi"))
        self.assertTrue(agent.text.startswith("HTTP/1.1 200 OK\n"))

    def test_another_protocol_unasked(self) -> None:
        """101 in answer to an ordinary request is an error of the provider."""
        bench, agent = self.relay(head("101 Switching Protocols", "Upgrade: x") + b"hi")
        self.assert_error(agent, 502, "upstream_malformed")
        self.assertEqual(bench.line().state, "aborted")
        self.assert_over(bench, [ASKED, FRESH, "closed 502 upstream_malformed"])

    def test_an_early_answer_to_an_unfinished_upload(self) -> None:
        """It reaches the agent; the line is not used again."""
        bench, agent = self.start(request("POST", "/", "Content-Length: 100") + b"x")
        bench.line().send(answer(b"no", "429 Too Many Requests"))
        self.assertTrue(agent.text.startswith("HTTP/1.1 429 "))
        self.assertTrue(agent.text.endswith("\n\nno"))
        self.assertEqual(bench.line().state, "aborted")
        agent.send(b"x" * 99)
        self.assertEqual(bench.line().received.count(b"x" * 2), 0)
        self.assert_over(bench, [WHOLE[0], FRESH, "answering 429", "closed 429"])

    def test_an_upload_goes_on_beside_an_answer(self) -> None:
        """Neither waits for the other."""
        bench, agent = self.start(request("POST", "/", "Content-Length: 4") + b"a")
        line = bench.line()
        line.send(head("200 OK", "Content-Length: 2") + b"1")
        agent.send(b"bcd")
        self.assertTrue(line.received.endswith(b"abcd"))
        line.send(b"2")
        self.assertTrue(agent.text.endswith("\n\n12"))
        self.assertEqual((agent.state, bench.pool.idle), ("open", 1))

    def test_the_key_is_in_none_of_the_agents_bytes(self) -> None:
        """Not in answers, not in errors, not in a local refusal."""
        bench, agent = self.start(get("/%zz") + get("/" + "a"))
        bench.line().send(answer(b"x"))
        agent.send(get("/b"))
        bench.line().reset()
        agent.send(b"bad\r\n\r\n")
        self.assertNotIn(KEY, agent.received)
        self.assertNotIn(KEY, repr(bench.story.exchanges).encode())


class AgentGoneTests(RelayCase):
    """The agent leaves; upstream is aborted at once, the exchange closed once."""

    def test_at_every_phase(self) -> None:
        """After its head, in its body, before and in the middle of the answer."""
        upload = request("POST", "/", "Content-Length: 100")
        chunked = head("200 OK", "Transfer-Encoding: chunked")
        for sent, answered, how in (
            (get(), b"", "FIN"),
            (get(), b"", "RST"),
            (upload, b"", "FIN"),
            (upload + b"x" * 50, b"", "FIN"),
            (upload + b"x" * 50, b"HTTP/1.1 2", "RST"),
            (post("/", b"x"), b"HTTP/1.1 200 OK\r\nContent-", "FIN"),
            (post("/", b"x"), head("200 OK", "Content-Length: 9"), "FIN"),
            (post("/", b"x"), head("200 OK", "Content-Length: 9") + b"12", "RST"),
            (get(), chunked + b"5\r\nhel", "FIN"),
            (get(), head("200 OK") + b"until close", "FIN"),
            (get() + get("/next"), b"", "FIN"),
        ):
            bench, agent = self.start(sent)
            if answered:
                bench.line().send(answered)
            got = agent.received
            agent.leave() if how == "FIN" else agent.reset()
            self.assertEqual(bench.line().state, "aborted")
            self.assertEqual(agent.received, got)
            self.assertEqual((bench.census.live, bench.pool.busy), (0, 0))
            last = [line for line in bench.told if line.startswith("closed")]
            self.assertEqual(len(last), 1)
            self.assertIn("agent_gone", last[0])
            self.assertEqual(bench.site.channels, set())

    def test_before_a_request(self) -> None:
        """Nothing ever happened."""
        bench, agent = self.start(b"GET / HT")
        agent.leave()
        self.assert_over(bench, [])
        self.assertEqual(bench.site.channels, set())

    def test_while_the_line_is_dialled(self) -> None:
        """The dial is cancelled."""
        bench = self.bench()
        bench.endpoint.held = True
        agent = bench.agent()
        agent.send(post("/", b"x"))
        agent.leave()
        self.assertEqual(bench.endpoint.cancelled, 1)
        self.assert_over(bench, ["asked POST /", "closed 499 agent_gone"])

    def test_after_its_answer(self) -> None:
        """The line is kept."""
        bench, agent = self.start(get())
        bench.line().send(answer(b"hi"))
        agent.leave()
        self.assertEqual(bench.pool.idle, 1)
        self.assert_over(bench, [ASKED, FRESH, "answering 200", "closed 200"])


class UpstreamGoneTests(RelayCase):
    """The provider breaks off: 502 if the agent has got nothing, else a cut."""

    def each_cut(
        self, answered: bytes, how: Callable[[Upstream], None]
    ) -> list[tuple[int, str]]:
        """How the agent's connection is after a cut at each byte."""
        states = []
        for size in range(len(answered)):
            bench, agent = self.start(get())
            bench.line().send(answered[:size])
            how(bench.line())
            if size < answered.index(b"\r\n\r\n") + 4:
                self.assert_error(agent, 502, "upstream_reset")
            else:
                whole = agent.text.endswith(("0\n\n", "0123456789"))
                self.assertFalse(whole)
                self.assertEqual(agent.state, "aborted")
            self.assertEqual((bench.census.live, bench.pool.busy), (0, 0))
            states.append((size, agent.state))
        return states

    def test_at_every_byte_of_a_counted_answer(self) -> None:
        """Never a clean end for half an answer."""
        answered = answer(b"0123456789")
        self.each_cut(answered, Upstream.leave)
        self.each_cut(answered, Upstream.reset)

    def test_at_every_byte_of_a_chunked_answer(self) -> None:
        """Not even when all payload has come but the last chunk has not."""
        answered = (
            head("200 OK", "Transfer-Encoding: chunked")
            + b"5\r\n01234\r\n5\r\n56789\r\n0\r\nA: b\r\n\r\n"
        )
        self.each_cut(answered, Upstream.leave)
        self.each_cut(answered, Upstream.reset)

    def test_malformed_answers(self) -> None:
        """502 as long as nothing went to the agent, and the line is aborted."""
        for answered in (
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 200 OK\nA: b\n\n" + b"\r\n\r\n",
            head("200 OK", "Content-Length: 1", "Content-Length: 2"),
            head("200 OK", "Content-Length: 1", "Transfer-Encoding: chunked"),
            head("200 OK", "Transfer-Encoding: gzip, chunked"),
            b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000,
        ):
            bench, agent = self.start(get())
            bench.line().send(answered)
            self.assert_error(agent, 502, "upstream_malformed")
            self.assertEqual(bench.line().state, "aborted")
            self.assert_over(bench, [ASKED, FRESH, "closed 502 upstream_malformed"])

    def test_chunks_that_are_none(self) -> None:
        """Half an answer has gone out: the agent is cut off."""
        bench, agent = self.start(get())
        bench.line().send(head("200 OK", "Transfer-Encoding: chunked"), b"zz\r\n")
        self.assertEqual((agent.state, bench.line().state), ("aborted", "aborted"))
        self.assert_over(
            bench, [ASKED, FRESH, "answering 200", "closed 200 upstream_malformed"]
        )


class StaleLineTests(RelayCase):
    """A warm line that turns out to be dead is replaced, once."""

    def test_the_same_bytes_go_out_again_on_a_fresh_line(self) -> None:
        """The agent does not notice."""
        bench = self.bench()
        stale = self.warm(bench)
        agent = bench.agent()
        agent.send(post("/", b"body"))
        sent = stale.received
        self.assertIn(b"body", sent)
        stale.leave()
        self.assertEqual(len(bench.endpoint.lines), 2)
        self.assertEqual(bench.line().received, sent)
        bench.line().send(answer(b"ok"))
        self.assertTrue(agent.text.endswith("\n\nok"))
        self.assertEqual(bench.retries, 1)
        self.assert_over(bench, ["asked POST /", WARM, "answering 200", "closed 200"])
        self.assertFalse(bench.story.exchanges[-1].reused)

    def test_a_chunked_body_is_sent_again_too(self) -> None:
        """What was sent so far, then the rest as it comes."""
        bench = self.bench()
        stale = self.warm(bench)
        agent = bench.agent()
        agent.send(request("POST", "/", "Transfer-Encoding: chunked") + b"1\r\na\r\n")
        stale.reset()
        agent.send(b"1\r\nb\r\n0\r\n\r\n")
        self.assertTrue(bench.line().text.endswith("\n\n1\na\n1\nb\n0\n\n"))

    def test_an_upload_goes_on_while_the_second_line_is_dialled(self) -> None:
        """What was sent and what came since go out in order; reading goes on after."""
        bench = self.bench()
        stale = self.warm(bench)
        stale.transport.high_water = 100
        stale.stall()
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 300000") + b"a" * 1000)
        self.assertTrue(agent.transport.paused)
        bench.endpoint.held = True
        stale.reset()
        self.assertTrue(agent.transport.paused)
        line = bench.endpoint.connected()
        bench.turn()
        self.assertFalse(agent.transport.paused)
        agent.send(b"b" * 299_000)
        self.assertTrue(line.received.endswith(b"a" * 1000 + b"b" * 299_000))
        line.send(answer(b"ok"))
        self.assertTrue(agent.text.endswith("\n\nok"))

    def test_never_twice(self) -> None:
        """A fresh line that dies is an error, even behind a stale one."""
        bench = self.bench()
        stale = self.warm(bench)
        agent = bench.agent()
        agent.send(get())
        stale.leave()
        bench.line().leave()
        self.assert_error(agent, 502, "upstream_reset")
        self.assertEqual(len(bench.endpoint.lines), 2)
        self.assert_over(bench, [ASKED, WARM, "closed 502 upstream_reset"])

    def test_never_after_a_byte_of_answer(self) -> None:
        """The provider has begun to work on it."""
        bench = self.bench()
        stale = self.warm(bench)
        agent = bench.agent()
        agent.send(get())
        stale.send(b"H")
        stale.leave()
        self.assert_error(agent, 502, "upstream_reset")
        self.assertEqual(bench.retries, 0)

    def test_never_on_a_fresh_line(self) -> None:
        """Nobody can say what became of the request."""
        bench, agent = self.start(get())
        bench.line().leave()
        self.assert_error(agent, 502, "upstream_reset")
        self.assertEqual(len(bench.endpoint.lines), 1)

    def test_never_with_a_body_over_the_bound(self) -> None:
        """We have not kept it, whether it came with its head or later."""
        for pieces in ([b"x" * 101], [b"x" * 50, b"x" * 51]):
            bench = self.bench(limits=Limits(replay=100))
            stale = self.warm(bench)
            agent = bench.agent()
            agent.send(request("POST", "/", "Content-Length: 101") + pieces[0])
            agent.send(*pieces[1:])
            stale.leave()
            self.assert_error(agent, 502, "upstream_reset")
            self.assertEqual(bench.retries, 0)

    def test_bytes_that_came_before_the_request_are_not_its_answer(self) -> None:
        """A late answer to another agent; the request goes out on a fresh line."""
        bench = self.bench()
        stale = self.warm(bench)
        agent = bench.agent()
        agent.send(request("POST", "/victim", "Content-Length: 2"))
        stale.send(answer(b"poison"))
        self.assertEqual(stale.state, "aborted")
        agent.send(b"{}")
        self.assertIn(b"POST /victim", bench.line().take())
        bench.line().send(answer(b"mine"))
        self.assertTrue(agent.text.endswith("mine"))
        self.assertNotIn(b"poison", agent.received)

    def test_bytes_that_are_on_their_way_to_a_line_are_not_the_next_answer(
        self,
    ) -> None:
        """Behind the end of an answer more has come, which nobody has looked at yet."""
        bench = self.bench()
        line = self.warm(bench)
        agent = bench.agent()
        agent.send(get("/one") + get("/two"))
        line.transport.undelivered = True  # type: ignore[attr-defined]
        line.send(answer(b"1"))
        self.assertEqual(line.state, "aborted")
        self.assertIsNot(bench.line(), line)
        self.assertIn(b"GET /two", bench.line().take())

    def test_never_when_the_line_has_lived_for_a_while(self) -> None:
        """It was not stale; the provider has had the request, and may bill it twice."""
        bench = self.bench()
        stale = self.warm(bench)
        agent = bench.agent()
        agent.send(post("/v1/messages", b"{}"))
        bench.wait(10)
        stale.leave()
        self.assert_error(agent, 502, "upstream_reset")
        self.assertEqual(bench.retries, 0)

    def test_what_is_kept_for_a_second_try_is_let_go(self) -> None:
        """After a few seconds, at the first byte of an answer, and at any end."""
        bench = self.bench()
        whole = bench.pool.replay.left
        for end in ("time", "answer", "agent", "stale"):
            line = self.warm(bench)
            agent = bench.agent()
            agent.send(post("/v1/messages", b"x" * 1000))
            self.assertLess(bench.pool.replay.left, whole, end)
            if end == "time":
                bench.wait(10)
            elif end == "answer":
                line.send(answer(b"ok"))
            elif end == "agent":
                agent.leave()
            else:
                line.leave()
            self.assertEqual(bench.pool.replay.left, whole, end)
            if end == "time":
                line.send(answer(b"ok"))

    def test_nothing_is_kept_when_all_together_keep_too_much(self) -> None:
        """The request goes out, and is not tried twice."""
        bench = self.bench()
        stale = self.warm(bench)
        bench.pool.replay.take(bench.pool.replay.left)
        agent = bench.agent()
        agent.send(post("/v1/messages", b"{}"))
        stale.leave()
        self.assert_error(agent, 502, "upstream_reset")
        self.assertEqual(bench.pool.replay.left, 0)

    def test_not_when_the_agent_is_gone_too(self) -> None:
        """Nobody would read the answer."""
        bench = self.bench()
        stale = self.warm(bench)
        agent = bench.agent()
        agent.send(get())
        agent.leave()
        self.assertEqual(stale.state, "aborted")
        self.assertEqual(len(bench.endpoint.lines), 1)

    def test_the_agent_leaves_during_the_second_dial(self) -> None:
        """Which is cancelled."""
        bench = self.bench()
        stale = self.warm(bench)
        agent = bench.agent()
        agent.send(get())
        bench.endpoint.held = True
        stale.leave()
        agent.leave()
        self.assertEqual(bench.endpoint.cancelled, 1)
        self.assert_over(bench, [ASKED, WARM, "closed 499 agent_gone"])

    def test_a_line_that_spoke_unasked_is_not_taken(self) -> None:
        """Even in the very turn in which it spoke."""
        bench = self.bench()
        line = self.warm(bench)
        line.transport.deliver(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        self.assertEqual(bench.pool.idle, 0)
        agent = bench.agent()
        agent.send(get())
        self.assertEqual(line.received, b"")
        self.assertEqual(bench.retries, 0)
        bench.line().send(answer(b"ok"))
        self.assertTrue(agent.text.endswith("\n\nok"))


class BackPressureTests(RelayCase):
    """A slow side slows the other down; nothing is gathered."""

    def test_a_slow_agent_stops_the_provider(self) -> None:
        """And lets it go on when it reads again."""
        bench = self.bench()
        agent = bench.agent(high_water=1000)
        agent.send(get())
        line = bench.line()
        agent.stall()
        line.send(head("200 OK", "Content-Length: 300000") + b"x" * 300_000)
        self.assertTrue(line.transport.paused)
        self.assertLess(agent.transport.buffered, 140_000)
        agent.flow()
        self.assertFalse(line.transport.paused)
        self.assertTrue(agent.received.endswith(b"\r\n\r\n" + b"x" * 300_000))
        self.assert_over(bench, [ASKED, FRESH, "answering 200", "closed 200"])
        self.assertEqual(bench.pool.idle, 1)

    def test_a_line_given_back_while_stopped_reads_again(self) -> None:
        """Or nobody would notice that the provider closes it."""
        bench = self.bench()
        agent = bench.agent(high_water=10)
        agent.send(get())
        agent.stall()
        line = bench.line()
        line.send(answer(b"x" * 1000))
        self.assertEqual(bench.pool.idle, 1)
        self.assertFalse(line.transport.paused)
        line.leave()
        self.assertEqual(bench.pool.idle, 0)

    def test_a_provider_that_does_not_read_stops_the_agent(self) -> None:
        """And lets it go on when it reads again."""
        bench = self.bench()
        bench.endpoint.transport = {"high_water": 1000, "flowing": False}
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 300000"))
        agent.send(b"x" * 300_000)
        line = bench.line()
        self.assertTrue(agent.transport.paused)
        self.assertLess(line.transport.buffered, 140_000)
        line.flow()
        self.assertFalse(agent.transport.paused)
        self.assertTrue(line.received.endswith(b"x" * 300_000))

    def test_a_provider_that_is_full_from_the_start(self) -> None:
        """The body that came with the head fills it; the agent waits at once."""
        bench = self.bench()
        bench.endpoint.transport = {"high_water": 100, "flowing": False}
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 9999") + b"x" * 500)
        self.assertTrue(agent.transport.paused)

    def test_an_upload_goes_on_though_its_agent_does_not_read(self) -> None:
        """The two directions do not block each other, and nothing piles up."""
        bench = self.bench()
        agent = bench.agent(high_water=100)
        agent.send(request("POST", "/", f"Content-Length: {MiB}") + b"x")
        agent.stall()
        line = bench.line()
        line.send(head("200 OK", "Transfer-Encoding: chunked") + b"c8\r\n" + b"y" * 200)
        agent.send(b"x" * (MiB - 1))
        self.assertEqual(line.received.count(b"x" * 1024), 1024)
        self.assertEqual(len(agent.channel._buffer), 0)

    def test_a_line_attached_to_a_full_agent_waits(self) -> None:
        """The previous answer is still on its way."""
        bench = self.bench()
        bench.endpoint.held = True
        agent = bench.agent(high_water=100)
        agent.stall()
        agent.send(get())
        agent.channel.write(b"x" * 200)
        line = bench.endpoint.connected()
        self.assertTrue(line.transport.paused)
        agent.flow()
        self.assertFalse(line.transport.paused)


class DeadlineTests(RelayCase):
    """How long an exchange may stand still; kept to within a second."""

    def assert_after(
        self, bench: Bench, seconds: int, done: Callable[[], object]
    ) -> None:
        bench.wait(seconds)
        self.assertFalse(done())
        bench.wait(2)
        self.assertTrue(done())

    def test_no_byte_of_an_answer(self) -> None:
        """504, and the line is aborted."""
        bench, agent = self.start(get())
        self.assert_after(bench, 20, lambda: agent.received)
        self.assert_error(agent, 504, "upstream_timeout")
        self.assertEqual(bench.line().state, "aborted")
        self.assert_over(bench, [ASKED, FRESH, "closed 504 upstream_timeout"])

    def test_interim_answers_do_not_count(self) -> None:
        """A provider cannot keep an agent waiting for ever with hints."""
        bench, agent = self.start(get())
        for _ in range(11):
            bench.wait(2)
            if bench.census.live:
                bench.line().send(head("103 Early Hints"))
        self.assert_error(agent, 504, "upstream_timeout")

    def test_silence_in_the_middle_of_an_answer(self) -> None:
        """A cut; every byte starts the time anew."""
        bench, agent = self.start(get())
        bench.line().send(head("200 OK", "Content-Length: 10") + b"1")
        bench.wait(25)
        bench.line().send(b"2")
        self.assert_after(bench, 30, lambda: agent.state == "aborted")
        self.assertEqual(bench.line().state, "aborted")
        self.assert_over(
            bench, [ASKED, FRESH, "answering 200", "closed 200 upstream_timeout"]
        )

    def test_a_body_that_stops_coming(self) -> None:
        """408, which may be tried again, but on another connection."""
        bench, agent = self.start(request("POST", "/", "Content-Length: 10") + b"1")
        bench.wait(5)
        agent.send(b"2")
        self.assert_after(bench, 7, lambda: agent.received)
        self.assert_error(agent, 408, "request_timeout", closing=True)
        self.assertNotIn(b"x-should-retry", agent.received)
        self.assertEqual(bench.line().state, "aborted")

    def test_an_agent_that_stops_reading(self) -> None:
        """It is cut off, and upstream aborted."""
        bench = self.bench()
        agent = bench.agent(high_water=10)
        agent.send(get())
        agent.stall()
        bench.line().send(head("200 OK", "Content-Length: 9999") + b"x" * 999)
        self.assert_after(bench, 40, lambda: agent.state == "aborted")
        self.assertEqual(bench.line().state, "aborted")
        self.assertIn("closed 200 request_timeout", bench.told)

    def test_a_provider_that_stops_reading(self) -> None:
        """504: it is not the agent that is slow."""
        bench = self.bench()
        bench.endpoint.transport = {"high_water": 100, "flowing": False}
        agent = bench.agent()
        agent.send(request("POST", "/", "Content-Length: 9999") + b"x" * 999)
        self.assert_after(bench, 40, lambda: agent.received)
        self.assert_error(agent, 504, "upstream_timeout")

    def test_a_dial_has_its_own_deadlines(self) -> None:
        """The relay waits as long as the endpoint does."""
        bench = self.bench()
        bench.endpoint.held = True
        agent = bench.agent()
        agent.send(get())
        bench.wait(300)
        self.assertEqual((agent.received, agent.state), (b"", "open"))
        bench.endpoint.refused(TimeoutError())
        self.assert_error(agent, 504, "egress_timeout")


class FailureTests(RelayCase):
    """A line that cannot be had, and bugs."""

    def test_a_dial_that_fails(self) -> None:
        """The agent learns who is to blame."""
        for tunnelled, error, status, code in (
            (True, ConnectionRefusedError(), 502, "egress_unreachable"),
            (False, ConnectionRefusedError(), 502, "upstream_unreachable"),
            (True, EgressDenied(), 403, "egress_denied"),
        ):
            bench = self.bench(tunnelled=tunnelled)
            bench.endpoint.failing = error
            agent = bench.agent()
            agent.send(post("/", b"body"))
            self.assert_error(agent, status, code)
            self.assert_over(bench, ["asked POST /", f"closed {status} {code}"])
            self.assertEqual(agent.state, "open")

    def test_a_dial_that_fails_strangely(self) -> None:
        """500, and a complaint."""
        bench = Bench()
        bench.endpoint.failing = ZeroDivisionError()
        agent = bench.agent()
        agent.send(get())
        self.assert_error(agent, 500, "internal_error")
        self.assertEqual(
            bench.complaints, ["a line could not be opened: ZeroDivisionError()"]
        )

    def test_a_credential_that_goes_away_on_the_way(self) -> None:
        """403 as if it had never been there; nothing was sent."""

        class Leaving:
            left = 1
            awaited = False

            def current(self) -> Secret | None:
                self.left -= 1
                return Secret(KEY) if self.left >= 0 else None

        credential = Credential(b"x-api-key", b"", Leaving())
        bench, agent = self.start(
            request("POST", "/", "Content-Length: 5", "Expect: 100-continue") + b"12",
            provider=a_provider(credential=credential),
        )
        self.assert_error(agent, 403, "provider_not_configured", closing=True)
        self.assertEqual(bench.line().received, b"")
        self.assertEqual(bench.line().state, "aborted")
        self.assertNotIn(b"100 Continue", agent.received)

    def test_a_credential_that_breaks(self) -> None:
        """500 on a fresh line and on a warm one; the line is not left behind."""

        class Broken:
            calls = 0
            awaited = False

            def current(self) -> Secret | None:
                self.calls += 1
                if self.calls % 2 == 0 and self.calls > 2:
                    raise ZeroDivisionError
                return Secret(KEY)

        for warm in (False, True):
            bench = Bench()
            credential = Credential(b"x-api-key", b"", Broken())
            bench.site.use(bench.route(a_provider(credential=credential)))
            self.warm(bench)
            if not warm:
                bench.line().leave()
            agent = bench.agent()
            agent.send(get())
            self.assert_error(agent, 500, "internal_error")
            self.assertEqual(bench.line().state, "aborted")
            self.assertEqual(len(bench.complaints), 1)
            self.assertEqual((bench.census.live, bench.pool.busy), (0, 0))

    def test_a_bug_in_the_middle_of_an_answer(self) -> None:
        """The exchange ends, the others go on."""
        bench, agent = Bench(), None
        agent = bench.agent()
        agent.send(get())
        sink = bench.line().line._sink
        assert sink is not None

        def broken(payload: bytes) -> None:
            raise ZeroDivisionError

        sink.answer_data = broken  # type: ignore[method-assign]
        bench.line().send(answer(b"hi"))
        self.assertEqual(agent.state, "aborted")
        self.assertEqual(
            bench.complaints, ["an answer could not be carried: ZeroDivisionError()"]
        )
        self.assertEqual((bench.census.live, bench.pool.busy), (0, 0))

    def test_a_guard_refuses(self) -> None:
        """Nothing leaves."""

        class Guard:
            def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
                return UpstreamMalformed("no") if ask.path == b"/no" else None

        bench, agent = self.start(get("/no") + get("/yes"), guards=[Guard()])
        self.assertIn(b"x-apiproxy-error: upstream_malformed", agent.received)
        self.assertIn(b"GET /yes", bench.line().received)
        self.assertEqual(
            bench.told,
            ["asked GET /no", "closed 502 upstream_malformed", "asked GET /yes", FRESH],
        )

    def test_the_first_reason_stays(self) -> None:
        """A second end does nothing."""
        bench, agent = self.start(get())
        server = agent.channel.request.server if agent.channel.request else None
        assert server is not None
        server.agent_lost(InternalError())
        server.agent_lost(None)
        self.assert_error(agent, 500, "internal_error")
        self.assertEqual(len([t for t in bench.told if t.startswith("closed")]), 1)

    def test_repr_tells_its_story(self) -> None:
        """For whoever debugs."""
        _, agent = self.start(get())
        assert agent.channel.request is not None
        self.assertEqual(
            repr(agent.channel.request.server),
            "<Relay <Exchange id-1 acme FORWARDED 0.0s 0↑ 0↓>"
            " over <UpstreamLine fresh carrying GET>>",
        )


class CutTests(BenchCase):
    """A stream whose response crosses a cap ends where an event ends."""

    def scene(self) -> tuple[Bench, Agent, Upstream]:
        """An agent that waits for the answer to a request with a budget."""

        def metering(clock: Clock) -> Metering:
            self.desk = Desk(clock, Rules(budgets=Budgets(tokens=1_000_000)))
            return self.desk.metering

        bench = self.bench(metering=metering)
        agent = bench.agent()
        body = b'{"model":"gpt-4o","stream":true,"messages":[]}'
        agent.send(post("/v1/chat/completions", body))
        return bench, agent, bench.line()

    def test_at_the_end_of_an_event(self) -> None:
        """The rest of that event passes, then our own; upstream is hung up on."""
        for framing in ("Transfer-Encoding: chunked", "Connection: close"):
            bench, agent, line = self.scene()
            line.send(head("200 OK", _SSE, framing))
            half = len(_WORD) // 2
            pieces = [
                _WORD + _WORD[:half],
                _WORD[half:][:9],
                _WORD[half + 9 :] + b"!!!",
            ]
            for piece in pieces:
                size = b"%x\r\n%b\r\n" % (len(piece), piece)
                line.send(size if "chunked" in framing else piece)
            text = agent.received
            self.assertGreaterEqual(text.count(b"w"), 8000)
            self.assertIn(b"effective_tokens_limit_exceeded", text)
            self.assertNotIn(b"!!!", text)
            self.assertTrue(text.endswith(b"0\r\n\r\n"))
            self.assertEqual(line.state, "aborted")
            self.assertEqual(
                bench.told[-1], "closed 200 effective_tokens_limit_exceeded"
            )

    def test_what_has_a_length_is_aborted(self) -> None:
        """There is no place for words of ours."""
        bench, agent, line = self.scene()
        line.send(head("200 OK", _SSE, "Content-Length: 1000000"))
        line.send(_WORD)
        self.assertEqual((agent.state, line.state), ("aborted", "aborted"))
        self.assertEqual(bench.told[-1], "closed 200 effective_tokens_limit_exceeded")

    def test_stopped_between_two_events(self) -> None:
        """The stream says so; in the middle of one, at its end; or it is cut off."""
        short = b'data: {"choices":[{"index":0,"delta":{"content":"w"}}]}\n\n'
        for size in (len(short), 20):
            _, agent, line = self.scene()
            line.send(head("200 OK", _SSE, "Transfer-Encoding: chunked"))
            for at, piece in enumerate((short[:size], short[size:] + b"!!!")):
                if line.state == "open":
                    line.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                request = agent.channel.request
                if at == 0:
                    assert request is not None
                    assert isinstance(request.server, Relay)
                    request.server.stop(Stopped())
                    agent.bench.turn()
            self.assertIn(b"stopped_by_operator", agent.received)
            self.assertNotIn(b"!!!", agent.received)
            self.assertEqual((agent.state, line.state), ("open", "aborted"))

    def test_stopped_before_an_answer(self) -> None:
        """It is an ordinary error."""
        _, agent, _ = self.scene()
        request = agent.channel.request
        assert request is not None
        assert isinstance(request.server, Relay)
        request.server.stop(Stopped())
        agent.bench.turn()
        self.assert_error(agent, 400, "stopped_by_operator")

    def test_an_agent_that_leaves_before_the_figures(self) -> None:
        """Has read the answer, but nobody knows what was thought: it pays what is usual."""
        chat = b'{"choices":[{"delta":{"content":"42"},"finish_reason":"stop"}]}'
        message = b'{"type":"message_start","message":{"usage":{"input_tokens":9}}}'
        for said in (chat, message):
            bench, agent, line = self.scene()
            line.send(head("200 OK", _SSE) + b"data: " + said + b"\n\n")
            agent.leave()
            self.assertEqual(bench.told[-1], "closed 200 agent_gone")
            spent = self.desk.ledger.standing("tokens").spent
            self.assertGreater(spent, 4096 * 4 * 1000)

    def test_chunks_count_for_the_rate(self) -> None:
        """As they pass, where nobody holds them."""
        rules = Rules(rates=Rates(enabled=True, bytes_pm=4))
        bench = self.bench(metering=lambda clock: Desk(clock, rules).metering)
        agent = bench.agent()
        lines = request("POST", "/v1/files", "Transfer-Encoding: chunked")
        agent.send(lines + b"5\r\n12345\r\n0\r\n\r\n")
        bench.line().send(answer())
        agent.take()
        agent.send(get())
        self.assert_error(agent, 429, "rate_limited")


_SSE = "Content-Type: text/event-stream"
_WORD = (
    b'data: {"choices":[{"index":0,"delta":{"content":"' + b"w" * 4000 + b'"}}]}\n\n'
)
