"""The three conversations, shown as they happen."""

from collections.abc import AsyncIterator

from twisted.internet.defer import Deferred, TimeoutError

from apiproxy.demo.agent import PLACEHOLDER, Agent, Event
from apiproxy.demo.patience import until
from apiproxy.demo.provider import AGAIN, MODEL, TOKENS, whole
from apiproxy.demo.screen import DemoFailed, Screen, faint, good
from apiproxy.demo.stage import Stage
from apiproxy.wire.reactor import Reactor

_SECONDS = 30.0


class Conversations:
    """An agent without a key talks to a provider that wants one."""

    def __init__(self, stage: Stage, screen: Screen, reactor: Reactor) -> None:
        self._stage = stage
        self._screen = screen
        self._reactor = reactor
        self._base = f"127.0.0.1:{stage.ports['openai']}"
        self._agent = Agent(reactor, self._base)
        self._tunnels = 0

    async def hold(self) -> None:
        """Hold all three.

        Raises:
            DemoFailed: one of them went wrong.
        """
        for conversation in (self._call, self._stream, self._socket):
            before = len(self._stage.records)
            story = Deferred.fromCoroutine(conversation())
            try:
                await story.addTimeout(_SECONDS, self._reactor)
            except TimeoutError:
                raise DemoFailed(f"nothing came for {_SECONDS:g} seconds") from None
            await self._show_record(before)
        await self._show_log()

    async def _call(self) -> None:
        self._screen.title("1  HTTP call")
        self._sends("POST", "http", "/v1/chat/completions")
        message = {"role": "user", "content": "hello"}
        answer = await self._agent.post(
            "/v1/chat/completions", {"model": MODEL, "messages": [message]}
        )
        await self._seen()
        body = await answer.json()
        text = body["choices"][0]["message"]["content"]
        _expect(text == whole(TOKENS), f"the answer is {text!r}")
        self._screen.said("agent", f"got 200: {text}")

    async def _stream(self) -> None:
        self._screen.title("2  Token stream (server-sent events)")
        self._sends("POST", "http", "/v1/responses", '"stream": true')
        request = {"model": MODEL, "input": "hello", "stream": True}
        answer = await self._agent.post("/v1/responses", request)
        await self._seen()
        await self._tokens(answer.events(), whole(TOKENS))

    async def _socket(self) -> None:
        self._screen.title("3  WebSocket conversation")
        self._sends("GET", "ws", "/v1/responses", "Upgrade: websocket")
        socket = await self._agent.open("/v1/responses")
        await self._seen()
        self._screen.said("agent", "got 101; sends response.create twice")
        first: Event = {"type": "response.create", "model": MODEL, "input": "hello"}
        await self._tokens(socket.ask(first), whole(TOKENS))
        second = first | {"previous_response_id": "resp_demo_1", "input": "and now?"}
        await self._tokens(socket.ask(second), whole(AGAIN))
        code = await socket.close()
        _expect(code == 1000, f"the WebSocket was closed with {code}")
        self._screen.said("agent", "closed it: 1000")

    # What is shown of each.

    def _sends(self, method: str, scheme: str, path: str, more: str = "") -> None:
        lines = [f"{method} {scheme}://{self._base}{path}"]
        if more:
            lines.append(more)
        self._screen.said("agent", *lines, f"Authorization: {PLACEHOLDER}")

    async def _seen(self) -> None:
        """What the proxy and the provider noticed of it."""
        seen = await self._stage.provider.seen.get()
        proxy = self._stage.proxy
        wanted = f"CONNECT {self._stage.authority}"
        if not self._tunnels:
            await until(self._reactor, proxy.heard)
        new = proxy.heard()[self._tunnels :]
        self._tunnels += len(new)
        _expect(self._tunnels > 0, f"{proxy.name} has seen no CONNECT")
        _expect(set(new) <= {wanted}, f"{proxy.name} was asked for {new}")
        for line in new:
            self._screen.said(proxy.name, line)
        if not new:
            self._screen.said(
                proxy.name, faint("nothing new: the tunnel is still warm")
            )
        _expect(seen.right, f"the provider saw {seen.shown}")
        real = good("the real key")
        self._screen.said("provider", f"saw {seen.request}", f"{seen.shown}  {real}")

    async def _tokens(self, events: AsyncIterator[Event], expected: str) -> None:
        """The tokens, each when it comes."""
        text = ""
        self._screen.begin("agent", "reads: ")
        async for event in events:
            if event["type"] == "response.output_text.delta":
                text += event["delta"]
                self._screen.more(event["delta"])
        self._screen.line()
        _expect(text == expected, f"the tokens make {text!r}")

    async def _show_record(self, before: int) -> None:
        """The line in apiproxy's log about it."""
        ends = ("request_complete", "websocket_upgrade_complete")

        def found() -> list[dict[str, object]]:
            return [r for r in self._stage.records[before:] if r["event"] in ends]

        await until(self._reactor, found)
        records = found()
        _expect(len(records) == 1, "apiproxy's log does not say how it ended")
        record = records[0]
        tunnel = f"tunnel and TLS {record['dial_ms']} ms"
        if record["line_reused"]:
            tunnel = "warm line"
        self._screen.said(
            "apiproxy",
            faint(
                f"{record['event']}: {record['status']},"
                f" first byte {record['first_byte_ms']} ms, {tunnel},"
                f" {record['request_bytes']} B up, {record['response_bytes']} B down"
            ),
        )

    async def _show_log(self) -> None:
        """What the proxy wrote when the tunnels had ended."""
        proxy = self._stage.proxy
        # The WebSocket took the warm line along, so that none is left open.
        await until(self._reactor, lambda: len(proxy.logged()) >= self._tunnels)
        self._screen.title("What the egress proxy has in its log")
        for line in proxy.logged():
            self._screen.said(proxy.name, line)
        _expect(bool(proxy.logged()), f"the log of {proxy.name} has no tunnel")


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise DemoFailed(otherwise)
