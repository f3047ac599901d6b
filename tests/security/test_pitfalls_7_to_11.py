"""Pitfalls 7 to 11: keys that get out, and who may come in."""

import copy
import gzip
import json
import pickle
import string
import time
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import msgspec

from apiproxy.core import values
from apiproxy.core.values import Secret
from apiproxy.policy.tokens import Verifier, make, narrow
from tests.kit.frames import CLOSE, TEXT, frame
from tests.kit.provider import raw
from tests.kit.running import Service
from tests.policy.test_endpoints import MINTING, USED
from tests.security.stage import WAYS, PitfallCase, Way
from tests.squid.proxy import PROVIDERS

CANARY = "sk-Canary/Q7x+Zw=9@%21-of-pitfall-seven"


class Pitfall07KeyInOutputTests(PitfallCase):
    """A ``Secret`` has no text; the process keeps its memory to itself.

    What becomes of canaries in all places through all kinds of failure is looked at in
    ``tests/squid/test_canary.py``.
    """

    def test_a_secret_has_no_text(self) -> None:
        """However somebody tries to have it in one."""
        secret = Secret(CANARY.encode())
        texts = (
            repr(secret),
            str(secret),
            f"{secret}",
            f"{secret!r:>80}",
            "%s %r" % (secret, secret),  # noqa: UP031
            "{} {!r}".format(secret, secret),  # noqa: UP032
            string.Template("$s").substitute(s=secret),
            repr([secret, {"k": secret}]),
            str(ValueError(secret)),
        )
        for text in texts:
            self.assertNotIn("Canary", text)

    def test_a_secret_goes_into_no_file(self) -> None:
        """No pickle, no copy, no JSON, no bytes; it has no attributes to look at."""
        secret: Any = Secret(CANARY.encode())
        tries: tuple[Callable[[], object], ...] = (
            lambda: pickle.dumps(secret),
            lambda: copy.copy(secret),
            lambda: copy.deepcopy(secret),
            lambda: json.dumps(secret),
            lambda: msgspec.json.encode(secret),
            lambda: msgspec.msgpack.encode(secret),
            lambda: bytes(secret),
            lambda: vars(secret),
            lambda: hash(secret),
        )
        for each in tries:
            self.assertRaises(TypeError, each)

    def test_a_secret_is_compared_in_constant_time(self) -> None:
        """By ``hmac.compare_digest``, and never with anything else."""
        compared: list[tuple[bytes, bytes]] = []

        class Watched:
            """Stands for ``hmac``."""

            @staticmethod
            def compare_digest(one: bytes, other: bytes) -> bool:
                compared.append((one, other))
                return one == other

        self.patch(values, "hmac", Watched)
        self.assertEqual(Secret(b"a"), Secret(b"a"))
        self.assertNotEqual(Secret(b"a"), Secret(b"b"))
        self.assertNotEqual(Secret(b"a"), b"a")
        self.assertEqual(compared, [(b"a", b"a"), (b"a", b"b")])

    async def test_the_process_keeps_it_to_itself(self) -> None:
        """No core, no dump, no key in what its children would inherit or in any output."""
        await self.stage_provider()
        service = await self.started(
            Service(
                self.reactor,
                {
                    **self.environ(),
                    **{f"APIPROXY_{one.name.upper()}_PORT": "0" for one in PROVIDERS},
                    "OPENAI_API_KEY": CANARY,
                    "APIPROXY_LOG_LEVEL": "debug",
                },
            )
        )
        assert service._process is not None
        pid = service._process.pid
        limits = Path(f"/proc/{pid}/limits").read_text()
        (core,) = (line for line in limits.splitlines() if "core file" in line)
        self.assertEqual(core.split()[4:6], ["0", "0"])
        # Files of a process that cannot be dumped belong to root, whoever runs it.
        self.assertEqual(Path(f"/proc/{pid}/environ").stat().st_uid, 0)
        agent_answers = b""
        for target in (b"/health", b"/reflect", b"/metrics", b"/v1/models", b"/\\"):
            agent = await self.connected(service.port("openai"))
            agent.ask(b"GET", target)
            response = await agent.response()
            agent_answers += response.head + response.body
            agent.end("reset")
        await service.stop()
        self.assertNotIn(b"Canary", agent_answers + service.out + service.err)

    async def connected(self, port: int) -> Any:
        """An agent at a port of another process."""
        from tests.kit.agent import Agent

        agent = await Agent.connect(self.reactor, port)
        self._agents.append(agent)
        return agent

    async def settled(self) -> None:
        """There is nothing to settle where no proxy runs in this process."""
        if hasattr(self, "proxy"):
            await super().settled()


class Pitfall08AnswerIsACredentialTests(PitfallCase):
    """A deny list of endpoints that mint credentials; opened only by configuration."""

    async def test_endpoints_that_mint_are_refused(self) -> None:
        """403 in the dialect, with the rule and the setting; nothing leaves."""
        await self.put_up()
        paths = [path for each in MINTING.values() for path in each]

        async def story(way: Way) -> None:
            for path in paths:
                for method in (b"POST", b"GET", b"PUT")[: 1 if way.upgrade else 3]:
                    response = await self.answered(way, target=path, method=method)
                    status = 400 if way.upgrade else 403
                    self.assert_refused(way, response, status, "endpoint_refused")
                    message = way.known.error(response)[1]
                    self.assertRegex(message, r"rule [a-z-]+.*APIPROXY_OPEN_ENDPOINTS=")

        await self.every_way(story)
        self.assert_untouched()

    async def test_what_agents_use_is_not_refused(self) -> None:
        """On no port."""
        await self.put_up()

        async def story(way: Way) -> None:
            for path in USED:
                response = await self.answered(way, target=path)
                self.assertIn(response.status, (101, 200), path)

        await self.every_way(story)

    async def test_one_rule_can_be_opened(self) -> None:
        """By its name, and no other with it."""
        await self.put_up({"APIPROXY_OPEN_ENDPOINTS": "client-secrets"})

        async def story(way: Way) -> None:
            response = await self.answered(way, target=b"/v1/realtime/client_secrets")
            self.assertIn(response.status, (101, 200))
            response = await self.answered(way, target=b"/v1/organization/x")
            self.assertIn(response.status, (400, 403))

        await self.every_way(story)


TOKEN = make("openai", lambda count: bytes(range(7, count + 7)))
WRONG = (
    b"sk-placeholder",
    TOKEN[:-1],
    TOKEN + b"0",
    TOKEN.upper(),
    narrow(b"sk-" + b"y" * 48, [b"m=a"]),
    narrow(TOKEN, [b"m=a"])[:-1] + b"0",
    b"",
)


class Pitfall09EveryProcessIsTheAgentTests(PitfallCase):
    """The placeholder key itself is checked, in constant time, and names the caller."""

    def callers(self, more: str = "") -> dict[str, str]:
        """Settings with one caller."""
        path = Path(self.mktemp())
        path.write_text(
            f'[callers.ci]\ntokens = ["{Verifier.of(TOKEN).text()}"]\n{more}'
        )
        return {"APIPROXY_CALLERS_FILE": str(path)}

    async def test_no_token_and_wrong_tokens(self) -> None:
        """401 in the dialect, and nothing leaves."""
        await self.put_up(self.callers())

        async def story(way: Way) -> None:
            slots = (b"Authorization", b"x-api-key", b"x-goog-api-key", b"api-key")
            for slot, wrong in product(slots, WRONG):
                response = await self.answered(way, [(slot, wrong)])
                self.assert_refused(way, response, 401, "caller_unknown")
            response = await self.answered(way)
            self.assert_refused(way, response, 401, "caller_unknown")
            query = way.known.path + b"?key=nobody"
            response = await self.answered(way, target=query)
            self.assert_refused(way, response, 401, "caller_unknown")

        await self.every_way(story)
        self.assert_untouched()

    async def test_the_token_is_taken_from_where_the_agent_has_it(self) -> None:
        """Every slot of every client; none of it goes on."""
        await self.put_up(self.callers())

        async def story(way: Way) -> None:
            for fields, query in (
                ([(b"Authorization", b"Bearer " + TOKEN)], b""),
                ([(b"Authorization", b"token " + TOKEN)], b""),
                ([(b"X-Api-Key", TOKEN)], b""),
                ([(b"x-goog-api-key", TOKEN)], b""),
                ([(b"api-key", TOKEN)], b""),
                ([], b"?key=" + TOKEN),
                ([], b"?a=b&api_key=" + TOKEN),
                (
                    [
                        (
                            b"Sec-WebSocket-Protocol",
                            b"realtime, openai-insecure-api-key." + TOKEN,
                        )
                    ],
                    b"",
                ),
            ):
                if not way.upgrade and fields and fields[0][0].startswith(b"Sec-"):
                    continue
                target = way.known.path + query
                response = await self.answered(way, fields, target=target)
                self.assertIn(response.status, (101, 200), fields)

        await self.every_way(story)
        for request in self.provider.requests:
            self.assertNotIn(TOKEN, request.head)
        await self.settled()
        self.assertNotIn(TOKEN, b"".join(self.proxy.raw))

    async def test_a_caller_stays_within_its_list(self) -> None:
        """Of providers, and of time; a narrowed token within its own, too."""
        await self.put_up(self.callers('providers = ["openai", "gemini"]'))
        narrower = narrow(TOKEN, [b"p=openai"])
        expired = narrow(TOKEN, [b"e=1"])

        async def story(way: Way) -> None:
            for token, allowed in (
                (TOKEN, ("openai", "gemini")),
                (narrower, ("openai",)),
            ):
                response = await self.answered(way, [(b"X-Api-Key", token)])
                if way.known.name in allowed:
                    self.assertIn(response.status, (101, 200))
                else:
                    self.assert_refused(way, response, 403, "caller_refused")
            response = await self.answered(way, [(b"X-Api-Key", expired)])
            self.assertIn(response.status, (401, 403))

        await self.every_way(story)
        hosts = {request.line.server_name for request in self.provider.requests}
        self.assertEqual(
            hosts, {b"api.openai.com", b"generativelanguage.googleapis.com"}
        )

    async def test_an_open_websocket_does_not_outlive_its_token(self) -> None:
        """Else one that was opened in time would be good for days."""
        await self.put_up(self.callers())
        token = narrow(TOKEN, [b"e=%d" % (time.time() + 2)])

        async def story(way: Way) -> None:
            agent, response = await self.say(way, way.head([b"X-Api-Key: " + token]))
            assert response is not None
            self.assertEqual(response.status, 101)
            while (await agent.frame()).opcode != CLOSE:
                pass
            agent.end("reset")

        await self.every_way(story, [way for way in WAYS if way.upgrade])

    async def test_without_a_list_it_is_said_at_start(self) -> None:
        """One line, so that nobody believes otherwise."""
        await self.put_up()
        (line,) = self.proxy.events("callers")
        self.assertIn("not told apart", line["message"])


class Pitfall10WebPagesTests(PitfallCase):
    """``Host`` allow-list; any ``Origin`` refused unless listed; no CORS."""

    async def test_another_name_is_refused(self) -> None:
        """DNS rebinding: the page's own name points at us. Local answers are kept, too."""
        await self.put_up()

        async def story(way: Way) -> None:
            targets = [way.known.path]
            if not way.upgrade:
                targets += [b"/health", b"/reflect", b"/metrics"]
            for target, host in product(
                targets, (b"evil.example", b"evil.example:10000", b"localhost.evil")
            ):
                response = await self.answered(way, target=target, host=host)
                self.assert_refused(way, response, 403, "host_refused")
                self.assertEqual(response.all(b"access-control-allow-origin"), [])

        await self.every_way(story)
        self.assert_untouched()

    async def test_a_page_is_refused(self) -> None:
        """Its WebSockets above all, which no browser holds back; preflights, too."""
        await self.put_up()

        async def story(way: Way) -> None:
            for fields in (
                [(b"Origin", b"https://evil.example")],
                [(b"origin", b"null")],
                [(b"Origin", b"http://localhost:10000")],
                [(b"Sec-Fetch-Site", b"cross-site")],
            ):
                for method in (b"GET", b"POST", b"OPTIONS"):
                    response = await self.answered(way, fields, method=method)
                    self.assert_refused(way, response, 403, "origin_refused")
                    self.assertEqual(response.all(b"access-control-allow-origin"), [])

        await self.every_way(story)
        self.assert_untouched()

    async def test_what_is_listed_may(self) -> None:
        """A service's name in Compose, and one origin, which the provider hears of."""
        await self.put_up(
            {
                "APIPROXY_ALLOWED_HOSTS": "apiproxy",
                "APIPROXY_ALLOWED_ORIGINS": "https://app.example",
            }
        )

        async def story(way: Way) -> None:
            for host in (b"apiproxy", b"apiproxy:10000", b"127.0.0.1:1", b"10.0.0.9"):
                fields = [(b"Origin", b"https://app.example")]
                response = await self.answered(way, fields, host=host)
                self.assertIn(response.status, (101, 200))

        await self.every_way(story)
        for request in self.provider.requests:
            self.assertEqual(request.all(b"origin"), [b"https://app.example"])


def rss() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


MiB = 1024 * 1024


class Pitfall11DecompressionBombTests(PitfallCase):
    """What nobody has to inflate is not inflated; RSV1 only if negotiated."""

    async def test_a_bomb_in_a_request(self) -> None:
        """It is passed as it is: memory grows by less than it would weigh."""
        await self.put_up()
        bomb = gzip.compress(bytes(64 * MiB), 9)
        before = rss()

        async def story(way: Way) -> None:
            fields = [(b"Content-Encoding", b"gzip")]
            response = await self.answered(way, fields, method=b"POST", body=bomb)
            self.assertEqual(response.status, 200)

        await self.every_way(story, [way for way in WAYS if not way.upgrade])
        self.assertLess(rss() - before, 32 * MiB)

    async def test_a_bomb_in_an_answer(self) -> None:
        """The agent gets it as it came."""
        await self.put_up()
        bomb = gzip.compress(bytes(64 * MiB), 9)
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        )
        self.provider.default = raw(head % len(bomb) + bomb, how=None)
        before = rss()

        async def story(way: Way) -> None:
            response = await self.answered(way)
            self.assertEqual(len(response.body), len(bomb))

        await self.every_way(story, [way for way in WAYS if not way.upgrade])
        self.assertLess(rss() - before, 32 * MiB)

    async def test_a_bomb_in_a_message(self) -> None:
        """With permessage-deflate agreed on, from either side."""
        await self.put_up()
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        small = squeeze.compress(bytes(64 * MiB)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        bomb = frame(TEXT, small[:-4], rsv=4)
        extension = (b"Sec-WebSocket-Extensions", b"permessage-deflate")

        async def both(call: Any) -> None:
            call.upgrade([extension], first=bomb)
            await call.line.gone()

        self.provider.default = both
        before = rss()

        async def story(way: Way) -> None:
            agent = await self.agent(way.known.name)
            response = await agent.upgrade(way.known.path, [extension])
            self.assertEqual(response.status, 101)
            agent.send_frame(TEXT, small[:-4], rsv=4)
            self.assertEqual((await agent.frame()).payload, small[:-4])
            agent.end("reset")

        await self.every_way(story, [way for way in WAYS if way.upgrade])
        self.assertLess(rss() - before, 32 * MiB)

    async def test_compression_that_was_not_agreed_on(self) -> None:
        """Nobody inflates it here; who receives it fails the connection in its own words."""
        await self.put_up()
        heard: list[bytes] = []

        async def both(call: Any) -> None:
            call.upgrade(first=frame(TEXT, b"squeezed down", rsv=4))
            got = await call.frame()
            heard.append(got.payload)
            await call.line.gone()

        self.provider.default = both
        offered = (b"Sec-WebSocket-Extensions", b"permessage-deflate")

        async def story(way: Way) -> None:
            agent = await self.agent(way.known.name)
            response = await agent.upgrade(way.known.path, [offered])
            self.assertEqual(response.all(b"sec-websocket-extensions"), [])
            agent.send_frame(TEXT, b"squeezed up", rsv=4)
            got = await agent.frame()
            self.assertEqual((got.rsv, got.payload), (4, b"squeezed down"))

        await self.every_way(story, [way for way in WAYS if way.upgrade])
        await self.until(lambda: len(heard) == len(PROVIDERS))
        self.assertEqual(set(heard), {b"squeezed up"})
