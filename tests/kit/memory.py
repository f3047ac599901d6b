"""A whole listener in memory: agents on one side, a provider that says what it is told.

Everything between the two is real: site, channels, relays, pool, lines, bridges. Only the
connections are ``HonestTransport``, and time passes when the test says so::

    bench = Bench()
    agent = bench.agent()
    agent.send(get("/v1/models"))
    bench.line().send(answer(b"[]"))
    self.assertEqual(agent.received, …)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import Census, Exchange, Guard, Observers, Phase
from apiproxy.core.limits import Deadlines, Limits
from apiproxy.core.values import Secret
from apiproxy.credentials.static import StaticSource
from apiproxy.providers.base import Credential, Provider
from apiproxy.providers.dialects import OpenAIDialect
from apiproxy.wire.channel import AgentChannel
from apiproxy.wire.local import Endpoint, Local
from apiproxy.wire.metering import Metering
from apiproxy.wire.pool import Pool
from apiproxy.wire.route import Route
from apiproxy.wire.site import ProviderSite
from apiproxy.wire.upstream import UpstreamLine
from apiproxy.wire.watch import Watch
from apiproxy.wire.websocket import Handshakes
from tests.kit.transport import HonestTransport

KEY = b"sk-the-real-key"
NOWHERE = IPv4Address("TCP", "127.0.0.1", 3128)

NONCE = b"a chance 16-byte"
"""What the bench calls chance."""

DEADLINES = Deadlines(
    dial=3,
    connect=4,
    tls=5,
    head=6,
    body=7,
    first_byte=20,
    silence=30,
    write_stall=40,
    keepalive=50,
    line_idle=15,
    ping=10,
)
"""Short, and no two alike."""


def a_provider(**changes: Any) -> Provider:
    """A provider with a key; any attribute can be another."""
    credential = Credential(b"x-api-key", b"", StaticSource(Secret(KEY)))
    provider = Provider(
        name="acme",
        title="Acme",
        port=10000,
        host="api.acme.example",
        dialect=OpenAIDialect(),
        credential=credential,
        settings=("ACME_API_KEY",),
    )
    return evolve(provider, **changes)


def get(target: str = "/v1/models", *lines: str, method: str = "GET") -> bytes:
    """A request without a body; ``Host`` is there unless a line says it."""
    return request(method, target, *lines)


def post(target: str, body: bytes, *lines: str) -> bytes:
    """A request with a counted body."""
    return request("POST", target, f"Content-Length: {len(body)}", *lines) + body


def request(method: str, target: str, *lines: str, minor: int = 1) -> bytes:
    """The head of a request; ``Host`` is there unless a line says it."""
    host = (
        () if any(line.lower().startswith("host:") for line in lines) else ("Host: a",)
    )
    head = [f"{method} {target} HTTP/1.{minor}", *host, *lines, "", ""]
    return "\r\n".join(head).encode("latin-1")


def answer(body: bytes = b"", status: str = "200 OK", *lines: str) -> bytes:
    """An answer with a counted body."""
    return head(status, f"Content-Length: {len(body)}", *lines) + body


def head(status: str, *lines: str) -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


class _Handle:
    """Stands for the socket that there is not; remembers what was set."""

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options.append((level, option, value))


class MemoryTransport(HonestTransport):
    """``HonestTransport`` that can be tuned.

    Attributes:
        handle: stands for the socket.
    """

    def __init__(self, protocol: IProtocol | None = None, **arguments: Any) -> None:
        self.handle = _Handle()
        super().__init__(protocol, **arguments)

    def getHandle(self) -> Any:
        """What stands for the socket, of which only ``setsockopt`` is used."""
        return self.handle


class Scripted:
    """What both ends of the bench have: a connection, and bytes that came over it.

    Attributes:
        transport: our side's transport.
        received: what our side has sent, as far as it has left.
    """

    def __init__(self, bench: "Bench", **transport: Any) -> None:
        self.bench = bench
        self.transport = MemoryTransport(clock=bench.clock, **transport)

    @property
    def received(self) -> bytes:
        return self.transport.sent

    @property
    def text(self) -> str:
        """What was received, as lines without CR, for transcripts."""
        return self.received.decode("latin-1").replace("\r\n", "\n")

    def take(self) -> bytes:
        """What was received, which is forgotten."""
        return self.transport.clear()

    def send(self, *data: bytes) -> None:
        """Each of these comes to our side in a segment of its own."""
        self.transport.deliver(*data)
        self.bench.turn()

    def leave(self, reason: BaseException | None = None) -> None:
        """End the connection: FIN, or whatever reason is given."""
        self.transport.close(reason)
        self.bench.turn()

    def reset(self) -> None:
        """RST."""
        self.leave(ConnectionLost())

    def stall(self) -> None:
        """Read no more."""
        self.transport.stall()

    def flow(self) -> None:
        """Read everything, and go on reading."""
        self.transport.flow()
        self.bench.turn()

    @property
    def state(self) -> str:
        """How its connection is: open, ended (our FIN is out), closed or aborted."""
        transport = self.transport
        if transport.aborted:
            return "aborted"
        if transport.disconnected:
            return "closed"
        return "ended" if transport.half_closed else "open"


class Agent(Scripted):
    """An agent's connection."""

    def __init__(self, bench: "Bench", **transport: Any) -> None:
        super().__init__(bench, **transport)
        channel = bench.site.buildProtocol(transport.get("peer"))
        assert channel is not None
        self.channel: AgentChannel = channel
        self.transport.connect(channel)


class Upstream(Scripted):
    """A connection to the provider, as the provider sees it."""

    def __init__(self, bench: "Bench", line: IProtocol, **transport: Any) -> None:
        super().__init__(bench, **transport)
        assert isinstance(line, UpstreamLine)
        self.line = line
        self.transport.connect(line)


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """Opens ``Upstream`` connections, at once or when told.

    Attributes:
        lines: the connections there have been, in order.
        waiting: dials that wait for ``connected`` or ``refused``.
        held: whether dials wait.
        failing: what every dial fails with; None for none.
        cancelled: dials that were given up.
        transport: arguments for the transports of lines to come.
    """

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench
        self.lines: list[Upstream] = []
        self.waiting: list[tuple[IProtocolFactory, Deferred[IProtocol]]] = []
        self.held = False
        self.failing: BaseException | None = None
        self.cancelled = 0
        self.transport: dict[str, Any] = {}

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial."""
        deferred: Deferred[IProtocol] = Deferred(self._cancel)
        self.waiting.append((protocolFactory, deferred))
        if self.failing is not None:
            self.refused(self.failing)
        elif not self.held:
            self.connected()
        return deferred

    def connected(self) -> Upstream:
        """The dial that has waited longest succeeds."""
        factory, deferred = self.waiting.pop(0)
        protocol = factory.buildProtocol(NOWHERE)
        assert protocol is not None
        line = Upstream(self._bench, protocol, **self.transport)
        self.lines.append(line)
        deferred.callback(protocol)
        return line

    def refused(self, error: BaseException) -> None:
        """The dial that has waited longest fails."""
        _, deferred = self.waiting.pop(0)
        deferred.errback(error)

    def _cancel(self, deferred: Deferred[IProtocol]) -> None:
        self.waiting = [wait for wait in self.waiting if wait[1] is not deferred]
        self.cancelled += 1


class Story:
    """The observer that writes down what became of exchanges.

    Attributes:
        told: one line for each phase of each exchange.
        exchanges: all there were.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.exchanges: list[Exchange] = []

    def wants(self, phase: Phase, transport: str) -> bool:
        """All."""
        return True

    def observe(self, exchange: Exchange) -> None:
        """Write a line."""
        match exchange.phase:
            case Phase.ASKED:
                self.exchanges.append(exchange)
                self.told.append(f"asked {exchange.method} {exchange.path}")
            case Phase.FORWARDED:
                self.told.append("forwarded, " + _line(exchange))
            case Phase.ANSWERING:
                self.told.append(f"answering {exchange.status}")
            case Phase.CLOSED:
                code = "" if exchange.error is None else f" {exchange.error.code}"
                self.told.append(f"closed {exchange.status}{code}")


def _line(exchange: Exchange) -> str:
    return "warm line" if exchange.reused else "fresh line"


class Bench:
    """A listener and all it needs.

    Attributes:
        clock: its time.
        endpoint: how it reaches the provider.
        site: the listener.
        story: what became of its exchanges.
        census: what is under way.
        refusals: requests that never became an exchange: their codes.
        complaints: bugs that were contained.
        retries: exchanges that needed a second line.
    """

    def __init__(
        self,
        *,
        provider: Provider | None = None,
        limits: Limits | None = None,
        deadlines: Deadlines = DEADLINES,
        endpoints: Mapping[bytes, Endpoint] | None = None,
        guards: Sequence[Guard] = (),
        websocket: bool = True,
        tunnelled: bool = True,
        metering: Callable[[Clock], Metering] | None = None,
    ) -> None:
        self.clock = Clock()
        self.endpoint = MemoryEndpoint(self)
        self.census = Census()
        self.story = Story()
        self.refusals: list[str] = []
        self.complaints: list[str] = []
        self.retries = 0
        self._ids = 0
        self._limits = limits or Limits()
        self._deadlines = deadlines
        self._guards = guards
        self._websocket = websocket
        self._tunnelled = tunnelled
        self._metering = None if metering is None else metering(self.clock)
        self.watch = Watch(self.clock, self.clock.seconds, 1.0)
        self.watch.start()
        self.site = ProviderSite(
            self.route(provider or a_provider()),
            endpoints or {},
            self._refused,
            self.clock,
        )

    def route(self, provider: Provider) -> Route:
        """A way to a provider, by the bench's endpoint."""
        pool = Pool(
            self.endpoint,
            seconds=self.clock.seconds,
            complain=self._complain,
            max_idle=self._limits.idle_lines,
            idle_seconds=self._deadlines.line_idle,
        )
        self.watch.add(pool)
        return Route(
            provider=provider,
            pool=pool,
            tunnelled=self._tunnelled,
            limits=self._limits,
            deadlines=self._deadlines,
            websocket=self._websocket,
            guards=self._guards,
            observers=Observers(self.census, self.story),
            seconds=self.clock.seconds,
            new_id=self._new_id,
            random=lambda count: NONCE[:count],
            watch=self.watch,
            handshakes=Handshakes(self.clock),
            complain=self._complain,
            census=self.census,
            metering=self._metering,
            retried=self._retried,
        )

    def _new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ids}"

    def _refused(self, request_id: str, provider: str, error: ProxyError) -> None:
        self.refusals.append(error.code)

    def _complain(self, sentence: str, error: BaseException) -> None:
        self.complaints.append(f"{sentence}: {error!r}")

    def _retried(self) -> None:
        self.retries += 1

    # What a test does.

    def agent(self, **transport: Any) -> Agent:
        """An agent connects; the arguments are its transport's."""
        agent = Agent(self, **transport)
        self.turn()
        return agent

    def line(self, number: int = -1) -> Upstream:
        """The newest connection to the provider, or any."""
        return self.endpoint.lines[number]

    def turn(self) -> None:
        """Let the reactor turn until nothing is left to do at this moment."""
        for _ in range(50):
            self.clock.advance(0)
            due = [call for call in self.clock.calls if call.getTime() <= self.now]
            if not due:
                return
        raise AssertionError(f"the reactor never comes to rest: {self.clock.calls}")

    def wait(self, seconds: int) -> None:
        """Let time pass, second by second."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.turn()

    @property
    def now(self) -> float:
        """Clock seconds."""
        return self.clock.seconds()

    @property
    def pool(self) -> Pool:
        """The lines to the provider."""
        return self.site.route.pool

    @property
    def told(self) -> list[str]:
        """What became of the exchanges."""
        return self.story.told


@implementer(IPushProducer)
class Told:
    """A producer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class BenchCase(SynchronousTestCase):
    """A test on a bench. What broke inside is a failure unless the test expects it."""

    def bench(self, **arguments: Any) -> Bench:
        """A new bench; see ``Bench`` for the arguments."""
        bench = Bench(**arguments)
        self.addCleanup(lambda: self.assertEqual(bench.complaints, []))
        return bench

    def assert_over(self, bench: Bench, told: list[str]) -> None:
        """Nothing is under way any more, and this is what happened."""
        self.assertEqual(bench.told, told)
        self.assertEqual(bench.census.live, 0)
        self.assertEqual(bench.pool.busy, 0)
        self.assertEqual(bench.endpoint.waiting, [])

    def assert_error(
        self, agent: Agent, status: int, code: str, *, closing: bool = False
    ) -> None:
        """The agent got this error, whole, and in the provider's dialect."""
        head, _, body = agent.received.rpartition(b"\r\n\r\n")
        lines = head.rpartition(b"\r\n\r\n")[2].decode().split("\r\n")
        self.assertEqual(lines[0].split(" ")[:2], ["HTTP/1.1", str(status)])
        self.assertIn(f"x-apiproxy-error: {code}", lines)
        self.assertIn(f"Content-Length: {len(body)}", lines)
        self.assertEqual("Connection: close" in lines, closing)
        self.assertEqual(json.loads(body)["error"]["code"], code)


def local(status: int, body: bytes) -> Callable[[bytes | None], Local]:
    """A local endpoint that answers this."""

    class _Local:
        content_type = b"text/plain"

    found = _Local()
    found.status, found.body = status, body  # type: ignore[attr-defined]
    render: Callable[[bytes | None], Any] = lambda accept: found  # noqa: E731
    return render
