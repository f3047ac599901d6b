"""The Autobahn TestSuite: what a WebSocket server does, it does through the proxy too.

The suite's cases are run by ``kosoku``, a fuzzing client, twice against one echo server:
directly, and as an agent of ``twistd -n apiproxy``, from there through Squid and over TLS.
Whether the echo server passes a case is its own affair; that the verdict stays the same with
us in between is ours.

The cases on compression take a thousand messages each, most of the time by far, so only
some of each group are run. ``APIPROXY_CONFORMANCE=all`` in the environment of the tests runs
every case there is.
"""

import os
from collections import Counter
from typing import Any, TypeAlias, cast

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.compress_deflate import PerMessageDeflateOfferAccept
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.kit.case import LoopbackCase
from tests.kit.running import Service, told
from tests.kit.squid import Squid, squid_missing
from tests.kit.tls import authority

Verdict: TypeAlias = tuple[object, ...]

GROUPS = {
    "frames, fragments, UTF-8, closing": [f"{part}.*" for part in (*range(1, 8), 10)],
    "sizes": ["9.*"],
    "compression": ["12.*", "13.*"],
}
"""Patterns of case ids, by what they are about."""

SMALL = [
    *(f"12.{group}.{size}" for group in range(1, 6) for size in (1, 11)),
    *(f"13.{group}.{size}" for group in range(1, 8) for size in (1, 11)),
    *("12.1.6", "12.1.18", "13.7.6", "13.7.18"),
]
"""Cases on compression that are always run: each way of negotiating it, with messages of 16
bytes, and of 8 kB in fragments; for two also of 8 kB in one, and of 128 kB in fragments."""

ALL = os.environ.get("APIPROXY_CONFORMANCE") == "all"

AT_ONCE = 4
"""Cases at a time. They wait a lot, but a few of them also look at the clock."""


class Echo(WebSocketServerProtocol):
    """Sends every message back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send it back."""
        self.sendMessage(payload, isBinary)


def _accept_deflate(offers: list[object]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


class AutobahnTests(LoopbackCase):
    timeout = 3600 if ALL else 900

    skip = squid_missing()

    async def test_every_case_goes_as_it_does_without_us(self) -> None:
        """Behaviour, close, code and reason of every case are those of the direct run."""
        direct, through, service = await self.stage()
        found: dict[str, tuple[Verdict, Verdict]] = {}
        for name, patterns in GROUPS.items():
            cases = SMALL if name == "compression" and not ALL else patterns
            expected = await self.verdicts(direct, cases)
            seen = await self.verdicts(through, cases)
            self.assertEqual(list(seen), list(expected))
            found |= {case: (expected[case], seen[case]) for case in expected}
        different = await self.confirmed(found, direct, through)
        print(_summary(found, different))
        self.assertEqual(different, {})
        await self.look_at_log(service, at_least=len(found))
        # The echo server's timers (a second for a Close) stay a while, though cancelled.
        await deferLater(self.reactor, 2.0)

    async def stage(self) -> tuple[str, str, Service]:
        """The URLs of the echo server, directly and through the proxy; and the proxy."""
        factory = WebSocketServerFactory(reactor=self.reactor)
        factory.protocol = Echo
        factory.setProtocolOptions(
            # A violation is answered with a Close; a bare cut would be told to the agent in
            # our words, which is another test's matter.
            failByDrop=False,
            openHandshakeTimeout=0,
            perMessageCompressionAccept=_accept_deflate,
        )
        options = authority().identity().options()
        secured = TLSMemoryBIOFactory(
            options, False, cast(IProtocolFactory, factory), self.reactor
        )
        plain_port, port = self.listen(factory), self.listen(secured)
        squid = await self.started(Squid(self.reactor, [port]))
        service = await self.started(
            Service(
                self.reactor,
                {
                    "OPENAI_API_KEY": "sk-the-real-one",
                    "OPENAI_API_TARGET": f"api.openai.com:{port}",
                    "HTTPS_PROXY": squid.url,
                    "APIPROXY_CA_FILE": str(authority().pem),
                    "APIPROXY_GRACE_SECONDS": "5",
                },
            )
        )
        through = f"ws://127.0.0.1:{service.port('openai')}/v1/echo"
        return f"ws://127.0.0.1:{plain_port}/v1/echo", through, service

    def listen(self, factory: Any) -> int:
        """Listen on a free port until the test has ended."""
        port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return cast(IPv4Address, port.getHost()).port

    async def verdicts(
        self, url: str, cases: list[str], at_once: int = AT_ONCE
    ) -> dict[str, Verdict]:
        """What came of these cases, by their ids."""
        module = "tests.conformance.fuzz"
        results = await told(self.reactor, module, url, str(at_once), *cases)
        return {case: tuple(verdict) for case, *verdict in results}

    async def confirmed(
        self, found: dict[str, tuple[Verdict, Verdict]], direct: str, through: str
    ) -> dict[str, tuple[Verdict, Verdict]]:
        """The cases that went differently, and do so again when nothing else goes on.

        A few cases judge by the clock whether a server failed soon enough, or within a
        minute; on a busy machine such a verdict may change by itself.
        """
        suspects = {case: pair for case, pair in found.items() if pair[0] != pair[1]}
        for case in list(suspects):
            for _ in range(2):
                expected = (await self.verdicts(direct, [case], 1))[case]
                seen = (await self.verdicts(through, [case], 1))[case]
                if expected == seen:
                    print(f"case {case} was in a hurry: {suspects.pop(case)}")
                    break
        return suspects

    async def look_at_log(self, service: Service, *, at_least: int) -> None:
        """See that each socket has had its one outcome, and none was a bug of ours."""

        def outcomes() -> Counter[str]:
            events = (line["event"] for line in service.lines)
            return Counter(event for event in events if event.startswith("websocket_"))

        await self.until(lambda: len(set(outcomes().values())) == 1)
        self.assertEqual(
            set(outcomes()), {"websocket_upgrade_start", "websocket_upgrade_complete"}
        )
        self.assertGreaterEqual(outcomes()["websocket_upgrade_complete"], at_least)
        bugs = [line for line in service.lines if line["event"] == "exception"]
        self.assertEqual(bugs, [])
        self.assertEqual(service.err, b"")


def _summary(
    found: dict[str, tuple[Verdict, Verdict]],
    different: dict[str, tuple[Verdict, Verdict]],
) -> str:
    """A few lines for people."""
    words = Counter(f"{pair[0][0]}/{pair[0][1]}" for pair in found.values())
    shown = ", ".join(f"{count} {verdict}" for verdict, count in words.most_common())
    lines = [
        "",
        f"Autobahn TestSuite: {len(found)} cases directly and through apiproxy;"
        f" {len(found) - len(different)} the same, {len(different)} different",
        f"  the echo server's verdicts (behaviour/close): {shown}",
        *(
            f"  {case}: directly {expected}, through apiproxy {seen}"
            for case, (expected, seen) in different.items()
        ),
    ]
    if not ALL:
        lines.append("  APIPROXY_CONFORMANCE=all runs every case on compression too")
    return "\n".join(lines)
