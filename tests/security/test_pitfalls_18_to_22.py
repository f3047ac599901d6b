"""Pitfalls 18 to 22: the provider's side, our own supply, and one bad request."""

import json
import random
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

from apiproxy.core.exchange import Exchange
from apiproxy.policy.inspection import inspect
from apiproxy.policy.tools import ToolPolicy, ToolRule
from tests.kit.connect import tunnel
from tests.kit.line import Gone
from tests.kit.provider import Call, Provider, redirect
from tests.kit.tls import Identity, authority
from tests.policy.test_inspection import ASKED
from tests.security.stage import WAYS, PitfallCase, Way

ROOT = Path(__file__).parents[2]
HTTP = [way for way in WAYS if not way.upgrade]
SOCKETS = [way for way in WAYS if way.upgrade]


class Pitfall18TlsTests(PitfallCase):
    """A matrix of bad certificates; early bytes are an error."""

    async def test_bad_certificates(self) -> None:
        """No request and no key goes to whoever shows one."""
        known = authority()
        bad: dict[str, Identity] = {
            "another name": known.wrong_name(),
            "expired": known.expired(),
            "not yet valid": known.not_yet_valid(),
            "a stranger's authority": known.stranger(),
            "signed by itself": known.self_signed(),
            "an incomplete chain": known.intermediate(complete=False),
        }
        await self.put_up()
        for what, identity in bad.items():
            impostor = Provider(self.reactor, identity.options())
            await impostor.start()
            for each in WAYS:
                place = f"{each.known.host}:{self.provider.port}"
                self.middle.routes[place] = impostor.port

            async def story(way: Way) -> None:
                response = await self.answered(way)
                status = 400 if way.upgrade else 502
                self.assert_refused(way, response, status, "upstream_tls_failed")

            try:
                await self.every_way(story)
                self.assertEqual(impostor.requests, [], what)
                heard = b"".join(bytes(line.received) for line in impostor.connections)
                self.assertEqual(heard, b"", what)
            finally:
                await impostor.stop()
        self.assertEqual(self.provider.requests, [])

    async def test_bytes_before_their_turn(self) -> None:
        """What stands behind CONNECT's 200 was not said by the provider."""
        await self.put_up()
        self.middle.default = tunnel(early=b"HTTP/1.1 200 OK\r\n\r\n")

        async def story(way: Way) -> None:
            response = await self.answered(way)
            status = 400 if way.upgrade else 502
            self.assert_refused(way, response, status, "egress_protocol_error")

        await self.every_way(story)
        self.assertEqual(self.provider.requests, [])


class Pitfall19RedirectTests(PitfallCase):
    """Never followed."""

    async def test_a_redirect_is_the_agents_to_follow(self) -> None:
        """It gets it as it came, and without the key; nobody else hears of it."""
        await self.put_up()
        elsewhere = Provider(self.reactor, authority().identity().options())
        await self.started(elsewhere)
        location = b"https://localhost:%d/take" % elsewhere.port

        async def story(way: Way) -> None:
            response = await self.answered(way)
            self.assertEqual(response.all(b"location"), [location])
            self.assertIn(response.status, (302, 307))
            self.assertNotIn(way.known.key.encode(), response.head + response.body)

        for status in (302, 307):
            self.provider.default = redirect(location, status)
            await self.every_way(story)
        self.assertEqual(elsewhere.connections, [])
        self.assertEqual(len(self.provider.requests), 2 * len(WAYS))


class Pitfall20ProviderAsAnExitTests(PitfallCase):
    """A hosted-tool policy: allow, report or deny, per tool and per remote host."""

    def test_what_a_body_or_message_asks_for_can_be_denied(self) -> None:
        """Every kind, in every dialect; also inside ``response.create``."""
        exchange = Exchange("id", "openai", "POST", "/", seconds=float)
        for body, _ in ASKED:
            for sent in (body, {"type": "response.create", "response": body}):
                uses = inspect(json.dumps(sent).encode())
                self.assertTrue(uses)
                rules = [ToolRule.parse(f"{use.kind}=deny") for use in uses]
                self.assertIsNone(ToolPolicy().decide(exchange, uses))
                self.assertIsNotNone(ToolPolicy(rules).decide(exchange, uses))
                rules.append(ToolRule.parse("*=deny"))
                allowed = [
                    ToolRule.parse(
                        f"{use.kind}{':' + use.host if use.host else ''}=allow"
                    )
                    for use in uses
                ]
                self.assertIsNone(ToolPolicy([*rules, *allowed]).decide(exchange, uses))

    async def test_batches_and_uploads_are_told_by_their_path(self) -> None:
        """Reported by default."""
        await self.put_up()

        async def story(way: Way) -> None:
            for target in (b"/v1/batches", b"/v1/files", b"/v1/containers"):
                response = await self.answered(way, target=target, method=b"POST")
                self.assertEqual(response.status, 200)

        await self.every_way(story, HTTP)
        kinds = [line["kind"] for line in self.proxy.events("hosted_tool")]
        self.assertEqual(sorted(set(kinds)), ["batch", "code", "upload"])
        self.assertEqual(len(kinds), 3 * len(HTTP))

    async def test_batches_and_uploads_can_be_denied(self) -> None:
        """With the setting in the message; reading them is something else."""
        await self.put_up({"APIPROXY_TOOLS": "batch=deny,upload=deny"})

        async def story(way: Way) -> None:
            for target in (b"/v1/batches", b"/v1/files", b"/v1/Batches/"):
                response = await self.answered(way, target=target, method=b"POST")
                self.assert_refused(way, response, 403, "tool_refused")
                self.assertIn("APIPROXY_TOOLS", way.known.error(response)[1])
                response = await self.answered(way, target=target, method=b"GET")
                self.assertEqual(response.status, 200)

        await self.every_way(story, HTTP)


class Pitfall21SupplyChainTests(PitfallCase):
    """Few dependencies, lower bounds without known holes, hashes, ``python -I``."""

    def test_lower_bounds_exclude_known_holes(self) -> None:
        """Twisted and Autobahn above all."""
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        needed = setup["options"]["install_requires"].split("\n")
        found = {
            re.split(r"[\[>=< ]", line)[0].lower(): line for line in needed if line
        }
        self.assertRegex(found["twisted"], r">= ?26\.(10|1[1-9])")
        self.assertRegex(found["autobahn"], r">= ?26\.(10\.[2-9]|1[1-9])")
        self.assertLess(len(found), 16)
        for line in found.values():
            self.assertIn(">=", line)

    def test_what_the_image_installs_has_hashes(self) -> None:
        """Every line of the lock file, and pip is told to mind."""
        lock = (ROOT / "requirements.lock").read_text()
        for name in re.findall(r"^([a-z0-9][\w.-]*)==", lock, re.M | re.I):
            block = lock.partition(f"\n{name}==")[2] or lock.partition(f"{name}==")[2]
            self.assertIn("--hash=sha256:", block.split("\n\n")[0][:400], name)
        dockerfile = (ROOT / "Dockerfile").read_text()
        self.assertIn("--require-hashes", dockerfile)
        self.assertRegex(dockerfile, r'"-I"|python3? -I')

    def test_no_file_of_ours_runs_by_being_installed(self) -> None:
        """No ``.pth``, no script in the build."""
        self.assertEqual([*ROOT.glob("apiproxy/**/*.pth"), *ROOT.glob("*.pth")], [])
        build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
        self.assertEqual(build["build-backend"], "setuptools.build_meta")
        self.assertFalse((ROOT / "setup.py").exists())


class Pitfall22OneBadRequestTests(PitfallCase):
    """Every exchange is contained; a million bad ones are ``make fuzz``'s."""

    async def test_the_request_that_killed_the_predecessor(self) -> None:
        """A backslash behind the slash: 400, and the next request is served."""
        await self.put_up()

        async def story(way: Way) -> None:
            for target in (b"/\\", b"\\", b"/%", b"/[", b"/%zz", b"//", b"/\x7f"):
                await self.say(way, way.head(target=target))
            response = await self.answered(way)
            self.assertIn(response.status, (101, 200))

        await self.every_way(story)

    async def test_a_reset_during_an_upgrade(self) -> None:
        """By the agent before and after the answer, and by the provider instead of one."""
        await self.put_up()
        serve = self.provider.default

        async def reset(call: Call) -> None:
            await call.end("reset")

        async def story(way: Way) -> None:
            for wait in (False, True):
                agent = await self.agent(way.known.name)
                agent.write(way.head())
                if wait:
                    await agent.response_head()
                agent.end("reset")
            self.provider.default = reset
            agent = await self.agent(way.known.name)
            agent.write(way.head())
            response = await agent.response()
            self.assertGreaterEqual(response.status, 400)
            self.provider.default = serve
            response = await self.answered(way)
            self.assertIn(response.status, (101, 200))

        for way in SOCKETS:
            await story(way)

    async def test_some_hundred_requests_of_noise(self) -> None:
        """Well-formed ones with bytes changed, cut off, and ended in all ways."""
        await self.put_up()
        chance = random.Random(22)  # to be the same in each run

        async def story(way: Way) -> None:
            for _ in range(25):
                head = bytearray(
                    way.head([b"Content-Length: 4", b"X-A: b"]) + b"\x81\x84ab"
                )
                for _ in range(chance.randrange(1, 4)):
                    head[chance.randrange(len(head))] = chance.randrange(256)
                agent = await self.agent(way.known.name)
                try:
                    agent.write(bytes(head[: chance.randrange(1, len(head) + 1)]))
                    await self.turn(0)
                    if chance.random() < 0.5 and agent.open:
                        agent.half_close()
                    await self.turn(0.001)
                except Gone:
                    continue
                agent.end("reset")

        await self.every_way(story)
        await self.settled()

        async def served(way: Way) -> None:
            response = await self.answered(way)
            self.assertIn(response.status, (101, 200))

        await self.every_way(served)
