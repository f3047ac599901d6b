"""Everything that can go wrong on the way out, and what the agent is told of it."""

import base64
from collections.abc import Sequence

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults

from apiproxy.config import ConfigurationError
from tests.kit import connect, provider as kit
from tests.kit.connect import ConnectProxy
from tests.kit.http import Response
from tests.kit.provider import Provider, websocket
from tests.kit.squid import Squid
from tests.kit.tls import HOSTS as NAMES, Identity, authority
from tests.squid.proxy import (
    HOSTS,
    OPENAI,
    PROVIDERS,
    Known,
    SquidCase,
    about,
    read_settings,
)


@frozen
class Told:
    """What an agent is to be told.

    Attributes:
        status: over HTTP.
        code: in ``x-apiproxy-error`` and in the body.
        retriable: whether trying again may help.
        setting: named in the message.
    """

    status: int
    code: str
    retriable: bool
    setting: str

    @property
    def upgrade_status(self) -> int:
        """On a WebSocket: 426 sends clients to HTTP, 400 stops them."""
        return 426 if self.retriable else 400


class EgressCase(SquidCase):
    async def told(
        self, expected: Told, providers: Sequence[Known] = PROVIDERS
    ) -> None:
        """See that agents on these ports are told just this, on HTTP and on WebSocket."""
        for known in providers:
            for body in (None, b"{}"):
                with about((known.name, expected.code)):
                    method = b"GET" if body is None else b"POST"
                    response = await self.ask(known, method, body=body)
                    self.assertEqual(
                        response.status, expected.status, bytes(response.body)
                    )
                    self.compare(known, response, expected)
            with about((known.name, expected.code, "upgrade")):
                agent = await self.agent(known.name)
                response = await agent.upgrade(known.path)
                self.assertEqual(response.status, expected.upgrade_status)
                self.assertEqual(response.get(b"connection"), b"close")
                self.compare(known, response, expected)
                await agent.gone()

    def compare(self, known: Known, response: Response, expected: Told) -> None:
        """See that an answer is the error that was expected."""
        code, message = known.error(response)
        self.assertEqual(code, expected.code)
        self.assertIn(expected.setting, message)
        self.assertEqual(response.get(b"x-apiproxy-error"), expected.code.encode())
        self.assertEqual(response.get(b"content-type"), b"application/json")
        self.assertIsNotNone(response.get(b"x-request-id"))
        retry = response.get(b"x-should-retry")
        self.assertEqual(retry, None if expected.retriable else b"false")
        line = self.proxy.outcomes[-1]
        self.assertEqual(
            (line["error"], line["status"]), (expected.code, response.status)
        )
        self.assertEqual(line["request_id"].encode(), response.get(b"x-request-id"))


DENIED = Told(403, "egress_denied", False, "allow-list")
AUTH = Told(502, "egress_auth_required", False, "HTTPS_PROXY")
BAD_GATEWAY = Told(502, "egress_bad_gateway", True, "Squid's log")
HOST_UNREACHABLE = Told(503, "egress_host_unreachable", True, "*_API_TARGET")
HOST_TIMEOUT = Told(504, "egress_host_timeout", True, "connect_timeout")
UNREACHABLE = Told(502, "egress_unreachable", True, "HTTPS_PROXY")
SILENT = Told(504, "egress_timeout", True, "APIPROXY_CONNECT_SECONDS")
NOT_A_PROXY = Told(502, "egress_protocol_error", False, "HTTPS_PROXY")
TOO_EARLY = Told(502, "egress_protocol_error", False, "before its turn")
PROXY_CERTIFICATE = Told(502, "egress_unreachable", True, "APIPROXY_CA_FILE")
TLS_FAILED = Told(502, "upstream_tls_failed", False, "APIPROXY_CA_FILE")
RESET = Told(502, "upstream_reset", True, "")
TLS_SILENT = Told(504, "upstream_timeout", True, "APIPROXY_TLS_SECONDS")
PROVIDER_SILENT = Told(504, "upstream_timeout", True, "APIPROXY_FIRST_BYTE_SECONDS")
PROVIDER_UNREACHABLE = Told(502, "upstream_unreachable", True, "*_API_TARGET")
PROVIDER_MALFORMED = Told(502, "upstream_malformed", True, "")


class RealSquidTests(EgressCase):
    async def test_a_host_that_squid_does_not_allow(self) -> None:
        """403 from Squid is told apart from 403 of a provider, and is not retriable."""
        await self.stage(allow=["nobody.example"])
        await self.told(DENIED)
        self.assertEqual(self.provider.connections, [])
        lines = await self.squid.logged(3 * len(PROVIDERS))
        self.assertEqual(
            {(line.status, line.outcome) for line in lines}, {(403, "TCP_DENIED")}
        )

    async def test_a_squid_that_wants_a_password(self) -> None:
        """Without user info in HTTPS_PROXY the agent's operator is told to put it there."""
        await self.stage(user=("agent", "p@ss:w/rd"))
        port = self.squid.port
        await self.proxy.stop()
        for url in (f"http://127.0.0.1:{port}", f"http://agent:wrong@127.0.0.1:{port}"):
            await self.stage_proxy({"HTTPS_PROXY": url})
            await self.told(AUTH)
        self.assertEqual(self.provider.connections, [])

    async def test_a_squid_that_gets_its_password(self) -> None:
        """User info of HTTPS_PROXY goes to Squid, and to nobody else."""
        await self.stage(user=("agent", "p@ss:w/rd"))
        self.provider.on(b"/v1/socket", websocket())
        self.provider.on(b"/socket", websocket())
        for known in PROVIDERS:
            with about(known.name):
                self.assertEqual((await self.ask(known)).status, 200)
                self.assertEqual((await self.ask(known)).status, 200)
                socket = await self.socket(known, "/socket")
                socket.send("through")
                self.assertEqual(await socket.message(), "through")
        basic = base64.b64encode(b"agent:p@ss:w/rd")
        for request in self.provider.requests:
            self.assertNotIn(basic, request.head)
            self.assertIsNone(request.get(b"proxy-authorization"))

    async def test_a_name_that_squid_cannot_resolve(self) -> None:
        """Whether Squid says 503 or 500, the agent is told the host cannot be reached."""
        await self.stage_provider()
        lost = "acl lost dstdomain " + " ".join(HOSTS)
        self.squid = await self.started(
            Squid(
                self.reactor,
                [self.provider.port],
                allow=["localhost"],
                extra=f"{lost}\nhttp_access allow CONNECT lost",
            )
        )
        await self.stage_proxy({"HTTPS_PROXY": self.squid.url})
        # Squid takes a second or more for each, so all wait at once.
        answers = await gatherResults(
            [Deferred.fromCoroutine(self.ask(known)) for known in PROVIDERS],
            consumeErrors=True,
        )
        for known, response in zip(PROVIDERS, answers, strict=True):
            with about(known.name):
                self.assertEqual(response.status, 503)
                self.assertEqual(known.error(response)[0], HOST_UNREACHABLE.code)
        await self.told(HOST_UNREACHABLE, [OPENAI])

    async def test_a_host_on_which_nobody_listens(self) -> None:
        """Squid's word for it is 503."""
        await self.stage()
        await self.provider.stop_listening()
        await self.told(HOST_UNREACHABLE)

    async def test_a_squid_that_does_not_run(self) -> None:
        """A refused connection names HTTPS_PROXY."""
        await self.stage()
        await self.squid.kill()
        await self.told(UNREACHABLE)

    async def test_a_provider_that_resets(self) -> None:
        """What the provider did is not blamed on Squid."""
        await self.stage()
        self.provider.default = kit.raw(how="reset")
        await self.told(RESET)

    async def test_a_provider_that_is_no_http_server(self) -> None:
        """Garbage is not passed on."""
        await self.stage()
        for garbage in (
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 999 x\r\n\r\n",
            b"HTTP/1.1 200 x\r\n b\r\n\r\n",
        ):
            self.provider.default = kit.raw(garbage, how=None)
            await self.told(PROVIDER_MALFORMED)

    async def test_a_provider_that_says_nothing(self) -> None:
        """The deadline for the first byte is the one to look at."""
        await self.stage({"APIPROXY_FIRST_BYTE_SECONDS": "0.05"}, tick=0.02)
        self.provider.default = kit.silent()
        await self.told(PROVIDER_SILENT)
        await self.provider.left()


class CertificateTests(EgressCase):
    async def refused(self, identity: Identity, why: str) -> None:
        """See that a provider that shows this gets no request, and why."""
        await self.stage_provider()
        await self.provider.stop()
        self.provider = Provider(self.reactor, identity.options())
        await self.started(self.provider)
        self.squid = await self.started(Squid(self.reactor, [self.provider.port]))
        await self.stage_proxy({"HTTPS_PROXY": self.squid.url})
        await self.told(TLS_FAILED)
        self.assertEqual(self.provider.requests, [])
        for line in self.proxy.outcomes:
            self.assertIn(why, line["error_message"])

    async def test_another_name(self) -> None:
        """A certificate for another host opens nothing."""
        await self.refused(authority().wrong_name(), "ostname mismatch")

    async def test_self_signed(self) -> None:
        """A certificate that vouches for itself opens nothing."""
        await self.refused(authority().self_signed(), "self-signed")

    async def test_expired(self) -> None:
        """Yesterday's certificate opens nothing."""
        await self.refused(authority().expired(), "expired")

    async def test_not_yet_valid(self) -> None:
        """Nor does next month's."""
        await self.refused(authority().not_yet_valid(), "not yet valid")

    async def test_an_unknown_authority(self) -> None:
        """An authority nobody has named is not trusted."""
        await self.refused(authority().stranger(), "unable to get local issuer")

    async def test_an_incomplete_chain(self) -> None:
        """A chain with a gap is none."""
        await self.refused(authority().intermediate(complete=False), "issuer")

    async def test_only_the_host_itself(self) -> None:
        """Each port accepts its own host's certificate, and no other provider's."""
        own = authority().identity(OPENAI.host)
        await self.stage_provider()
        await self.provider.stop()
        self.provider = await self.started(Provider(self.reactor, own.options()))
        self.squid = await self.started(Squid(self.reactor, [self.provider.port]))
        await self.stage_proxy({"HTTPS_PROXY": self.squid.url})
        for known in PROVIDERS:
            if known.host == OPENAI.host:
                self.assertEqual((await self.ask(known)).status, 200, known.name)
            else:
                await self.told(TLS_FAILED, [known])

    async def test_a_complete_chain_is_accepted(self) -> None:
        """An intermediate authority is fine if the provider shows it."""
        identity = authority().intermediate(*NAMES)
        await self.stage_provider()
        await self.provider.stop()
        self.provider = await self.started(Provider(self.reactor, identity.options()))
        self.squid = await self.started(Squid(self.reactor, [self.provider.port]))
        await self.stage_proxy({"HTTPS_PROXY": self.squid.url})
        for known in PROVIDERS:
            self.assertEqual((await self.ask(known)).status, 200, known.name)


class ScriptedProxyTests(EgressCase):
    async def scripted(self, **environ: str) -> ConnectProxy:
        """A stage with the kit's CONNECT proxy instead of Squid."""
        await self.stage_provider()
        middle = await self.started(ConnectProxy(self.reactor))
        await self.stage_proxy({"HTTPS_PROXY": middle.url, **environ}, tick=0.02)
        return middle

    async def test_each_status_has_its_own_answer(self) -> None:
        """Five statuses of CONNECT are five codes; anything else is a bad gateway."""
        middle = await self.scripted()
        for status, told in (
            (403, DENIED),
            (407, AUTH),
            (502, BAD_GATEWAY),
            (503, HOST_UNREACHABLE),
            (504, HOST_TIMEOUT),
            (500, BAD_GATEWAY),
            (302, BAD_GATEWAY),
            (429, BAD_GATEWAY),
        ):
            middle.default = connect.refuse(status)
            await self.told(told)
        for name in (
            b"ERR_DNS_FAIL 0",
            b"ERR_CANNOT_FORWARD 11",
            b"ERR_CONNECT_FAIL 111",
        ):
            middle.default = connect.refuse(500, [(b"X-Squid-Error", name)])
            await self.told(HOST_UNREACHABLE, [OPENAI])
        self.assertEqual(self.provider.connections, [])

    async def test_a_proxy_that_hangs_up(self) -> None:
        """With or without reading CONNECT first."""
        middle = await self.scripted()
        for behaviour in (
            connect.hang_up,
            connect.drop("reset"),
            connect.drop("close"),
        ):
            middle.default = behaviour
            await self.told(UNREACHABLE)

    async def test_a_proxy_that_never_answers(self) -> None:
        """It is given up after APIPROXY_CONNECT_SECONDS, and its connection closed."""
        middle = await self.scripted(APIPROXY_CONNECT_SECONDS="0.05")
        middle.default = connect.silent()
        await self.told(SILENT)
        await middle.left()

    async def test_a_provider_that_never_answers_tls(self) -> None:
        """A tunnel in which nothing comes is given up too."""
        middle = await self.scripted(APIPROXY_TLS_SECONDS="0.05")
        middle.default = connect.says(
            b"HTTP/1.1 200 Connection established\r\n\r\n", how=None
        )
        await self.told(TLS_SILENT)
        await middle.left()

    async def test_something_that_is_no_proxy(self) -> None:
        """Bytes before our turn, or no HTTP at all, are refused."""
        middle = await self.scripted()
        established = b"HTTP/1.1 200 Connection established\r\n\r\n"
        for said in (
            b"SSH-2.0-OpenSSH\r\n",
            established + b"\x16\x03\x01",
            b"HTTP/9 200\r\n\r\n",
        ):
            middle.default = connect.says(said, how=None)
            await self.told(NOT_A_PROXY if b"200 C" not in said else TOO_EARLY)

    async def test_an_answer_in_small_pieces(self) -> None:
        """The head of CONNECT's answer may come byte by byte."""
        middle = await self.scripted()
        middle.default = connect.tunnel(pieces=1)
        for known in PROVIDERS:
            self.assertEqual((await self.ask(known)).status, 200, known.name)

    async def test_connect_says_what_it_must(self) -> None:
        """Authority with its port, the proxy's credential, and nothing else."""
        await self.stage_provider()
        middle = await self.started(ConnectProxy(self.reactor))
        url = middle.url.replace("http://", "http://us%40er:pa%3Ass@")
        await self.stage_proxy({"HTTPS_PROXY": url})
        self.provider.on(b"/v1/socket", websocket())
        self.provider.on(b"/socket", websocket())
        for number, known in enumerate(PROVIDERS):
            with about(known.name):
                self.assertEqual((await self.ask(known)).status, 200)
                await self.socket(known, "/socket")
                self.assertEqual((await self.ask(known)).status, 200)
                heads = middle.heads[2 * number : 2 * number + 2]
                where = f"{known.host}:{self.provider.port}"
                expected = (
                    f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\nProxy-Authorization:"
                    f" Basic {base64.b64encode(b'us@er:pa:ss').decode()}\r\n\r\n"
                )
                self.assertEqual(heads, [expected.encode()] * 2)

    async def test_a_proxy_that_speaks_tls(self) -> None:
        """``https://`` means TLS to the proxy, verified, and TLS to the provider in it."""
        await self.stage_provider()
        context = authority().identity("localhost").options()
        middle = await self.started(ConnectProxy(self.reactor, context))
        await self.stage_proxy({"HTTPS_PROXY": middle.url})
        self.provider.on(b"/v1/socket", websocket())
        self.provider.on(b"/socket", websocket())
        for known in PROVIDERS:
            with about(known.name):
                self.assertEqual((await self.ask(known)).status, 200)
                socket = await self.socket(known, "/socket")
                socket.send("x" * 100_000)
                self.assertEqual(await socket.message(), "x" * 100_000)
        self.assertTrue(all(line.secured for line in middle.connections))
        self.assertEqual(middle.connections[0].server_name, b"localhost")

    async def test_a_proxy_whose_own_certificate_is_wrong(self) -> None:
        """It gets no CONNECT, and so no password."""
        await self.stage_provider()
        context = authority().stranger("localhost").options()
        middle = await self.started(ConnectProxy(self.reactor, context))
        await self.stage_proxy({"HTTPS_PROXY": middle.url})
        await self.told(PROXY_CERTIFICATE)
        self.assertEqual(middle.heads, [])


class WithoutProxyTests(EgressCase):
    def local(self) -> dict[str, str]:
        """The provider under a name that needs no Squid to resolve."""
        where = f"localhost:{self.provider.port}"
        return {known.target: where for known in PROVIDERS}

    async def test_no_proxy_goes_direct(self) -> None:
        """Hosts on NO_PROXY are reached around the proxy, the others through it."""
        await self.stage_provider()
        middle = await self.started(ConnectProxy(self.reactor))
        only = {known.target: "" for known in PROVIDERS}
        openai = {OPENAI.target: f"localhost:{self.provider.port}"}
        anthropic = {
            known.target: f"{known.host}:{self.provider.port}"
            for known in PROVIDERS
            if known.name == "anthropic"
        }
        await self.stage_proxy(
            {
                "HTTPS_PROXY": middle.url,
                "NO_PROXY": "localhost",
                **only,
                **openai,
                **anthropic,
            }
        )
        self.provider.default = websocket()
        await self.socket(OPENAI)
        self.provider.default = kit.echo()
        self.assertEqual((await self.ask(OPENAI)).status, 200)
        self.assertEqual(middle.heads, [])
        self.assertEqual((await self.ask(PROVIDERS[1])).status, 200)
        self.assertEqual(len(middle.heads), 1)

    async def test_without_a_proxy_connections_are_direct_and_a_warning_says_so(
        self,
    ) -> None:
        """Exactly one line warns at start."""
        await self.stage_provider()
        await self.stage_proxy(self.local())
        warnings = [line for line in self.proxy.lines if line["level"] == "warning"]
        self.assertEqual(len(warnings), 1)
        self.assertIn("HTTPS_PROXY", warnings[0]["message"])
        self.provider.on(b"/socket", websocket())
        for known in PROVIDERS:
            with about(known.name):
                self.assertEqual((await self.ask(known)).status, 200)
                socket = await self.socket(known, "/socket")
                socket.send("direct")
                self.assertEqual(await socket.message(), "direct")

    async def test_failures_without_a_proxy_name_the_provider(self) -> None:
        """Nobody is told to look at a Squid that is not there."""
        await self.stage_provider()
        where = f"127.0.0.1:{self.provider.port}"
        await self.stage_proxy({known.target: where for known in PROVIDERS})
        self.provider.default = kit.raw(how="reset")
        await self.told(RESET)
        await self.provider.stop_listening()
        await self.told(PROVIDER_UNREACHABLE)

    async def test_a_proxy_can_be_required(self) -> None:
        """APIPROXY_REQUIRE_PROXY refuses to start without one, or around one."""
        for environ in (
            {},
            {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "api.openai.com"},
        ):
            with self.assertRaises(ConfigurationError) as caught:
                read_settings({"APIPROXY_REQUIRE_PROXY": "1", **environ})
            self.assertIn("APIPROXY_REQUIRE_PROXY", str(caught.exception))
