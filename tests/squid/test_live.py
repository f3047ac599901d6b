"""A live proxy from its other sides: local endpoints, log lines, sockets, settings."""

import json
import socket as sockets
import tempfile
from functools import partial
from pathlib import Path

from twisted.internet.threads import deferToThread

from tests.kit.connect import ConnectProxy, silent
from tests.kit.frames import TEXT, frame
from tests.kit.line import Gate
from tests.kit.provider import (
    Call,
    answer_json,
    by_hand,
    counted,
    echo,
    events,
    held,
    redirect,
    websocket,
)
from tests.squid.proxy import HOSTS, PROVIDERS, SquidCase, about, hold, read_settings


class EndpointTests(SquidCase):
    async def test_health_says_who_can_serve(self) -> None:
        """Each port speaks for its provider, the first one for all."""
        await self.stage({"GEMINI_API_KEY": ""})
        for known in PROVIDERS:
            with about(known.name):
                response = await self.ask(known, path=b"/health")
                said = response.json()
                if known.name == "openai":
                    self.assertEqual(
                        (response.status, said["status"]), (200, "healthy")
                    )
                    self.assertEqual(said["squid_proxy"], self.squid.url)
                    self.assertEqual(
                        said["providers"],
                        {one.name: one.name != "gemini" for one in PROVIDERS},
                    )
                elif known.name == "gemini":
                    self.assertEqual(
                        (response.status, said["status"]), (503, "not_configured")
                    )
                    self.assertIn("GEMINI_API_KEY", said["error"])
                else:
                    self.assertEqual(
                        (response.status, said["status"]), (200, "healthy")
                    )
        self.assertEqual(self.provider.requests, [])

    async def test_what_is_not_exactly_a_local_endpoint_is_the_providers(self) -> None:
        """Other methods and queries pass, and /metrics is on the first port only."""
        await self.stage()
        for known in PROVIDERS:
            with about(known.name):
                for method, path in ((b"POST", b"/health"), (b"GET", b"/health?x")):
                    response = await self.ask(known, method, path)
                    self.assertTrue(response.json()["target"].endswith(path.decode()))
                response = await self.ask(known, path=b"/metrics")
                local = b"counters" in response.body
                self.assertEqual(local, known.name == "openai")

    async def test_reflect_says_what_there_is(self) -> None:
        """On every port the same, with the ports as they really are."""
        await self.stage(
            {"APIPROXY_WEBSOCKET": "off", "VERTEX_API_TARGET": "localhost"}
        )
        answers = [
            (await self.ask(known, path=b"/reflect")).json() for known in PROVIDERS
        ]
        for each in answers:
            self.assertEqual(each, answers[0])
        self.assertIs(answers[0]["websocket"], False)
        named = [one["provider"] for one in answers[0]["endpoints"]]
        self.assertEqual(named, [known.name for known in PROVIDERS])

    async def test_metrics_count_what_happened(self) -> None:
        """In JSON and as Prometheus text, while things are going on and afterwards."""
        await self.stage()
        self.provider.on(b"/v1/socket", by_hand(hold))
        self.provider.on(b"/v1/missing", answer_json({}, 404))
        gate = Gate()
        self.provider.on(b"/v1/slow", held(gate, echo()))
        for known in PROVIDERS:
            await self.ask(known, b"POST", b"/v1/x", body=b"12345")
            await self.ask(known, path=b"/v1/missing")
        agents = []
        for known in PROVIDERS:
            agent = await self.agent(known.name)
            await agent.upgrade(b"/v1/socket")
            slow = await self.agent(known.name)
            slow.ask(b"GET", b"/v1/slow")
            agents += [agent, slow]
        await self.until(lambda: self.proxy.proxy.census.live == 2 * len(PROVIDERS))
        text = await self.ask(path=b"/metrics", fields=[(b"Accept", b"text/plain")])
        self.assertTrue((text.get(b"content-type") or b"").startswith(b"text/plain"))
        figures = (await self.ask(path=b"/metrics")).json()
        for known in PROVIDERS:
            with about(known.name):
                self.assertEqual(figures["gauges"]["active_requests"][known.name], 2)
                counters = figures["counters"]
                self.assertEqual(counters[f"requests_total:{known.name}:POST:2xx"], 1)
                self.assertEqual(counters[f"requests_total:{known.name}:GET:4xx"], 1)
                self.assertEqual(counters[f"request_bytes_total:{known.name}"], 5)
                self.assertIn(f'provider="{known.name}"'.encode(), text.body)
        gate.open()
        for agent in agents:
            agent.end()
        await self.until(lambda: not self.proxy.proxy.census.live)
        figures = (await self.ask(path=b"/metrics")).json()
        self.assertEqual(set(figures["gauges"]["active_requests"].values()), {0})


class OutcomeTests(SquidCase):
    async def test_each_exchange_has_one_line_with_true_numbers(self) -> None:
        """Bytes are exact, durations in order, and the line says whether it was warm."""
        await self.stage()
        for known in PROVIDERS:
            self.provider.on(known.upstream_path, counted(b"x" * 1234))
            seen = len(self.proxy.outcomes)
            for reused in (known.name == "never", True):
                body = b"y" * 777
                response = await self.ask(known, b"POST", body=body)
                line = await self.outcome(seen + 1 + reused)
                with about((known.name, line)):
                    self.assertEqual(line["event"], "request_complete")
                    self.assertEqual(line["level"], "info")
                    self.assertEqual(line["provider"], known.name)
                    self.assertEqual(line["method"], "POST")
                    self.assertEqual(line["path"], known.path.decode())
                    self.assertEqual(line["upstream_host"], known.host)
                    self.assertEqual(line["status"], 200)
                    self.assertEqual(line["request_bytes"], 777)
                    self.assertEqual(line["response_bytes"], 1234)
                    self.assertIs(line["line_reused"], reused)
                    self.assertEqual(
                        line["request_id"].encode(), response.get(b"x-request-id")
                    )
                    self.assertNotIn("error", line)
                    self.assertLessEqual(0, line["queue_ms"])
                    self.assertEqual(line["dial_ms"] > 0, not reused)
                    self.assertLessEqual(line["dial_ms"], line["first_byte_ms"])
                    self.assertLessEqual(line["first_byte_ms"], line["duration_ms"])
                    self.assertLess(line["duration_ms"], 60_000)

    async def test_so_has_each_websocket(self) -> None:
        """Its bytes are those of the frames, both ways."""
        await self.stage()
        down = frame(TEXT, b"down" * 10)

        async def answer(call: Call) -> None:
            await call.frame()
            call.write(down)

        self.provider.default = by_hand(answer)
        for number, known in enumerate(PROVIDERS, 1):
            agent = await self.agent(known.name)
            await agent.upgrade(known.path + b"?secret=1")
            agent.send_frame(TEXT, b"up")
            await agent.frame()
            agent.end()
            line = await self.outcome(number)
            with about((known.name, line)):
                self.assertEqual(line["event"], "websocket_upgrade_complete")
                self.assertEqual(line["path"], known.path.decode())
                self.assertEqual(line["request_bytes"], 2 + 4 + len(b"up"))
                self.assertEqual(line["response_bytes"], len(down))
                self.assertEqual(line["status"], 101)
                self.assertLessEqual(line["dial_ms"], line["first_byte_ms"])
                self.assertLessEqual(line["first_byte_ms"], line["duration_ms"])
        starts = self.proxy.events("websocket_upgrade_start")
        self.assertEqual(
            [line["request_id"] for line in starts],
            [line["request_id"] for line in self.proxy.outcomes],
        )

    async def test_what_is_no_exchange_is_told_too(self) -> None:
        """A refused request has a line of its own, with an id that the agent has too."""
        await self.stage()
        for known in PROVIDERS:
            for target in (
                b"//evil.example/x",
                b"https://evil.example/x",
                b"/a/..%2f..%2fb",
            ):
                with about((known.name, target)):
                    response = await self.ask(known, path=target)
                    self.assertEqual(
                        (response.status, known.error(response)[0]), (400, "bad_target")
                    )
                    line = self.proxy.lines[-1]
                    self.assertEqual(
                        (line["event"], line["error"]),
                        ("request_refused", "bad_target"),
                    )
                    self.assertEqual(
                        line["request_id"].encode(), response.get(b"x-request-id")
                    )
        self.assertEqual(self.provider.connections, [])


class ListenerTests(SquidCase):
    async def test_a_unix_socket_serves_like_a_port(self) -> None:
        """Beside a port or instead of one, HTTP and WebSocket."""
        folder = tempfile.TemporaryDirectory(prefix="apiproxy-sock-", dir="/tmp")
        self.addCleanup(folder.cleanup)
        beside, instead = (str(Path(folder.name) / name) for name in ("one", "two"))
        await self.stage(
            {
                "APIPROXY_OPENAI_SOCKET": beside,
                "APIPROXY_ANTHROPIC_SOCKET": instead,
                "APIPROXY_ANTHROPIC_PORT": "off",
            }
        )
        self.provider.on(b"/socket", websocket(greeting=["hello"]))
        self.provider.on(b"/v1/socket", websocket(greeting=["hello"]))
        self.assertEqual((await self.ask()).status, 200)
        for path in (beside, instead):
            got = await deferToThread(_ask_over_unix, path, b"GET /v1/x", b"")
            self.assertTrue(got.startswith(b"HTTP/1.1 200 "), got)
            self.assertIn(b'"target": "/v1/x"', got)
            upgrade = (
                b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            )
            got = await deferToThread(_ask_over_unix, path, b"GET /socket", upgrade, 5)
            self.assertTrue(got.startswith(b"HTTP/1.1 101 "), got)
        self.assertEqual(
            [
                request.all(known.header)
                for request, known in zip(
                    self.provider.requests[1::2], PROVIDERS, strict=False
                )
            ],
            [[PROVIDERS[0].credential], [PROVIDERS[1].credential]],
        )
        await self.settled()
        await self.proxy.stop()
        self.assertEqual(list(Path(folder.name).glob("*")), [])

    async def test_a_provider_can_be_added_by_configuration_alone(self) -> None:
        """A TOML table is enough; it has everything that a built-in one has."""
        await self.stage_provider()
        toml = f"""
            [providers.mistral]
            title = "Mistral"
            target = "localhost:{self.provider.port}"
            base_path = "/v9"
            port = 0
            header = "X-Mistral-Key"
            dialect = "anthropic"
            key_env = "MY_MISTRAL_KEY"
        """
        middle = await self.started(ConnectProxy(self.reactor))
        await self.stage_proxy(
            {"HTTPS_PROXY": middle.url, "MY_MISTRAL_KEY": "mk-Real-Zq71XvW8"},
            toml=toml.encode(),
        )
        agent = await self.agent("mistral")
        placeholder = [(b"X-Mistral-Key", b"fake"), (b"x_mistral_key", b"fake")]
        agent.ask(b"POST", b"/chat", placeholder, b"{}")
        self.assertEqual((await agent.response()).status, 200)
        request = await self.provider.asked()
        self.assertEqual(request.path, b"/v9/chat")
        self.assertEqual(request.all(b"x-mistral-key"), [b"mk-Real-Zq71XvW8"])
        self.assertNotIn(b"fake", request.head)
        self.provider.default = websocket(greeting=["hello"])
        agent = await self.agent("mistral")
        self.assertEqual((await agent.upgrade(b"/live", placeholder)).status, 101)
        self.assertEqual((await agent.frame()).payload, b"hello")
        request = await self.provider.asked(2)
        self.assertEqual(request.all(b"x-mistral-key"), [b"mk-Real-Zq71XvW8"])
        middle.default = silent()
        await self.provider.stop_listening()
        agent = await self.agent("mistral")
        agent.ask(b"GET", b"//")
        said = (await agent.response()).json()
        self.assertEqual((said["type"], said["error"]["code"]), ("error", "bad_target"))
        health = await self.agent("mistral")
        health.ask(b"GET", b"/health")
        self.assertEqual(
            (await health.response()).json()["service"], "apiproxy-mistral"
        )

    async def test_a_reload_changes_the_key_without_losing_a_stream(self) -> None:
        """What is under way ends by the old settings, what comes goes by the new ones."""
        await self.stage()
        gate = Gate()
        self.provider.on(b"/v1/stream", events(3, gate=gate))
        agent = await self.agent()
        agent.ask(b"GET", b"/stream")
        response, length = await agent.response_head()
        environ = self.environ() | {"HTTPS_PROXY": self.squid.url}
        environ["OPENAI_API_KEY"] = "sk-New-QzXw8812"
        self.proxy.proxy.reload(read_settings(environ))
        gate.open()
        await response.read_body(agent, length)
        self.assertTrue(response.complete)
        for name in ("openai", "opencode"):
            (known,) = (one for one in PROVIDERS if one.name == name)
            said = (await self.ask(known)).json()
            headers = {each.lower(): value for each, value in said["headers"]}
            self.assertEqual(headers["authorization"], "Bearer sk-New-QzXw8812")


class KeyCheckTests(SquidCase):
    async def test_keys_are_tried_once_through_squid(self) -> None:
        """A redirect is not followed, a refusal is said, and nobody waits for either."""
        await self.stage_provider()
        self.provider.default = answer_json({}, 401)
        for path in (b"/v1/models", b"/v1/messages", b"/v1beta/models"):
            self.provider.on(path, redirect(b"https://localhost:1/elsewhere"))
        middle = await self.started(ConnectProxy(self.reactor))
        middle.routes = {f"{host}:443": self.provider.port for host in HOSTS}
        await self.stage_proxy(
            {
                "HTTPS_PROXY": middle.url,
                "APIPROXY_VALIDATE_KEYS": "warn",
                **{known.target: "" for known in PROVIDERS},
            }
        )
        await self.until(lambda: self.proxy.proxy.keycheck.complete)
        self.assertEqual(
            {line["provider"] for line in self.proxy.events("key_validation")},
            {known.name for known in PROVIDERS},
        )
        for request in self.provider.requests:
            self.assertNotIn(b"/elsewhere", request.target)
        for line in self.proxy.raw:
            for known in PROVIDERS:
                self.assertNotIn(known.key.encode(), line)
        said = (await self.ask(path=b"/health")).json()
        self.assertIn("key_validation", json.dumps(said))

    def has_asked(self, middle: ConnectProxy, count: int) -> bool:
        """Whether so many calls have reached the proxy."""
        return len(middle.heads) >= count

    async def test_a_stop_in_the_middle_leaves_nothing(self) -> None:
        """Squid that never answers does not hold us up, however far each call has come."""
        await self.stage_provider()
        middle = await self.started(ConnectProxy(self.reactor))
        middle.default = silent()
        for far in range(len(PROVIDERS)):
            middle.heads.clear()
            await self.stage_proxy(
                {
                    "HTTPS_PROXY": middle.url,
                    "APIPROXY_VALIDATE_KEYS": "warn",
                    **{known.target: "" for known in PROVIDERS},
                }
            )
            await self.until(partial(self.has_asked, middle, far))
            await self.proxy.stop()
            # Long before the calls would have given up by themselves.
            await self.until(lambda: not middle.open, seconds=10)


def _ask_over_unix(path: str, ask: bytes, fields: bytes, behind: int = 0) -> bytes:
    """Ask over a Unix socket; the head of the answer, and what comes with it."""
    with sockets.socket(sockets.AF_UNIX) as line:
        line.settimeout(30)
        line.connect(path)
        line.sendall(ask + b" HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n")
        got = b""
        while b"\r\n\r\n" not in got or (not fields and not got.endswith(b"}")):
            piece = line.recv(65536)
            if not piece:
                break
            got += piece
        return got
