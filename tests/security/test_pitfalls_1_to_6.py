"""Pitfalls 1 to 6: what an agent can do with a request's bytes."""

import uuid
from collections.abc import Sequence
from functools import partial

from hypothesis import given, strategies as st

from apiproxy.config import ConfigurationError, Settings
from apiproxy.core.errors import BadTarget, ProxyError
from apiproxy.core.exchange import Exchange
from apiproxy.core.target import upstream_target
from apiproxy.core.values import Ask
from tests.kit.provider import Request
from tests.security.stage import WAYS, PitfallCase, Way
from tests.squid.proxy import PLACEHOLDER, PROVIDERS
from tests.squid.test_credentials import SLOTS, SUBPROTOCOLS, crowded

BEHIND = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""What must never be read as a second request."""

FRAMINGS = (
    [b"Content-Length: 3", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: chunked", b"Content-Length: 3"],
    [b"Content-Length: 3", b"Content-Length: 3"],
    [b"Content-Length: 3", b"Content-Length: 0"],
    [b"Content-Length: 3, 3"],
    [b"Content-Length: +3"],
    [b"Content-Length: -0"],
    [b"Content-Length: 0x3"],
    [b"Content-Length: 3_0"],
    [b"Content-Length: 3.0"],
    [b"Content-Length: "],
    [b"Content-Length: " + b"9" * 40],
    [b"Transfer-Encoding: ,chunked"],
    [b"Transfer-Encoding: chunked,"],
    [b"Transfer-Encoding: chunked, chunked"],
    [b"Transfer-Encoding: chunked, identity"],
    [b"Transfer-Encoding: gzip, chunked"],
    [b"Transfer-Encoding: identity"],
    [b"Transfer-Encoding: xchunked"],
    [b"Transfer-Encoding: chunked;a=b"],
    [b'Transfer-Encoding: "chunked"'],
    [b"Transfer-Encoding:\x0bchunked"],
    [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: "],
    [b"Transfer-Encoding : chunked"],
    [b"Content-Length : 3"],
    [b"X: y", b" Transfer-Encoding: chunked"],
    [b"X: y", b"\tContent-Length: 3"],
    [b"X: a\nContent-Length: 3"],
    [b"X: a\rContent-Length: 3"],
    [b"X: a\x00b"],
    [b"X: a\x7fb"],
    [b"X\x00: a"],
    [b"X Y: a"],
    [b": a"],
    [b"no colon"],
    [b"Expect: 200-ok"],
    [b"Expect: 100-continue, 100-continue"],
    [b"Expect: 100-continue", b"Expect: 100-continue"],
)
"""Header lines that two servers might read as two lengths, or as two lines."""

CHUNKS = (
    b"3;a=b\r\nabc\r\n0\r\n\r\n",
    b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n',
    b"0x3\r\nabc\r\n0\r\n\r\n",
    b"+3\r\nabc\r\n0\r\n\r\n",
    b" 3\r\nabc\r\n0\r\n\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n",
    b"3\nabc\n0\n\n",
    b"3\r\nabcX\r\n0\r\n\r\n",
    b"3\r\nabc0\r\n\r\n",
    b"\r\nabc\r\n0\r\n\r\n",
    b"-1\r\nabc\r\n0\r\n\r\n",
    b"f" * 17 + b"\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nX Y: a\r\n\r\n",
    b"3\r\nabc\r\n0\r\nno colon\r\n\r\n",
)
"""Chunked bodies that not every server ends in the same place."""


class Pitfall01RequestSmugglingTests(PitfallCase):
    """Refuse with 400 and close, never normalise; one framing out, always ours."""

    async def test_two_framings_are_refused(self) -> None:
        """Nothing leaves, the connection is closed, and what stood behind is not read."""
        await self.put_up()

        async def story(way: Way, lines: Sequence[bytes]) -> None:
            data = way.head(lines) + b"abc" + BEHIND
            agent, response = await self.say(way, data)
            self.assert_refused(way, response, 400, "malformed_request")
            self.assertEqual((await agent.read_all()), b"")

        for lines in FRAMINGS:
            await self.every_way(partial(story, lines=lines))
        self.assert_untouched()

    async def test_old_versions_have_no_chunks(self) -> None:
        """HTTP/1.0 with ``Transfer-Encoding`` is how two servers are made to disagree."""
        await self.put_up()

        async def story(way: Way) -> None:
            lines = [b"Transfer-Encoding: chunked"]
            data = way.head(lines, version=b"HTTP/1.0") + b"0\r\n\r\n" + BEHIND
            _, response = await self.say(way, data)
            self.assert_refused(way, response, 400, "malformed_request")

        await self.every_way(story)
        self.assert_untouched()

    async def test_bare_line_feeds_end_no_line(self) -> None:
        """Nor does a bare CR; neither in a head that is complete nor in one that is not."""
        await self.put_up()

        async def story(way: Way) -> None:
            for data in (
                way.head().replace(b"\r\n", b"\n"),
                way.head().replace(b"\r\nHost", b"\nHost"),
                way.head([b"X: a"]).replace(b"\r\nX", b"\rX"),
                way.head()[:-4] + b"\n\n",
            ):
                _, response = await self.say(way, data + BEHIND)
                self.assert_refused(way, response, 400, "malformed_request")

        await self.every_way(story)
        self.assert_untouched()

    async def test_chunks_of_doubtful_length(self) -> None:
        """The provider may have seen the head by then, but never a whole body or a second."""
        await self.put_up()

        async def story(way: Way) -> None:
            for body in CHUNKS:
                data = way.head([b"Transfer-Encoding: chunked"], method=b"POST")
                agent, response = await self.say(way, data + body + BEHIND)
                if response is not None:
                    self.assert_refused(way, response, 400, "malformed_request")
                self.assertEqual(await agent.read_all(), b"")

        await self.every_way(story, [way for way in WAYS if not way.upgrade])
        await self.settled()
        for request in self.provider.requests:
            self.assertFalse(request.complete, request.head)
            self.assertNotIn(b"smuggled", request.head + request.body)

    async def test_a_handshake_has_no_body(self) -> None:
        """What stands behind it would be frames for one and a body for the other."""
        await self.put_up()

        async def story(way: Way) -> None:
            for lines in ([b"Content-Length: 44"], [b"Transfer-Encoding: chunked"]):
                _, response = await self.say(way, way.head(lines) + BEHIND)
                self.assert_refused(way, response, 400, "malformed_request")

        await self.every_way(story, [way for way in WAYS if way.upgrade])
        self.assert_untouched()

    async def test_a_body_on_get_is_framed_by_us(self) -> None:
        """It arrives with its length, and what stands behind it is a request of its own."""
        await self.put_up()

        async def story(way: Way) -> None:
            data = way.head([b"Content-Length: %d" % len(BEHIND)], method=b"GET")
            agent, response = await self.say(way, data + BEHIND)
            assert response is not None
            self.assertEqual(response.status, 200)
            agent.end("reset")

        await self.every_way(story, [way for way in WAYS if not way.upgrade])
        self.assertEqual(len(self.provider.requests), len(PROVIDERS))
        for request in self.provider.requests:
            self.assertEqual(request.all(b"content-length"), [b"%d" % len(BEHIND)])
            self.assertEqual(bytes(request.body), BEHIND)

    async def test_a_body_is_framed_anew(self) -> None:
        """Trailers end here, and so does the agent's cutting into chunks."""
        await self.put_up()

        async def story(way: Way) -> None:
            body = (
                b"1\r\na\r\n2\r\nbc\r\n0\r\nX-Api-Key: rides\r\nX-Other: along\r\n\r\n"
            )
            data = way.head([b"Transfer-Encoding: chunked"]) + body
            agent, response = await self.say(way, data)
            assert response is not None
            self.assertEqual(response.status, 200)
            agent.end("reset")

        await self.every_way(story, [way for way in WAYS if not way.upgrade])
        for request in self.provider.requests:
            self.assertEqual(bytes(request.body), b"abc")
            self.assertEqual(request.trailers, [])
            self.assertEqual(request.all(b"transfer-encoding"), [b"chunked"])


class Pitfall02HostTests(PitfallCase):
    """Exactly one Host on HTTP/1.1; repeated lines stay separate lines."""

    async def test_no_host_and_two_hosts(self) -> None:
        """Both are refused, also when the two are the same."""
        await self.put_up()

        async def story(way: Way) -> None:
            for data in (
                way.head(host=None),
                way.head([b"Host: localhost"]),
                way.head([b"hOST: evil.example"]),
                way.head([b"Host:"], host=None).replace(b"Host:", b"Host :"),
            ):
                _, response = await self.say(way, data + BEHIND)
                self.assert_refused(way, response, 400, "malformed_request")

        await self.every_way(story)
        self.assert_untouched()

    async def test_one_host_goes_out_and_it_is_the_providers(self) -> None:
        """Whatever the agent called us."""
        await self.put_up()

        async def story(way: Way) -> None:
            for host in (b"localhost", b"127.0.0.1:10000", b"[::1]"):
                response = await self.answered(way, host=host)
                self.assertIn(response.status, (101, 200))

        await self.every_way(story)
        hosts = {f"{known.host}:{self.provider.port}" for known in PROVIDERS}
        for request in self.provider.requests:
            (host,) = request.all(b"host")
            self.assertIn(host.decode(), hosts)

    async def test_repeated_lines_stay_apart(self) -> None:
        """Joined with a comma, two values may mean a third."""
        await self.put_up()
        sent = [(b"X-Policy", b"a"), (b"Accept", b"b"), (b"x-policy", b"c,d")]

        async def story(way: Way) -> None:
            response = await self.answered(way, sent)
            self.assertIn(response.status, (101, 200))

        await self.every_way(story)
        for request in self.provider.requests:
            self.assertEqual(request.all(b"x-policy"), [b"a", b"c,d"])


TARGETS = (
    b"http://evil.example/",
    b"https://api.openai.com/v1/models",
    b"//evil.example/v1",
    b"///evil.example",
    b"/\\evil.example",
    b"\\\\evil.example",
    b"@evil.example/",
    b".evil.example/",
    b":443@evil.example/",
    b"evil.example:443",
    b"*",
    b"?x",
    b"/%2f/../..//evil.example",
    b"/a/../../..//evil.example/",
    b"/v1#@evil.example",
    b"/v1\x80",
)
"""Targets that are a host for somebody."""

ODD_PATHS = (
    b"/@evil.example/",
    b"/http://evil.example/",
    b"/.evil.example",
    b"/:443@evil.example",
    b"/%2f%2fevil.example",
    b"/a//evil.example",
)
"""Odd, but paths; the host stays what it is."""


class Pitfall03UpstreamChosenByTheAgentTests(PitfallCase):
    """Origin-form only; the CONNECT authority is always the configured one."""

    async def test_targets_that_are_a_host_for_somebody(self) -> None:
        """400, and nothing leaves."""
        await self.put_up()

        async def story(way: Way) -> None:
            for target in TARGETS:
                _, response = await self.say(way, way.head(target=target) + BEHIND)
                assert response is not None, target
                self.assertEqual(response.status, 400, target)

        await self.every_way(story)
        await self.settled()
        self.assertNotIn(b"evil", b"".join(self.middle.heads))
        for request in self.provider.requests:
            # "GET /smuggled" on a connection that was kept is a request of its own.
            self.assertTrue(request.path.endswith(b"/smuggled"))

    async def test_methods_that_choose_a_host_or_echo_the_key(self) -> None:
        """CONNECT, TRACE and TRACK are not carried, in any case of letters."""
        await self.put_up()

        async def story(way: Way) -> None:
            for method in (b"CONNECT", b"TRACE", b"TRACK", b"trace"):
                agent = await self.agent(way.known.name)
                agent.write(way.head(method=method))
                response = await agent.response()
                self.assert_refused(way, response, 405, "method_refused")

        await self.every_way(story, [way for way in WAYS if not way.upgrade])
        self.assert_untouched()

    async def test_odd_paths_go_to_the_configured_host(self) -> None:
        """Over CONNECT and TLS to its name, and with its key."""
        await self.put_up()

        async def story(way: Way) -> None:
            for target in ODD_PATHS:
                await self.say(way, way.head(target=target, method=b"GET"))

        await self.every_way(story)
        authorities = {
            f"{known.host}:{self.provider.port}".encode() for known in PROVIDERS
        }
        for head in self.middle.heads:
            self.assertIn(head.split(b" ")[1], authorities)
        for request in self.provider.requests:
            name = request.line.server_name
            assert name is not None
            (host,) = request.all(b"host")
            self.assertEqual(host, b"%b:%d" % (name, self.provider.port))

    @given(st.binary(max_size=40), st.sampled_from([b"", b"/v1", b"/a/b"]))
    def test_no_target_gets_out_of_the_path(self, target: bytes, base: bytes) -> None:
        """Whatever is sent either is refused or stays a path below the base path."""
        try:
            sent = upstream_target(target, base)
        except BadTarget:
            return
        self.assertTrue(sent.startswith(base + b"/") or sent == base)
        self.assertFalse(sent.startswith(b"//"))
        self.assertNotRegex(sent, rb"[\x00-\x20\\#\x7f-\xff]")


class _Noting:
    """A guard that notes what it decided on.

    Attributes:
        paths: of the requests it was asked about.
    """

    def __init__(self) -> None:
        self.paths: list[bytes] = []

    def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """Let it pass."""
        self.paths.append(ask.path)
        return None


SPELLINGS = (
    b"/v1/models",
    b"/v1/./models",
    b"/v1/x/../models",
    b"/v1/%6dodels",
    b"/v1/%2e%2e/v1/models",
    b"/%76%31/models",
    b"/V1/Models",
    b"/v1/models/",
    b"/v1/models.",
    b"/v1/models%2f",
    b"/v1/models;x=y",
    b"/v1/models%00",
    b"/v1/models%252e%252e",
)
HIDDEN = (
    b"/v1/..;/models",
    b"/v1/..%2fmodels",
    b"/v1/%2e%2e%2fmodels",
    b"/v1/..%5cmodels",
    b"/v1/.;/models",
    b"/v1%2f..%2fmodels",
    b"/v1/%2%65%2e/models",
)
"""Dot segments that only some servers see."""


class Pitfall04TwoSpellingsTests(PitfallCase):
    """Canonicalise once; policy decides on, and the wire carries, the same bytes."""

    async def test_what_was_decided_on_is_what_is_sent(self) -> None:
        """Byte for byte, for each of many spellings."""
        proxy = await self.put_up()
        noting = {}
        for name, site in proxy.proxy.sites.items():
            noting[name] = _Noting()
            site.route.guards = (*site.route.guards, noting[name])

        async def story(way: Way) -> None:
            for target in SPELLINGS:
                response = await self.answered(way, target=target + b"?a=1")
                self.assertIn(response.status, (101, 200), target)

        await self.every_way(story)
        decided = sorted(path for one in noting.values() for path in one.paths)
        self.assertEqual(decided, sorted(one.path for one in self.provider.requests))
        self.assertEqual(len(decided), len(SPELLINGS) * len(WAYS))

    async def test_what_has_two_meanings_is_refused(self) -> None:
        """A dot segment for some servers and a name for others."""
        await self.put_up()

        async def story(way: Way) -> None:
            for target in HIDDEN:
                response = await self.answered(way, target=target)
                self.assert_refused(way, response, 400, "bad_target")

        await self.every_way(story)
        self.assert_untouched()

    async def test_a_rule_is_passed_by_no_spelling(self) -> None:
        """An endpoint that is refused is refused however it is written."""
        await self.put_up()

        async def story(way: Way) -> None:
            for target in (
                b"/v1/realtime/client_secrets",
                b"/v1/Realtime/Client_Secrets",
                b"/v1/realtime/client%5fsecrets",
                b"/v1/realtime/client%255fsecrets",
                b"/v1/x/../realtime/client_secrets",
                b"/v1/realtime//client_secrets",
                b"/v1/realtime/client_secrets/",
                b"/v1/realtime/client_secrets;a=b",
                b"/v1/realtime/client_secrets.",
                b"/v1/realtime%2Fclient_secrets",
                b"/v1/realtime/client_secrets?x=/v1/models",
            ):
                response = await self.answered(way, target=target)
                status = 400 if way.upgrade else 403
                self.assert_refused(way, response, status, "endpoint_refused")

        await self.every_way(story)
        self.assert_untouched()


class Pitfall05SecondCredentialTests(PitfallCase):
    """Strip every slot of every provider on every port."""

    async def test_no_slot_lets_a_credential_through(self) -> None:
        """Headers in odd case, with ``_``, twice; query keys in any encoding; protocols."""
        await self.put_up()
        held = PLACEHOLDER.encode()
        fields = [(slot, held) for slot in SLOTS] * 2
        offered = b", ".join([*(each.encode() for each in SUBPROTOCOLS)])

        async def story(way: Way) -> None:
            mine = [*fields]
            if way.upgrade:
                mine.append((b"Sec-WebSocket-Protocol", offered))
            response = await self.answered(way, mine, target=crowded(way.known.path))
            self.assertIn(response.status, (101, 200))

        await self.every_way(story)
        self.assertEqual(len(self.provider.requests), len(WAYS))
        for request in self.provider.requests:
            self._only_ours(request)

    def _only_ours(self, request: Request) -> None:
        self.assertNotIn(PLACEHOLDER.encode(), request.head)
        names = {name.lower().replace(b"_", b"-") for name, _ in request.fields}
        slots = {name.lower().replace(b"_", b"-") for name in SLOTS}
        (slot,) = names & slots
        known = [one for one in PROVIDERS if one.credential in request.all(slot)]
        self.assertTrue(known, request.head)
        self.assertEqual(len(request.all(slot)), 1)

    async def test_what_connection_names_is_not_a_way_to_drop_ours(self) -> None:
        """An agent cannot have the credential, or the framing, taken off on the way."""
        await self.put_up()

        async def story(way: Way) -> None:
            line = (
                b"Connection: Upgrade, x-api-key, authorization, content-length, host"
            )
            data = way.head([line, b"Content-Length: 2"] if not way.upgrade else [line])
            agent, _ = await self.say(way, data + (b"" if way.upgrade else b"{}"))
            agent.end("reset")

        await self.every_way(story)
        self.assertEqual(len(self.provider.requests), len(WAYS))
        for request in self.provider.requests:
            self._only_ours(request)
            self.assertEqual(len(request.all(b"host")), 1)

    async def test_a_slot_of_ones_own_is_one_too(self) -> None:
        """The header that a setting names, with ``-`` or ``_``."""
        await self.put_up({"AWF_OPENAI_AUTH_HEADER": "X-Corp-Key"})

        async def story(way: Way) -> None:
            fields = [(b"X-Corp-Key", b"agents"), (b"x_corp_key", b"agents")]
            await self.answered(way, fields)

        await self.every_way(story, [way for way in WAYS if way.known.name == "openai"])
        for request in self.provider.requests:
            self.assertNotIn(b"agents", request.head)
            self.assertEqual(len(request.all(b"x-corp-key")), 1)


INJECTIONS = ("a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\x00b")
INTO = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "COPILOT_GITHUB_TOKEN",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "COPILOT_INTEGRATION_ID",
    "AWF_PROVIDER_SESSION_ID",
    "AWF_OPENAI_AUTH_HEADER",
    "AWF_ANTHROPIC_AUTH_HEADER",
    "OPENAI_API_TARGET",
    "ANTHROPIC_API_TARGET",
    "OPENAI_API_BASE_PATH",
    "HTTPS_PROXY",
    "APIPROXY_ALLOWED_HOSTS",
    "APIPROXY_ALLOWED_ORIGINS",
)


class Pitfall06HeaderInjectionTests(PitfallCase):
    """Values are checked at start; CR, LF and NUL are refused."""

    def test_configured_values(self) -> None:
        """A problem that names the variable and does not repeat the value."""
        for name in INTO:
            for value in INJECTIONS:
                environ = {name: value, "COPILOT_PROVIDER_API_KEY": "k" * 20}
                with self.assertRaises(ConfigurationError, msg=name) as caught:
                    Settings.read(environ, None, lambda path: b"", lambda: "id")
                problems = " ".join(caught.exception.problems)
                self.assertIn(name, problems)
                self.assertNotIn("Evil", problems)

    def test_files_of_keys(self) -> None:
        """A line feed at the end is what editors leave; one in the middle is not."""

        def read(data: bytes) -> Settings:
            environ = {"OPENAI_API_KEY_FILE": "/key"}
            return Settings.read(environ, None, lambda path: data, lambda: "id")

        (openai,) = (one for one in read(b"abc\n").providers if one.name == "openai")
        self.assertEqual([each.reveal() for each in openai.secrets], [b"abc"])
        for data in (b"abc\ndef", b"abc\r\nX: y\r\n", b"a\x00b", b"\xff\xfe"):
            self.assertRaises(ConfigurationError, read, data)

    async def test_request_ids(self) -> None:
        """Only harmless ones are taken over; any other is replaced by ours."""
        await self.put_up()

        async def story(way: Way) -> None:
            for sent in (b"a b", b"a,b", b"a\tb", b"\xff", b"x" * 129, b'"', b"<id>"):
                response = await self.answered(way, [(b"X-Request-Id", sent)])
                (got,) = response.all(b"x-request-id")
                self.assertEqual(str(uuid.UUID(got.decode())), got.decode())

        await self.every_way(story)
        for request in self.provider.requests:
            (got,) = request.all(b"x-request-id")
            uuid.UUID(got.decode())
