"""A small egress proxy that does with CONNECT whatever a test wants.

What answers is a *behaviour*, as in ``tests.kit.provider``; without one it opens the tunnel.
Names lead to 127.0.0.1, with the port that was asked for.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from tests.kit.http import NO_FIELDS, Message, head, status_line
from tests.kit.line import Ending, Gate, Gone, IReactor, Line
from tests.kit.provider import FieldsIn
from tests.kit.server import ServedLine, Server


class ConnectLine(ServedLine):
    """A connection to the proxy.

    Attributes:
        connect: the request it began with; None before it was complete.
        proxy: whose connection this is.
        carried: bytes carried inside the tunnel, ``up`` from the agent and ``down`` to it.
    """

    def __init__(self, reactor: IReactor, number: int, proxy: "ConnectProxy") -> None:
        super().__init__(reactor, number, proxy)
        self.connect: Message | None = None
        self.proxy = proxy
        self.carried = {"up": 0, "down": 0}

    @property
    def authority(self) -> str:
        """Host and port that CONNECT named."""
        assert self.connect is not None
        return self.connect.first_line.split(b" ")[1].decode()

    async def serve(self) -> None:
        """Take one CONNECT and do with it what the script says."""
        behaviour = self.proxy.behaviour()
        if behaviour is hang_up:
            self.end()
            return
        self.connect = Message(await self.read_until(b"\r\n\r\n"))
        self.proxy.heads.append(self.connect.head)
        self.changed()
        await behaviour(self)


Behaviour = Callable[[ConnectLine], Awaitable[None]]


class ConnectProxy(Server[ConnectLine]):
    """A scripted CONNECT proxy on a random port of 127.0.0.1.

    Attributes:
        heads: the request heads as they came, in order.
        connections: all connections ever; ``open`` says how many there are now.
        routes: ports on 127.0.0.1 for authorities that lead elsewhere.
        far: the connections to where the tunnels lead.
        default: what is done when no script is left; opens the tunnel.
    """

    def __init__(
        self, reactor: IReactor, context: IOpenSSLContextFactory | None = None
    ) -> None:
        """Make it; it listens after ``start``.

        Args:
            reactor: the real one.
            context: for TLS to the proxy itself, the ``https://`` kind; None for none.
        """
        super().__init__(reactor, context)
        self.heads: list[bytes] = []
        self.routes: dict[str, int] = {}
        self.default: Behaviour = tunnel()
        self.far: list[Line] = []
        self._script: list[Behaviour] = []

    @property
    def url(self) -> str:
        """For ``HTTPS_PROXY``."""
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://localhost:{self.port}"

    def then(self, *behaviours: Behaviour) -> None:
        """Say what the next connections get, one each."""
        self._script += behaviours

    def behaviour(self) -> Behaviour:
        """What the connection that has just come gets."""
        return self._script.pop(0) if self._script else self.default

    async def asked(self, count: int = 1) -> bytes:
        """Wait until so many CONNECTs have come; the head of the last of them."""
        await self.until(lambda: len(self.heads) >= count)
        return self.heads[count - 1]

    async def stop(self) -> None:
        """Stop listening and abort what is open, on both sides."""
        await super().stop()
        for far in self.far:
            if far.open:
                far.end("reset")
                await far.gone()

    def line(self, number: int) -> ConnectLine:
        """Make the next connection."""
        return ConnectLine(self.reactor, number, self)


async def hang_up(line: ConnectLine) -> None:
    """Close at once, before a byte was read."""


def tunnel(
    *,
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n",
    pieces: int | None = None,
    early: bytes = b"",
    cut: int | None = None,
    how: Ending = "reset",
    direction: Literal["up", "down"] = "down",
    gate: Gate | None = None,
    port: int | None = None,
) -> Behaviour:
    """Open the tunnel.

    Args:
        answer: the head that says so.
        pieces: bytes of the head written at a time; None for all at once.
        early: bytes right behind the head, in the same segment.
        cut: bytes inside the tunnel after which the connection ends; None for never.
        how: how it ends.
        direction: of the bytes that ``cut`` counts; down is toward the agent.
        gate: opened by the test when ``cut`` shall happen.
        port: where it leads, whatever was asked for.
    """

    async def behave(line: ConnectLine) -> None:
        asked = int(line.authority.rpartition(":")[2])
        leads = port or line.proxy.routes.get(line.authority, asked)
        endpoint = TCP4ClientEndpoint(line.reactor, "127.0.0.1", leads)
        far = Line(line.reactor)
        line.proxy.far.append(far)
        try:
            await endpoint.connect(Factory.forProtocol(lambda: far))
        except ConnectError:
            await refuse(503)(line)
            return
        done = Gate()
        ways: list[Deferred[None]] = []
        try:
            whole = answer + early
            for start in range(0, len(whole), pieces or len(whole)):
                line.write(whole[start : start + (pieces or len(whole))])
                if pieces:
                    await line.flushed()
            for source, sink, way in ((line, far, "up"), (far, line, "down")):
                limit = cut if direction == way else None
                ways.append(
                    Deferred.fromCoroutine(
                        _carry(source, sink, line, way, limit)
                    ).addBoth(_first, done)
                )
            await done.opened()
            if cut is not None and line.open:
                if gate is not None:
                    await gate.opened()
                await line.flushed()
                line.end(how)
        finally:
            for each in ways:
                each.cancel()
            far.end("close" if cut is None else how)
            line.end("close")

    return behave


def _first(result: Failure | None, done: Gate) -> None:
    """One way has ended; so shall the other."""
    if isinstance(result, Failure):
        result.trap(Gone, CancelledError)
    done.open()


async def _carry(
    source: Line, sink: Line, line: ConnectLine, way: str, limit: int | None
) -> None:
    """Carry bytes until one side ends or the limit is reached."""
    while limit is None or line.carried[way] < limit:
        room = None if limit is None else limit - line.carried[way]
        data = await source.read_some(room)
        line.carried[way] += len(data)
        # Read no faster than the other side takes it, or nothing ever presses back.
        source.pause()
        await sink.send(data)
        source.resume()
        line.changed()


def refuse(
    status: int,
    fields: FieldsIn = NO_FIELDS,
    body: bytes = b"<html>no</html>",
    *,
    how: Ending | None = "close",
) -> Behaviour:
    """Answer with a status other than 200.

    Args:
        status: such as 403, 407, 502, 503 or 504.
        fields: such as ``Proxy-Authenticate``.
        body: with its ``Content-Length``.
        how: how the connection ends; None to leave it open.
    """

    async def behave(line: ConnectLine) -> None:
        length = (b"Content-Length", b"%d" % len(body))
        line.write(head(status_line(status), [*fields, length]) + body)
        await line.flushed()
        if how is not None:
            line.end(how)

    return behave


def says(*pieces: bytes, how: Ending | None = "close") -> Behaviour:
    """Any bytes at all, each piece in its own turn.

    Args:
        pieces: such as garbage, half a head, or a head too long.
        how: how the connection ends; None to leave it open.
    """

    async def behave(line: ConnectLine) -> None:
        for piece in pieces:
            line.write(piece)
            await line.flushed()
        if how is None:
            await line.gone()
        else:
            line.end(how)

    return behave


def silent() -> Behaviour:
    """Take CONNECT and never answer."""
    return says(how=None)


def drop(how: Ending = "reset") -> Behaviour:
    """Take CONNECT and end the connection without an answer."""
    return says(how=how)


def held(gate: Gate, then: Behaviour) -> Behaviour:
    """Nothing until the test opens the gate, then the answer."""

    async def behave(line: ConnectLine) -> None:
        await gate.opened()
        await then(line)

    return behave
