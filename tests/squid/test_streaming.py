"""Bytes come one by one, are never held back, and press back when nobody takes them."""

import socket
from collections.abc import Callable, Sequence
from functools import partial

from apiproxy.wire.relay import Relay
from tests.kit.agent import Agent
from tests.kit.frames import BINARY, TEXT, frame
from tests.kit.http import chunk
from tests.kit.line import Gate
from tests.kit.provider import Behaviour, Call, Request, by_hand, deaf, echo, endless
from tests.squid.proxy import OPENAI, PROVIDERS, SquidCase, about, hashed

_MiB = 1024 * 1024
_BUFFERS = 56 * _MiB
"""More than the kernel's buffers between provider and agent hold: the one that is left to
grow, at the proxy, takes 32 MiB on a large machine."""

_OURS = 16 * _MiB
"""More than the proxy may take before it hears that nobody takes it from there."""

_SMALL = "tcp_recv_bufsize 65536 bytes"
"""Squid's word for buffers that do not grow."""


def stepwise(gates: Sequence[Gate]) -> Behaviour:
    """An event for each gate, when the test has opened it."""

    async def behave(call: Call) -> None:
        kind = (b"Content-Type", b"text/event-stream")
        call.start(200, [kind, (b"Transfer-Encoding", b"chunked")])
        for number, gate in enumerate(gates):
            await gate.opened()
            await call.send(chunk(b"data: %d\n\n" % number))
        call.write(b"0\r\n\r\n")

    return behave


def large(size: int, piece: bytes) -> Behaviour:
    """An answer of so many numbered pieces."""

    async def behave(call: Call) -> None:
        call.start(200, [(b"Content-Length", b"%d" % (size * (8 + len(piece))))])
        for number in range(size):
            await call.send(b"%08d" % number + piece)

    return behave


class EventTests(SquidCase):
    async def test_the_head_and_each_event_arrive_at_once(self) -> None:
        """The provider sends the next event only when the agent has got the last."""
        await self.stage()
        for known in PROVIDERS:
            gates = [Gate() for _ in range(5)]
            self.provider.on(known.upstream_path, stepwise(gates))
            agent = await self.agent(known.name)
            agent.ask(b"POST", known.path, body=b"{}")
            with about(known.name):
                response, _ = await agent.response_head()
                self.assertEqual(response.get(b"content-type"), b"text/event-stream")
                for number, gate in enumerate(gates):
                    self.assertEqual(agent.received, b"")
                    gate.open()
                    event = chunk(b"data: %d\n\n" % number)
                    self.assertEqual(await agent.read(len(event)), event)
                self.assertEqual(await agent.read(5), b"0\r\n\r\n")
        line = await self.outcome(len(PROVIDERS))
        self.assertEqual(line["response_bytes"], 5 * len(b"data: 0\n\n"))

    async def test_messages_of_a_websocket_arrive_at_once(self) -> None:
        """The same for a socket, in both directions."""
        await self.stage()
        for known in PROVIDERS:
            gates = [Gate() for _ in range(5)]

            async def script(call: Call, gates: Sequence[Gate] = gates) -> None:
                for gate in gates:
                    await gate.opened()
                    call.write(frame(TEXT, b"%d" % len((await call.frame()).payload)))

            self.provider.on(known.upstream_path, by_hand(script))
            agent = await self.agent(known.name)
            with about(known.name):
                self.assertEqual((await agent.upgrade(known.path)).status, 101)
                for number, gate in enumerate(gates):
                    agent.send_frame(TEXT, b"x" * number)
                    gate.open()
                    self.assertEqual((await agent.frame()).payload, b"%d" % number)

    async def test_an_upload_arrives_as_it_is_sent(self) -> None:
        """The provider has the first piece before the agent sends the second."""
        await self.stage()
        for known in PROVIDERS:
            before = len(self.provider.requests)
            agent = await self.agent(known.name)
            agent.ask(b"POST", known.path, [(b"Transfer-Encoding", b"chunked")])
            for number in range(1, 4):
                agent.write(chunk(b"piece"))
                request = await self.provider.asked(before + 1)
                with about((known.name, number)):
                    await self.until(partial(self.has, request, 5 * number))
            agent.write(b"0\r\n\r\n")
            self.assertEqual((await agent.response()).json()["length"], 15)

    def has(self, request: Request, size: int) -> bool:
        """Whether so much of a body has come."""
        return len(request.body) == size


class DepartureTests(SquidCase):
    async def test_an_endless_stream_ends_when_its_agent_leaves(self) -> None:
        """The provider's connection is aborted, and the exchange told once."""
        await self.stage()
        for how in ("close", "reset"):
            for known in PROVIDERS:
                with about((known.name, how)):
                    before = len(self.proxy.outcomes)
                    self.provider.on(known.upstream_path, endless(b"x" * 1000, 0.001))
                    agent = await self.agent(known.name)
                    agent.ask(b"POST", known.path, body=b"{}")
                    await agent.response_head()
                    await agent.read(10_000)
                    agent.end(how)
                    line = await self.outcome(before + 1)
                    self.assertEqual(line["error"], "agent_gone")
                    self.assertEqual(line["status"], 200)
                    self.assertEqual(line["provider"], known.name)
                    self.assertGreater(line["response_bytes"], 9_000)
                    await self.provider.left()

    async def test_an_agent_that_leaves_while_it_waits_ends_the_request(self) -> None:
        """A model that thinks for nobody is told to stop."""
        await self.stage()
        for known in PROVIDERS:
            with about(known.name):
                self.provider.on(known.upstream_path, deaf(Gate(), echo()))
                before = len(self.provider.requests)
                agent = await self.agent(known.name)
                agent.ask(b"POST", known.path, body=b"{}")
                await self.provider.asked(before + 1)
                agent.end("reset")
                line = await self.outcome(before + 1)
                self.assertEqual((line["error"], line["status"]), ("agent_gone", 499))


class BackPressureTests(SquidCase):
    async def slow_agent(self) -> Agent:
        """An agent whose receive buffer does not grow."""
        agent = await self.agent()
        assert agent.transport is not None
        handle: socket.socket = agent.transport.getHandle()  # type: ignore[attr-defined]
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        return agent

    def taken(self, direction: str) -> int:
        """Bytes of the one exchange that the proxy has taken so far."""
        site = self.proxy.proxy.sites["openai"]
        exchanges = [bridge.exchange for bridge in site.route.bridges]
        for channel in site.channels:
            server = None if channel.request is None else channel.request.server
            exchanges += [server.exchange] if isinstance(server, Relay) else []
        (exchange,) = exchanges
        return exchange.bytes_down if direction == "down" else exchange.bytes_up

    async def test_an_agent_that_does_not_read_stops_the_provider(self) -> None:
        """What is between them is bounded; when the agent reads again, nothing is lost."""
        await self.stage(extra=_SMALL)
        size, piece = 1024, bytes(range(256)) * 255
        self.provider.on(OPENAI.upstream_path, large(size, piece))
        agent = await self.slow_agent()
        agent.ask(b"GET", OPENAI.path)
        response, length = await agent.response_head()
        agent.pause()
        request = await self.provider.asked()
        await self.until_still(lambda: request.sent)
        self.assertLess(request.sent, _BUFFERS)
        self.assertLess(self.taken("down"), _OURS)
        agent.resume()
        await response.read_body(agent, length)
        whole = b"".join(b"%08d" % number + piece for number in range(size))
        self.assertEqual(hashed(response.body), hashed(whole))

    async def test_a_provider_that_does_not_read_stops_the_agent(self) -> None:
        """The same for an upload."""
        await self.stage({"APIPROXY_MAX_BODY_BYTES": str(80 * _MiB)}, extra=_SMALL)
        gate = Gate()
        self.provider.on(OPENAI.upstream_path, deaf(gate, echo()))
        agent = await self.agent()
        piece = bytes(range(256)) * 256
        agent.ask(b"POST", OPENAI.path, [(b"Content-Length", b"%d" % (64 * _MiB))])
        sent = 0
        while not agent.full or not await self._stuck(lambda: agent.full):
            agent.write(piece)
            sent += len(piece)
            await self.turn(0)
            self.assertLess(sent, _BUFFERS)
        self.assertLess(self.taken("up"), _OURS)
        gate.open()
        while sent < 64 * _MiB:
            await agent.send(piece)
            sent += len(piece)
        said = (await agent.response()).json()
        self.assertEqual(said["length"], 64 * _MiB)
        self.assertEqual(said["sha256"], hashed(piece * 1024))

    async def _stuck(self, full: Callable[[], bool]) -> bool:
        """Whether a connection that is full stays full for a while."""
        for _ in range(50):
            await self.turn()
            if not full():
                return False
        return True

    async def test_a_websocket_presses_back_too(self) -> None:
        """An agent that does not read its socket stops the provider's messages."""
        await self.stage(extra=_SMALL)
        message = frame(BINARY, bytes(range(256)) * 255)
        count = 1024

        async def script(call: Call) -> None:
            for _ in range(count):
                await call.send(message)

        self.provider.on(OPENAI.upstream_path, by_hand(script))
        agent = await self.slow_agent()
        self.assertEqual((await agent.upgrade(OPENAI.path)).status, 101)
        agent.pause()
        request = await self.provider.asked()
        await self.until_still(lambda: request.sent)
        self.assertLess(request.sent, _BUFFERS)
        self.assertLess(self.taken("down"), _OURS)
        agent.resume()
        whole = await agent.read(count * len(message))
        self.assertEqual(hashed(whole), hashed(message * count))

    async def test_one_agent_that_does_not_read_disturbs_no_other(self) -> None:
        """Others on the same port are served meanwhile."""
        await self.stage()
        self.provider.on(OPENAI.upstream_path, endless())
        agent = await self.agent()
        agent.ask(b"GET", OPENAI.path)
        await agent.response_head()
        agent.pause()
        request = await self.provider.asked()
        await self.until_still(lambda: request.sent, turns=10)
        for number in range(20):
            response = await self.ask(path=b"/other?%d" % number)
            self.assertEqual(response.status, 200)
