"""Keys planted in every source, driven through everything, and looked for everywhere."""

import gc
import tempfile
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from apiproxy.wire.relay import Relay
from tests.kit.agent import Agent
from tests.kit.connect import ConnectProxy, drop, refuse, says
from tests.kit.frames import TEXT, frame
from tests.kit.line import Gone
from tests.kit.provider import (
    Behaviour,
    Call,
    answer_json,
    by_hand,
    chunked,
    cut,
    endless,
    events,
    raw,
    redirect,
    silent,
)
from tests.squid.proxy import PLACEHOLDER, PROVIDERS, Known, SquidCase, about, hold
from tests.squid.test_credentials import SUBPROTOCOLS, crowded, everything

CANARIES = {
    "environment": "sk-Env/Q7x+Zw=9@%21",
    "file": "sk-File/W8q+Jx=3@%42",
    "systemd": "sk-Unit/V3k+Xz=5@%63",
    "toml": "sk-Toml/K6j+Qw=1@%84",
    "byok": "sk-Byok/X2v+Wk=7@%05",
    "extra": "Extra/Y9z+Vq=4@%26-header",
    "session": "Session/J1w+Kx=8@%47",
    "custom": "mk-Own/Z5q+Xv=2@%68",
    "password": "Pass/U4x+Qz=6@%89",
}
"""By where each is planted; with characters that every encoding writes differently."""


def spellings(secret: str) -> Iterator[bytes]:
    """How a secret may look where somebody has encoded it."""
    data = secret.encode()
    yield data
    yield quote(secret).encode()
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    yield repr(secret)[1:-1].encode()
    for shift in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            text = encode(b"\0" * shift + data)
            # The characters at both ends depend on what stands beside the secret.
            yield text[4:-4]


NEEDLES = sorted({each for secret in CANARIES.values() for each in spellings(secret)})


def found(text: bytes) -> list[bytes]:
    """The spellings of canaries in a text."""
    return [needle for needle in NEEDLES if needle in text]


class CanaryTests(SquidCase):
    timeout = 120

    async def planted(self, *, redacting: bool) -> ConnectProxy:
        """A stage with a secret in every place that can hold one."""
        await self.stage_provider()
        folder = tempfile.TemporaryDirectory(prefix="apiproxy-keys-", dir="/tmp")
        self.addCleanup(folder.cleanup)
        where = Path(folder.name)
        (where / "anthropic").write_text(CANARIES["file"] + "\n")
        (where / "vertex").write_text(CANARIES["toml"])
        (where / "GEMINI_API_KEY").write_text(CANARIES["systemd"])
        toml = f"""
            [providers.vertex]
            key_file = "{where}/vertex"
            [providers.mistral]
            target = "localhost:{self.provider.port}"
            port = 0
            key_env = "MISTRAL_KEY"
        """
        middle = await self.started(ConnectProxy(self.reactor))
        user = quote("us/er", safe="") + ":" + quote(CANARIES["password"], safe="")
        await self.stage_proxy(
            {
                "HTTPS_PROXY": middle.url.replace("//", f"//{user}@"),
                "OPENAI_API_KEY": CANARIES["environment"],
                "ANTHROPIC_API_KEY": "",
                "ANTHROPIC_API_KEY_FILE": str(where / "anthropic"),
                "GEMINI_API_KEY": "",
                "CREDENTIALS_DIRECTORY": str(where),
                "GOOGLE_API_KEY": "",
                "COPILOT_GITHUB_TOKEN": "",
                "COPILOT_PROVIDER_API_KEY": CANARIES["byok"],
                "COPILOT_API_TARGET": f"localhost:{self.provider.port}",
                "AWF_BYOK_EXTRA_HEADERS": f'{{"x-tenant": "{CANARIES["extra"]}"}}',
                "AWF_PROVIDER_SESSION_ID": CANARIES["session"],
                "MISTRAL_KEY": CANARIES["custom"],
                "APIPROXY_FIRST_BYTE_SECONDS": "0.1",
                "APIPROXY_CONNECT_SECONDS": "0.1",
            },
            toml=toml.encode(),
            tick=0.02,
            redacting=redacting,
        )
        return middle

    async def heard(self, agent: Agent) -> None:
        """Take all that the agent gets within an answer, and look into it."""
        try:
            response = await agent.response()
        except Gone:
            response = None
        got = bytes(agent.received)
        if response is not None:
            got += response.head + response.body
            got += b"".join(each.head for each in response.interim)
        self.assertEqual(found(got), [])

    async def drive(self, name: str) -> None:
        """A request and a WebSocket on each port, with a placeholder in every slot."""
        await self.at_once(self.drive_one(known, name) for known in PROVIDERS)

    async def drive_one(self, known: Known, name: str) -> None:
        """The same on one port."""
        for upgrade in (False, True):
            with about((name, known.name, upgrade)):
                agent = await self.agent(known.name)
                fields = everything(known)
                if upgrade:
                    offered = (
                        b"Sec-WebSocket-Protocol",
                        ", ".join(SUBPROTOCOLS).encode(),
                    )
                    fields += [
                        offered,
                        (b"Upgrade", b"websocket"),
                        (b"Connection", b"Upgrade"),
                        (b"Sec-WebSocket-Version", b"13"),
                        (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
                    ]
                agent.ask(b"GET", crowded(known.path), fields)
                await self.heard(agent)
                agent.end("reset")

    def look_around(self) -> None:
        """See that nothing of ours shows a secret: no repr, no log line."""
        for each in gc.get_objects():
            if str(type(each).__module__).partition(".")[0] == "apiproxy":
                with about(type(each)):
                    self.assertEqual(found(repr(each).encode()), [])
                    self.assertEqual(found(str(each).encode()), [])
        for line in self.proxy.raw:
            self.assertEqual(found(line), [], line)
            self.assertNotIn(PLACEHOLDER.encode(), line)

    async def everything_happens(self, *, redacting: bool) -> None:
        """All kinds of success and failure, on every port."""
        middle = await self.planted(redacting=redacting)

        async def false_key(call: Call) -> None:
            if not call.request.upgrade:
                return await call.end("fin")
            call.upgrade(accept=b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
            await call.line.gone()

        async def either(call: Call) -> None:
            if call.request.upgrade:
                await by_hand(hold, first=frame(TEXT, b"hello"))(call)
            else:
                await events(3)(call)

        behaviours: dict[str, Behaviour] = {
            "success": either,
            "chunks": chunked([b"one", b"two"]),
            "refusal": answer_json({"error": "no"}, 401),
            "failure": answer_json({"error": "no"}, 500),
            "redirect": redirect(b"https://localhost:1/"),
            "reset": raw(how="reset"),
            "garbage": raw(b"SSH-2.0\r\n", how=None),
            "cut": cut(answer_json({"a": "b"}), 10, "close"),
            "silence": silent(),
            "wrong 101": false_key,
        }
        for name, behaviour in behaviours.items():
            self.provider.default = behaviour
            await self.drive(name)
        for known in PROVIDERS:
            agent = await self.agent(known.name)
            agent.write(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: x\x00y\r\n\r\n"
            )
            await self.heard(agent)
            agent = await self.agent(known.name)
            agent.ask(b"POST", known.path, [(b"Content-Length", b"99999999")])
            await self.heard(agent)
        self.look_around()

        for known in PROVIDERS:  # in the middle of things
            self.provider.default = endless(b"x", 0.001)
            agent = await self.agent(known.name)
            agent.ask(b"GET", crowded(known.path), everything(known))
            await agent.response_head()
            self.provider.default = by_hand(hold)
            agent = await self.agent(known.name)
            self.assertEqual((await agent.upgrade(known.path)).status, 101)
        self.look_around()
        self.assertGreaterEqual(self.proxy.proxy.census.live, 2 * len(PROVIDERS))
        self.provider.default = answer_json({})
        for path in (b"/health", b"/reflect", b"/metrics"):
            for known in PROVIDERS:
                for accept in (b"*/*", b"text/plain", b"application/openmetrics-text"):
                    agent = await self.agent(known.name)
                    agent.ask(b"GET", path, [(b"Accept", accept)])
                    await self.heard(agent)
        await self.settled()

        for name, refusal in {
            "egress 403": refuse(403),
            "egress 407": refuse(407, [(b"Proxy-Authenticate", b"Basic realm=x")]),
            "egress 500": refuse(500),
            "egress 503": refuse(503),
            "egress drop": drop(),
            "egress silence": says(how=None),
            "egress garbage": says(b"\x16\x03\x01", how=None),
        }.items():
            self.proxy.proxy.reload(self.proxy.settings)  # no warm lines
            middle.default = refusal
            await self.drive(name)
        self.look_around()
        self.proxy.proxy.reload(self.proxy.settings)
        await middle.stop()
        await self.drive("egress gone")
        self.look_around()
        for request in self.provider.requests:
            self.assertNotIn(PLACEHOLDER.encode(), request.head + request.body)
            self.assertNotIn(quote(PLACEHOLDER).encode(), request.head)
        # The test could find what it looks for: each canary did arrive where it belongs.
        arrived = b"".join(request.head for request in self.provider.requests)
        for name in (
            "environment",
            "file",
            "systemd",
            "toml",
            "byok",
            "extra",
            "session",
        ):
            self.assertIn(CANARIES[name].encode(), arrived, name)
        self.assertNotEqual(found(b"".join(middle.heads)), [])

    async def test_no_secret_gets_out_with_both_nets(self) -> None:
        """As it is run: at debug level, nothing shows any secret."""
        await self.everything_happens(redacting=True)

    async def test_no_secret_gets_into_a_line_in_the_first_place(self) -> None:
        """Without the redaction of log lines there is nothing to redact either."""
        await self.everything_happens(redacting=False)

    async def test_no_secret_gets_out_by_a_bug(self) -> None:
        """A crash of ours in the middle of an exchange shows a traceback, and no secret."""

        class Bug(Exception):
            """What nobody foresaw."""

        def broken(*_: object) -> None:
            raise Bug

        await self.planted(redacting=False)
        self.provider.default = answer_json({})
        for place in ("answer_began", "_make_head", "body_ended"):
            patch = self.patch(Relay, place, broken)
            for known in PROVIDERS:
                with about((place, known.name)):
                    agent = await self.agent(known.name)
                    agent.ask(b"POST", crowded(known.path), everything(known))
                    await self.heard(agent)
            patch.restore()
        self.assertGreater(len(self.flushLoggedErrors(Bug)), 0)
        self.assertGreater(len(self.proxy.bugs), 0)
        self.look_around()
        bugs = self.proxy.bugs
        self.proxy.lines[:] = [line for line in self.proxy.lines if line not in bugs]
