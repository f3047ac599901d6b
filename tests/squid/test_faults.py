"""Whatever breaks, and whenever: nothing leaks, nothing sticks, nothing lies."""

from collections.abc import Awaitable, Callable

from tests.kit import connect
from tests.kit.agent import Agent
from tests.kit.connect import ConnectProxy
from tests.kit.frames import CLOSE, TEXT, close_payload, frame
from tests.kit.http import Response, chunk
from tests.kit.line import Ending, Gate, Gone
from tests.kit.provider import (
    Behaviour,
    Call,
    by_hand,
    chunked,
    counted,
    cut,
    echo,
    endless,
    events,
    silent,
)
from tests.squid.proxy import OPENAI, PROVIDERS, Known, SquidCase, about, hold

_BODY = b'{"answer": 42}'
_FIELDS = [(b"Content-Type", b"application/json")]


class SquidDiesTests(SquidCase):
    async def test_streams_break_and_later_requests_work(self) -> None:
        """With Squid all streams and sockets end, none of them cleanly; then all is well."""
        await self.stage()
        streams = []
        for known in PROVIDERS:
            self.provider.on(known.upstream_path, events(5, gate=Gate()))
            agent = await self.agent(known.name)
            agent.ask(b"POST", known.path, body=b"{}")
            response, length = await agent.response_head()
            streams.append((agent, response, length))
        self.provider.on(b"/socket", by_hand(hold))
        self.provider.on(b"/v1/socket", by_hand(hold))
        sockets = [await self.agent(known.name) for known in PROVIDERS]
        for agent in sockets:
            self.assertEqual((await agent.upgrade(b"/socket")).status, 101)
        self.assertEqual(self.proxy.proxy.census.live, 2 * len(PROVIDERS))
        await self.squid.kill()
        for agent, response, length in streams:
            await self.assertBroken(response.read_body(agent, length))
        for agent in sockets:
            end = await agent.frame()
            self.assertEqual(
                (end.opcode, end.payload[:2]), (CLOSE, close_payload(1011))
            )
        line = await self.outcome(2 * len(PROVIDERS))
        self.assertEqual(
            {one["error"] for one in self.proxy.outcomes}, {"upstream_reset"}
        )
        self.assertEqual(line["level"], "error")
        self.assertEqual(self.proxy.proxy.census.live, 0)
        for agent in sockets:
            agent.end()
        await self.until(lambda: not self.proxy.leftovers)
        for known in PROVIDERS:
            response = await self.ask(known)
            self.assertEqual(known.error(response)[0], "egress_unreachable")
        await self.squid.restart()
        self.provider.default = echo()
        for known in PROVIDERS:
            self.provider.on(known.upstream_path, echo())
            self.assertEqual((await self.ask(known)).status, 200, known.name)
            agent = await self.agent(known.name)
            self.assertEqual((await agent.upgrade(b"/socket")).status, 101)

    async def assertBroken(self, story: Awaitable[None]) -> None:
        """See that an answer ends by the loss of its connection."""
        try:
            await story
        except Gone:
            return
        self.fail("the answer ended as if it were complete")

    async def test_idle_lines_that_squid_took_with_it_are_not_missed(self) -> None:
        """After a restart in between nobody notices, for a dead line is not used."""
        await self.stage()
        for known in PROVIDERS:
            self.assertEqual((await self.ask(known)).status, 200)
        await self.squid.restart()
        for known in PROVIDERS:
            self.assertEqual((await self.ask(known)).status, 200)


class BrokenAnswerTests(SquidCase):
    async def answered(self, agent: Agent) -> Response | None:
        """What an agent makes of what it gets; None if its connection broke."""
        try:
            return await agent.response()
        except Gone:
            return None

    async def every_offset(self, whole: Behaviour, how: Ending) -> None:
        """Cut an answer at each of its bytes, and see what the agent gets.

        Args:
            whole: the answer.
            how: how the provider's connection ends.
        """
        self.provider.default = whole
        before = len(self.proxy.outcomes) + 1
        self.assertEqual((await self.ask()).status, 200)
        size = self.provider.requests[-1].sent
        self.assertGreater(size, len(_BODY))
        seen: list[int | None] = []

        async def one(offset: int) -> None:
            known, path = PROVIDERS[offset % len(PROVIDERS)], b"/v1/%d" % offset
            self.provider.on(path, cut(whole, offset, how, part="head"))
            agent = await self.agent(known.name)
            agent.ask(b"POST", path, body=b"{}")
            with about((known.name, how, offset)):
                response = await self.answered(agent)
                seen.append(None if response is None else response.status)
                if response is not None:
                    # A stale line may have been replaced; the next gets the same cut.
                    self.assertEqual(response.status, 502)
                    self.assertEqual(known.error(response)[0], "upstream_reset")

        await self.at_once(map(one, range(size)))
        self.assertIn(502, seen)
        # A reset overtakes what was sent before it, so the agent may see no part at all.
        if how != "reset":
            self.assertIn(None, seen)
        await self.outcome(before + size)
        for line in self.proxy.outcomes[before:]:
            self.assertEqual(line["error"], "upstream_reset")

    async def test_a_counted_answer_cut_at_every_byte(self) -> None:
        """No agent takes a part for the whole."""
        await self.stage()
        for how in _ENDINGS:
            await self.every_offset(counted(_BODY, fields=_FIELDS), how)

    async def test_a_chunked_answer_cut_at_every_byte(self) -> None:
        """Nor when the answer comes in chunks."""
        await self.stage()
        for how in _ENDINGS:
            await self.every_offset(
                chunked([_BODY[:5], _BODY[5:]], fields=_FIELDS), how
            )

    async def test_an_answer_without_framing_cut_without_goodbye(self) -> None:
        """An answer that ends with its connection needs a TLS goodbye to be complete."""
        await self.stage()
        endings: tuple[Ending, ...] = ("fin", "reset")
        for how in endings:

            async def stop(call: Call, how: Ending = how) -> None:
                call.start(200, _FIELDS)
                await call.send(_BODY)
                await call.end(how)

            self.provider.default = stop
            for known in PROVIDERS:
                with about((known.name, how)):
                    agent = await self.agent(known.name)
                    agent.ask(b"GET", known.path)
                    response = await self.answered(agent)
                    if response is not None:
                        self.assertEqual(response.status, 502)

    async def test_a_websocket_cut_at_every_byte(self) -> None:
        """The 101 and two frames, cut anywhere: only whole frames are followed by a Close."""
        await self.stage()
        frames = frame(TEXT, b"one") + frame(TEXT, b"two!", fin=False)
        whole = by_hand(hold, first=frames)
        self.provider.default = whole
        agent = await self.agent()
        self.assertEqual((await agent.upgrade(OPENAI.path)).status, 101)
        self.assertEqual(await agent.read(len(frames)), frames)
        size = self.provider.requests[-1].sent
        boundaries = {0, len(frame(TEXT, b"one")), len(frames)}
        closes: list[int] = []

        async def one(case: tuple[Ending, int]) -> None:
            how, offset = case
            known = PROVIDERS[offset % len(PROVIDERS)]
            path = b"/v1/%b/%d" % (how.encode(), offset)
            self.provider.on(path, cut(whole, offset, how, part="head"))
            agent = await self.agent(known.name)
            with about((known.name, case)):
                try:
                    response = await agent.upgrade(path)
                except Gone:  # the cut may overtake the 101 that it follows
                    self.assertGreaterEqual(offset, size - len(frames))
                    return
                if response.status != 101:
                    self.assertEqual(response.status, 426)
                    self.assertEqual(known.error(response)[0], "upstream_reset")
                    return
                got = await agent.read_all()
                part, mark, rest = got.partition(b"\x88")
                self.assertTrue(frames.startswith(part), got)
                if mark:
                    closes.append(len(part))
                    self.assertEqual(rest[1:3], close_payload(1011))

        await self.at_once(
            map(one, [(how, offset) for how in _ENDINGS for offset in range(size + 1)])
        )
        self.assertLessEqual(set(closes), boundaries)
        self.assertIn(0, closes)

    async def test_a_tunnel_that_breaks_at_any_byte(self) -> None:
        """In the TLS handshake or behind it: an error or a cut, never a false answer."""
        await self.stage_provider()
        middle = await self.started(ConnectProxy(self.reactor))
        await self.stage_proxy({"HTTPS_PROXY": middle.url})
        body = b"x" * 500
        self.provider.default = counted(body)
        self.assertEqual((await self.ask()).status, 200)
        size = middle.connections[0].carried["down"]
        for how in _ENDINGS:
            for offset in range(0, size, 61):
                known = PROVIDERS[offset % len(PROVIDERS)]
                middle.default = connect.tunnel(cut=offset, how=how)
                agent = await self.agent(known.name)
                agent.ask(b"GET", known.path)
                with about((known.name, how, offset)):
                    response = await self.answered(agent)
                    if response is not None and response.status == 200:
                        # The cut came behind the answer, among TLS's own bytes.
                        self.assertEqual(response.body, body)
                    elif response is not None:
                        self.assertEqual(response.status, 502)
                        self.assertIn(
                            known.error(response)[0],
                            ("upstream_reset", "egress_unreachable"),
                        )

    async def test_a_provider_that_leaves_during_an_upload(self) -> None:
        """The agent is told, and stops."""
        await self.stage()

        async def leave(call: Call) -> None:
            await call.some_body(1000)
            await call.end("reset")

        self.provider.default = leave
        for known in PROVIDERS:
            with about(known.name):
                agent = await self.agent(known.name)
                agent.ask(b"POST", known.path, [(b"Transfer-Encoding", b"chunked")])
                while not agent.received:
                    await agent.send(chunk(b"x" * 1000))
                    await self.turn(0)
                response = await self.answered(agent)
                assert response is not None
                self.assertEqual(
                    (response.status, known.error(response)[0]), (502, "upstream_reset")
                )


_HANDSHAKE = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]

_ENDINGS: tuple[Ending, ...] = ("close", "fin", "reset")

Phase = Callable[["AgentLeavesTests", Agent, Known], Awaitable[None]]


async def connected(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """Nothing was sent."""


async def half_head(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """In the middle of the head."""
    agent.write(b"POST " + known.path + b" HTTP/1.1\r\nHost: local")
    await agent.flushed()


async def head_sent(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """At once behind the request, most likely during the dial."""
    agent.ask(b"POST", known.path, body=b"{}")
    await agent.flushed()


async def half_body(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """In the middle of the body."""
    agent.ask(b"POST", known.path, [(b"Content-Length", b"1000")])
    agent.write(b"x" * 500)
    await case.reached()


async def half_chunk(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """In the middle of a chunk."""
    agent.ask(b"POST", known.path, [(b"Transfer-Encoding", b"chunked")])
    agent.write(chunk(b"x" * 500)[:-100])
    await case.reached()


async def expecting(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """When told to go on."""
    fields = [(b"Expect", b"100-continue"), (b"Content-Length", b"10")]
    agent.ask(b"POST", known.path, fields)
    await agent.read_until(b"\r\n\r\n")


async def waiting(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """While the provider thinks."""
    agent.ask(b"POST", known.path, body=b"{}")
    await case.reached()


async def pipelining(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """While a second request waits for the first."""
    agent.ask(b"POST", known.path, body=b"{}")
    agent.ask(b"POST", known.path, body=b"{}")
    await case.reached()


async def mid_answer(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """In the middle of the answer."""
    case.provider.default = endless(b"x" * 100, 0.001)
    agent.ask(b"GET", known.path)
    await agent.response_head()
    await agent.read(200)


async def not_reading(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """In the middle of an answer that it did not read."""
    case.provider.default = endless()
    agent.ask(b"GET", known.path)
    await agent.response_head()
    agent.pause()
    request = case.provider.requests[-1]
    await case.until_still(lambda: request.sent, turns=5)
    agent.resume()


async def mid_upgrade(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """While the provider thinks about a WebSocket."""
    agent.ask(b"GET", known.path, _HANDSHAKE)
    await case.reached()


async def open_socket(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """With a WebSocket open."""
    case.provider.default = by_hand(hold)
    await agent.upgrade(known.path)


async def half_frame(case: "AgentLeavesTests", agent: Agent, known: Known) -> None:
    """In the middle of a frame."""
    case.provider.default = by_hand(hold)
    await agent.upgrade(known.path)
    agent.write(frame(TEXT, b"half a frame", mask=b"mask")[:-3])
    await agent.flushed()


PHASES: tuple[Phase, ...] = (
    connected,
    half_head,
    head_sent,
    half_body,
    half_chunk,
    expecting,
    waiting,
    pipelining,
    mid_answer,
    not_reading,
    mid_upgrade,
    open_socket,
    half_frame,
)


class AgentLeavesTests(SquidCase):
    def setUp(self) -> None:
        """No request has come yet."""
        super().setUp()
        self.before = 0

    async def reached(self) -> None:
        """Wait until the provider has got the request."""
        await self.provider.asked(self.before + 1)

    async def test_an_agent_that_leaves_at_any_moment_leaves_nothing(self) -> None:
        """In each phase, on each port, politely and not: all is as before at once."""
        await self.stage()
        for phase in PHASES:
            for known in PROVIDERS:
                for how in ("close", "reset"):
                    with about((phase.__doc__, known.name, how)):
                        self.provider.default = silent()
                        self.before = len(self.provider.requests)
                        told = len(self.proxy.outcomes)
                        agent = await self.agent(known.name)
                        await phase(self, agent, known)
                        agent.end(how)
                        await agent.gone()
                        await self.until(lambda: not self.proxy.leftovers)
                        told = len(self.proxy.outcomes) - told
                        self.assertEqual(
                            told, 0 if phase in (connected, half_head) else 1
                        )
        await self.provider.left()
        for line in self.proxy.outcomes:
            self.assertIn(line.get("error"), ("agent_gone", None))

    async def test_an_agent_that_leaves_while_squid_is_silent(self) -> None:
        """A dial is given up with its agent, wherever it has come to."""
        await self.stage_provider()
        middle = await self.started(ConnectProxy(self.reactor))
        await self.stage_proxy({"HTTPS_PROXY": middle.url})
        established = b"HTTP/1.1 200 Connection established\r\n\r\n"
        number = 0
        for behaviour in (
            connect.silent(),
            connect.says(b"HTTP/1.1 200 Conn", how=None),
            connect.says(established, how=None),
        ):
            middle.default = behaviour
            for known in PROVIDERS:
                for upgrade in (False, True):
                    with about((known.name, upgrade)):
                        agent = await self.agent(known.name)
                        if upgrade:
                            agent.ask(b"GET", known.path, _HANDSHAKE)
                        else:
                            agent.ask(b"GET", known.path)
                        number += 1
                        await middle.asked(number)
                        agent.end("reset")
                        line = await self.outcome(number)
                        self.assertEqual(line["error"], "agent_gone")
        await middle.left()
        await self.until(lambda: not self.proxy.leftovers)
