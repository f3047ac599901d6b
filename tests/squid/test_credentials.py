"""The real credential goes out once and through the tunnel; the agent's own go nowhere."""

from collections.abc import Iterable
from urllib.parse import quote

from twisted.internet.defer import Deferred, gatherResults

from tests.kit.frames import TEXT, frame
from tests.kit.provider import Request, answer_json, by_hand, echo
from tests.squid.proxy import (
    KEYS,
    PLACEHOLDER,
    PROVIDERS,
    Known,
    SquidCase,
    about,
    hold,
)

_HELD = PLACEHOLDER.encode()

SLOTS = (
    b"Authorization",
    b"AUTHORIZATION",
    b"Proxy-Authorization",
    b"x-api-key",
    b"X-Api-Key",
    b"x_api_key",
    b"api-key",
    b"Api_Key",
    b"x-goog-api-key",
    b"X-GOOG-API-KEY",
    b"x_goog_api_key",
    b"x-goog-user-project",
    b"Cookie",
    b"x-amz-security-token",
    b"X-Amz-Date",
    b"OpenAI-Organization",
    b"openai_organization",
    b"OpenAI-Project",
    b"x-github-token",
    b"X_GitHub_Token",
)
"""Where some provider looks for a credential, in every spelling that might slip through."""

QUERY = (
    "key",
    "api_key",
    "apikey",
    "apiKey",
    "access_token",
    "token",
    "Key",
    "%6bey",
    "API%5FKEY",
)

SUBPROTOCOLS = (
    f"openai-insecure-api-key.{PLACEHOLDER}",
    f"OpenAI-Organization.{PLACEHOLDER}",
    f"openai-project.{PLACEHOLDER}",
)


def everything(known: Known) -> list[tuple[bytes, bytes]]:
    """Header lines with the placeholder in every slot there is, each twice."""
    lines = [(name, _HELD) for name in SLOTS] * 2
    return [*lines, (b"Forwarded", b"for=10.0.0.1"), (b"X-Forwarded-For", b"10.0.0.1")]


def crowded(path: bytes) -> bytes:
    """A target with the placeholder in every query key there is."""
    pairs = "&".join(f"{key}={quote(PLACEHOLDER)}&n{key}=1" for key in QUERY)
    return path + b"?first=1&" + pairs.encode() + b"&alt=sse"


class CredentialTests(SquidCase):
    def check(self, known: Known, request: Request) -> None:
        """See that a request reached the provider with the real credential alone."""
        self.assertEqual(request.path, known.upstream_path)
        self.assertNotIn(_HELD, request.head)
        self.assertNotIn(quote(PLACEHOLDER).encode(), request.head)
        self.assertEqual(request.all(known.header), [known.credential])
        self.assertEqual(request.head.count(known.key.encode()), 1)
        for key in KEYS:
            if key != known.key:
                self.assertNotIn(key.encode(), request.head)
        names = {name.lower().replace(b"_", b"-") for name, _ in request.fields}
        slots = {name.lower().replace(b"_", b"-") for name in SLOTS}
        self.assertEqual(names & slots, {known.header})
        self.assertEqual(names & {b"forwarded", b"x-forwarded-for", b"via"}, set())
        self.assertEqual(
            request.target.partition(b"?")[2],
            b"first=1&"
            + b"&".join(b"n%b=1" % each.encode() for each in QUERY)
            + b"&alt=sse",
        )
        host = f"{known.host}:{self.provider.port}".encode()
        self.assertEqual(request.all(b"host"), [host])
        self.assertEqual(request.line.server_name, known.host.encode())

    async def tunnels(self, hosts: Iterable[str]) -> None:
        """See that Squid's log has a tunnel for each of these hosts, and no other."""
        hosts = list(hosts)
        await self.proxy.stop()
        lines = await self.squid.logged(len(hosts))
        self.assertEqual(
            sorted((line.method, line.status, line.authority) for line in lines),
            sorted(("CONNECT", 200, f"{host}:{self.provider.port}") for host in hosts),
        )

    async def test_http_carries_the_real_credential_and_no_other(self) -> None:
        """On every port the agent's own credentials go nowhere, wherever it put them."""
        await self.stage()
        for number, known in enumerate(PROVIDERS, 1):
            with about(known.name):
                response = await self.ask(
                    known, b"POST", crowded(known.path), everything(known), b"{}"
                )
                self.assertEqual(response.status, 200)
                self.check(known, await self.provider.asked(number))
        await self.settled()
        await self.tunnels(known.host for known in PROVIDERS)

    async def test_a_websocket_carries_the_real_credential_and_no_other(self) -> None:
        """The same holds for an upgrade, and for the subprotocols some agents use."""
        await self.stage()

        chosen = (b"Sec-WebSocket-Protocol", b"realtime")
        self.provider.default = by_hand(
            hold, fields=[chosen], first=frame(TEXT, b"hello")
        )
        offered = ", ".join([SUBPROTOCOLS[0], "realtime", *SUBPROTOCOLS[1:]])
        for number, known in enumerate(PROVIDERS, 1):
            with about(known.name):
                agent = await self.agent(known.name)
                fields = [
                    *everything(known),
                    (b"Sec-WebSocket-Protocol", offered.encode()),
                ]
                response = await agent.upgrade(crowded(known.path), fields)
                self.assertEqual(response.status, 101, response.head)
                self.assertEqual(response.get(b"sec-websocket-protocol"), b"realtime")
                self.assertEqual((await agent.frame()).payload, b"hello")
                request = await self.provider.asked(number)
                self.check(known, request)
                self.assertEqual(request.get(b"sec-websocket-protocol"), b"realtime")
        await self.settled()
        await self.tunnels(known.host for known in PROVIDERS)

    async def test_a_provider_gets_what_it_wants_beside_the_credential(self) -> None:
        """Anthropic gets a version, Copilot its ids, unless the agent has said them."""
        await self.stage()
        wanted = {
            "anthropic": [(b"anthropic-version", b"2023-06-01", b"2027-01-01")],
            "copilot": [
                (b"copilot-integration-id", b"agentic-workflows", b"vscode-chat"),
                (b"x-initiator", b"agent", b"user"),
            ],
        }
        number = 0
        for known in PROVIDERS:
            for name, default, own in wanted.get(known.name, []):
                for upgrade in (False, True):
                    for value, fields in ((default, []), (own, [(name.title(), own)])):
                        with about((known.name, name, value, upgrade)):
                            agent = await self.agent(known.name)
                            if upgrade:
                                await agent.upgrade(known.path, fields)
                            else:
                                agent.ask(b"GET", known.path, fields)
                                await agent.response()
                            number += 1
                            request = await self.provider.asked(number)
                            self.assertEqual(request.all(name), [value])

    async def test_ids_go_both_ways(self) -> None:
        """The agent's id goes up and comes back; the provider's has a name of its own."""
        await self.stage()
        self.provider.default = echo(fields=[(b"x-request-id", b"req_of_theirs")])

        self.provider.on(
            b"/socket", by_hand(hold, fields=[(b"X-Request-Id", b"theirs")])
        )
        self.provider.on(
            b"/v1/socket", by_hand(hold, fields=[(b"X-Request-Id", b"theirs")])
        )
        number = 0
        for known in PROVIDERS:
            for sent in (f"mine.{known.name}_1", None, "not good", "x" * 129):
                with about((known.name, sent)):
                    fields = [] if sent is None else [(b"X-Request-ID", sent.encode())]
                    response = await self.ask(known, fields=fields)
                    number += 1
                    request = await self.provider.asked(number)
                    (up,) = request.all(b"x-request-id")
                    self.assertEqual(response.all(b"x-request-id"), [up])
                    self.assertEqual(
                        response.all(b"x-upstream-request-id"), [b"req_of_theirs"]
                    )
                    if sent is not None and sent.startswith("mine"):
                        self.assertEqual(up, sent.encode())
                    else:
                        self.assertRegex(up, rb"\A[0-9a-f-]{36}\Z")
            agent = await self.agent(known.name)
            name = f"socket.{known.name}".encode()
            response = await agent.upgrade(b"/socket", [(b"x-request-id", name)])
            number += 1
            request = await self.provider.asked(number)
            with about(known.name):
                self.assertEqual(response.status, 101)
                self.assertEqual(request.all(b"x-request-id"), [name])
                self.assertEqual(response.all(b"x-request-id"), [name])
                self.assertEqual(response.all(b"x-upstream-request-id"), [b"theirs"])
                self.assertEqual(response.all(b"connection"), [b"Upgrade"])

    async def test_a_port_without_a_credential_says_which_one_is_missing(self) -> None:
        """It listens, answers at once, and sends nothing anywhere."""
        await self.stage({known.variable: "" for known in PROVIDERS})
        for known in PROVIDERS:
            with about(known.name):
                response = await self.ask(known)
                code, message = known.error(response)
                self.assertEqual(
                    (response.status, code), (403, "provider_not_configured")
                )
                self.assertIn(known.variable, message)
                self.assertEqual(response.get(b"x-should-retry"), b"false")
                self.assertEqual(response.get(b"x-apiproxy-error"), code.encode())
                agent = await self.agent(known.name)
                response = await agent.upgrade(known.path)
                self.assertEqual(response.status, 400)  # what stops a WebSocket client
                self.assertEqual(known.error(response)[0], "provider_not_configured")
                self.assertEqual(response.get(b"connection"), b"close")
        self.assertEqual(self.provider.connections, [])

    async def test_answers_come_back_as_they_were(self) -> None:
        """Whatever the provider answers, status, headers and body are the provider's."""
        await self.stage()
        for status in (200, 400, 401, 404, 429, 500, 529):
            for known in PROVIDERS:
                with about((known.name, status)):
                    fields = [(b"Retry-After", b"7"), (b"X-Odd-Case-Name", b"a  b")]
                    self.provider.on(
                        known.upstream_path,
                        answer_json({"say": status}, status, fields),
                    )
                    response = await self.ask(known, b"POST", body=b"{}")
                    self.assertEqual(response.status, status)
                    self.assertEqual(response.json(), {"say": status})
                    self.assertLessEqual(set(fields), set(response.fields))
                    self.assertIsNone(response.get(b"x-apiproxy-error"))


class LineReuseTests(SquidCase):
    async def test_requests_one_after_the_other_share_a_tunnel(self) -> None:
        """200 requests in a row need hardly more than one CONNECT, on every port."""
        await self.stage()
        agents = {known.name: await self.agent(known.name) for known in PROVIDERS}
        for number in range(200):
            for known in PROVIDERS:
                agent = agents[known.name]
                agent.ask(b"GET", known.path + b"?n=%d" % number)
                response = await agent.response()
                self.assertEqual(
                    response.json()["target"],
                    (known.upstream_path + b"?n=%d" % number).decode(),
                )
        await self.settled()
        await self.proxy.stop()
        await self.squid.logged(len(PROVIDERS))
        for known in PROVIDERS:
            lines = [
                line
                for line in self.squid.log()
                if line.authority.startswith(known.host)
            ]
            sharing = sum(other.host == known.host for other in PROVIDERS)
            self.assertLessEqual(len(lines), 2 * sharing, known.name)
        self.assertLessEqual(len(self.provider.connections), 2 * len(PROVIDERS))

    async def test_requests_at_once_share_as_many_tunnels(self) -> None:
        """200 requests, 20 at a time, need no more than 20 CONNECTs."""
        await self.stage()
        for known in PROVIDERS:
            before = len(self.provider.connections)

            async def agent_story(known: Known = known, first: int = 0) -> None:
                agent = await self.agent(known.name)
                for number in range(first, 200, 20):
                    body = b"%d" % number
                    agent.ask(b"POST", known.path + b"?n=" + body, body=body)
                    response = await agent.response()
                    self.assertTrue(response.json()["target"].endswith(f"?n={number}"))

            await gatherResults(
                [
                    Deferred.fromCoroutine(agent_story(first=first))
                    for first in range(20)
                ],
                consumeErrors=True,
            )
            with about(known.name):
                self.assertLessEqual(len(self.provider.connections) - before, 20)
        reused = [line["line_reused"] for line in self.proxy.events("request_complete")]
        self.assertEqual(len(reused), 200 * len(PROVIDERS))
        self.assertGreaterEqual(sum(reused), 180 * len(PROVIDERS))
        await self.settled()
        connects = len(self.provider.connections)
        await self.proxy.stop()
        self.assertEqual(len(await self.squid.logged(connects)), connects)

    async def test_a_websocket_leaves_lines_for_others(self) -> None:
        """A socket takes a warm line for itself; the next request opens another."""
        await self.stage()

        self.provider.on(b"/v1/socket", by_hand(hold))
        self.assertEqual((await self.ask()).status, 200)
        agent = await self.agent()
        self.assertEqual((await agent.upgrade(b"/socket")).status, 101)
        self.assertEqual((await self.ask()).status, 200)
        self.assertEqual(
            [request.line.number for request in self.provider.requests], [1, 1, 2]
        )
