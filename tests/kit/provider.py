"""A provider of models on loopback: real TLS, and as well or ill behaved as a test wants.

It speaks HTTP/1.1 by itself, because a library would not let it misbehave. Every request is
kept as it came. What answers a request is a *behaviour*, a coroutine function that gets a
``Call``; there is a function here for each kind that a proxy has to cope with, they can be
put into each other, and a test can write its own::

    provider = Provider(reactor, authority().identity().options())
    provider.on(b"/v1/responses", events(10))
    provider.on(b"/v1/messages", cut(counted(b"x" * 100), after=10), echo())
    await provider.start()
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from attrs import frozen
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.compress_deflate import PerMessageDeflateOfferAccept
from autobahn.websocket.types import ConnectionRequest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from tests.kit.frames import Frame, accept_key, read_frame
from tests.kit.http import (
    NO_FIELDS,
    Malformed,
    Message,
    chunk,
    head,
    status_line,
)
from tests.kit.line import Ending, Gate, Gone, IReactor
from tests.kit.server import ServedLine, Server

Behaviour = Callable[["Call"], Awaitable[None]]
FieldsIn = Iterable[tuple[bytes, bytes]]

log = Logger()


class Request(Message):
    """A request as the provider received it.

    Attributes:
        method: as it came.
        target: as it came, query and all.
        path: the target without its query.
        line: the connection it came on; its ``number`` counts from 1.
        sent: bytes of answer written so far, heads and framing included.
    """

    def __init__(self, head: bytes, line: "ProviderLine") -> None:
        super().__init__(head)
        words = self.first_line.split(b" ")
        if len(words) != 3 or words[2] != b"HTTP/1.1":
            raise Malformed(f"request line {self.first_line!r}")
        self.method, self.target, _ = words
        self.path = self.target.partition(b"?")[0]
        if self.get(b"host") is None:
            raise Malformed(f"no Host in {head!r}")
        self.line = line
        self.sent = 0

    @property
    def upgrade(self) -> bool:
        """Whether it asks for a WebSocket."""
        return (self.get(b"upgrade") or b"").lower() == b"websocket"

    def __repr__(self) -> str:
        method, target = self.method.decode(), self.target.decode()
        return f"<Request {method} {target} on {self.line.number}>"


class _Spent(Exception):
    """The answer has reached the byte at which it is to be cut."""


class Call:
    """One request, and all that can be done to answer it.

    Attributes:
        request: what was asked.
        line: the connection, to read from and to end.
        provider: whose call this is.
        closing: whether the connection ends after this answer.
        extra: fields that go into the head of the answer, whoever makes it.
    """

    def __init__(
        self, request: Request, line: "ProviderLine", provider: "Provider"
    ) -> None:
        self.request = request
        self.line = line
        self.provider = provider
        self.closing = (request.get(b"connection") or b"").lower() == b"close"
        self.extra: list[tuple[bytes, bytes]] = []
        self._limit: int | None = None
        self._limit_head = True

    def limit(self, after: int, *, head: bool) -> None:
        """Let no more than ``after`` bytes of the answer through.

        Args:
            after: bytes.
            head: whether the heads count too.
        """
        self._limit, self._limit_head = after, head

    def write(self, data: bytes, *, head: bool = False) -> None:
        """Write bytes of the answer as they are, without waiting.

        Raises:
            Gone: the agent has left.
        """
        counts = self._limit is not None and (self._limit_head or not head)
        if counts and self._limit is not None:
            data = data[: self._limit]
            self._limit -= len(data)
        self.request.sent += len(data)
        self.line.write(data)
        if counts and self._limit == 0:
            raise _Spent

    async def send(self, data: bytes) -> None:
        """Write bytes of the answer as they are, and wait for room for more."""
        self.write(data)
        await self.line.until(lambda: not self.line.full)

    def start(
        self, status: int = 200, fields: FieldsIn = (), reason: bytes | None = None
    ) -> None:
        """Write the head of the answer, or an interim one."""
        every = [*fields, *(self.extra if status >= 200 else [])]
        if self.closing and status >= 200:
            every.append((b"Connection", b"close"))
        self.write(head(status_line(status, reason), every), head=True)

    async def body(self) -> bytes:
        """Wait for the whole body of the request."""
        await self.line.until(lambda: self.request.complete)
        return bytes(self.request.body)

    async def some_body(self, count: int) -> bytes:
        """Wait for so many bytes of the body of the request."""
        await self.line.until(lambda: len(self.request.body) >= count)
        return bytes(self.request.body)

    def upgrade(
        self,
        fields: FieldsIn = NO_FIELDS,
        *,
        first: bytes = b"",
        accept: bytes | None = None,
    ) -> None:
        """Answer 101; from here on the connection is a WebSocket made by hand.

        Args:
            fields: more fields of the answer, such as ``Sec-WebSocket-Protocol``.
            first: bytes that go out in the same segment as the head.
            accept: a false ``Sec-WebSocket-Accept``.
        """
        key = self.request.get(b"sec-websocket-key")
        if key is None:
            raise Malformed("no Sec-WebSocket-Key")
        self.line.upgraded = True
        three = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", accept or accept_key(key)),
        ]
        self.write(head(status_line(101), [*three, *fields]) + first)

    async def frame(self) -> Frame:
        """The next frame of a WebSocket made by hand."""
        return await read_frame(self.line)

    async def end(self, how: Ending = "close") -> None:
        """End the connection when everything written has arrived."""
        await self.line.flushed()
        self.line.end(how)


class ProviderLine(ServedLine):
    """A connection to the provider.

    Attributes:
        requests: those that came on it.
        upgraded: whether it has become a WebSocket; its bytes are then the behaviour's.
        socket: Autobahn's side of it, if Autobahn has taken over.
    """

    def __init__(self, reactor: IReactor, number: int, provider: "Provider") -> None:
        super().__init__(reactor, number, provider)
        self.requests: list[Request] = []
        self.upgraded = False
        self.socket: Socket | None = None
        self._provider = provider

    async def serve(self) -> None:
        """Answer requests, one after the other, until the connection ends."""
        while True:
            request = Request(await self.read_until(b"\r\n\r\n"), self)
            length = request.frame(otherwise="none")
            self.requests.append(request)
            call = Call(request, self, self._provider)
            upload = Deferred.fromCoroutine(self._upload(request, length))
            self._provider._asked(request)
            try:
                await self._provider._behaviour(request)(call)
                if call.closing and not self.upgraded:
                    self.end()
                await upload
            except CancelledError:
                upload.cancel()
                raise
            if self.upgraded:
                return

    async def _upload(self, request: Request, length: int) -> None:
        try:
            await request.read_body(self, length)
        except (Gone, CancelledError):
            return
        except Malformed:
            log.failure("the provider was sent {what}", what=bytes(request.body[-100:]))
            self.end("reset")
        self.changed()

    def take_over(self, socket: "Socket") -> None:
        """Give the connection to Autobahn, from the request's first byte on."""
        assert self.transport is not None
        self.transport.unregisterProducer()  # type: ignore[attr-defined]  # it has one
        self.upgraded = True
        self.socket = socket
        socket.makeConnection(self.transport)
        # What it writes in this turn, a greeting too, leaves in one segment.
        socket.dataReceived(self.requests[-1].head + bytes(self.received))
        self.received.clear()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came; Autobahn's if it has taken over."""
        if self.socket is not None:
            self.total_received += len(data)
            self.socket.dataReceived(data)
        else:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has ended."""
        try:
            if self.socket is not None:
                self.socket.connectionLost(reason)
        finally:
            super().connectionLost(reason)


class Provider(Server[ProviderLine]):
    """A provider with real TLS on a random port of 127.0.0.1.

    Attributes:
        requests: all requests, in the order their heads were complete.
        connections: all connections ever, in the order they came; see ``Line``.
        sockets: all WebSockets that Autobahn carried.
        default: what answers where no path was given; an echo.
    """

    def __init__(
        self, reactor: IReactor, context: IOpenSSLContextFactory | None
    ) -> None:
        """Make it; it listens after ``start``.

        Args:
            reactor: the real one.
            context: such as ``authority().identity().options()``; None for no TLS.
        """
        super().__init__(reactor, context)
        self.requests: list[Request] = []
        self.sockets: list[Socket] = []
        self.default: Behaviour = echo()
        self._behaviours: dict[bytes, list[Behaviour]] = {}

    def on(self, path: bytes, *behaviours: Behaviour) -> None:
        """Say how requests for a path (without its query) are answered.

        With several behaviours each answers one request; the last answers all the rest.
        """
        self._behaviours[path] = list(behaviours)

    async def asked(self, count: int = 1) -> Request:
        """Wait until so many requests have come; the last of them."""
        await self.until(lambda: len(self.requests) >= count)
        return self.requests[count - 1]

    def line(self, number: int) -> ProviderLine:
        """Make the next connection."""
        return ProviderLine(self.reactor, number, self)

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        self.changed()

    def _behaviour(self, request: Request) -> Behaviour:
        behaviours = self._behaviours.get(request.path)
        if not behaviours:
            return self.default
        return behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]


# Answers that are as they should be.


def counted(
    body: bytes = b"",
    status: int = 200,
    fields: FieldsIn = NO_FIELDS,
    *,
    pieces: int | None = None,
    upload: bool = True,
) -> Behaviour:
    """An answer with ``Content-Length``.

    Args:
        body: the whole of it; not sent in answer to HEAD.
        status: of the answer.
        fields: of the answer, such as ``Set-Cookie`` twice.
        pieces: bytes written at a time, with a turn of the reactor between.
        upload: whether to wait for the whole body of the request first.
    """

    async def behave(call: Call) -> None:
        if upload:
            await call.body()
        call.start(status, [*fields, (b"Content-Length", b"%d" % len(body))])
        if call.request.method != b"HEAD":
            step = pieces or max(1, len(body))
            for start in range(0, len(body), step):
                await call.send(body[start : start + step])
                if pieces:
                    await call.line.sleep(0)

    return behave


def answer_json(
    value: object, status: int = 200, fields: FieldsIn = NO_FIELDS
) -> Behaviour:
    """An answer of JSON, such as an error in the provider's own shape."""
    body = json.dumps(value).encode()
    return counted(body, status, [(b"Content-Type", b"application/json"), *fields])


def echo(status: int = 200, fields: FieldsIn = NO_FIELDS) -> Behaviour:
    """Say in JSON what was asked.

    The members are ``method``, ``target``, ``headers`` (a list of pairs), ``length``
    and ``sha256`` (of the body), ``trailers``, ``framing`` and ``connection``.
    """

    async def behave(call: Call) -> None:
        body = await call.body()
        await answer_json(describe(call.request, body), status, fields)(call)

    return behave


def describe(request: Request, body: bytes) -> dict[str, Any]:
    """What ``echo`` answers."""
    return {
        "method": request.method.decode("latin-1"),
        "target": request.target.decode("latin-1"),
        "headers": _text(request.fields),
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "trailers": _text(request.trailers),
        "framing": request.framing,
        "connection": request.line.number,
    }


def _text(fields: FieldsIn) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]


def chunked(
    pieces: Sequence[bytes],
    status: int = 200,
    fields: FieldsIn = NO_FIELDS,
    *,
    trailers: FieldsIn = NO_FIELDS,
) -> Behaviour:
    """An answer in chunks, each written in its own turn, perhaps with trailers."""

    async def behave(call: Call) -> None:
        await call.body()
        call.start(status, [*fields, (b"Transfer-Encoding", b"chunked")])
        if call.request.method == b"HEAD":
            return
        for piece in pieces:
            await call.send(chunk(piece))
            await call.line.sleep(0)
        call.write(head(b"0", trailers))

    return behave


def until_close(
    body: bytes, status: int = 200, fields: FieldsIn = NO_FIELDS, how: Ending = "close"
) -> Behaviour:
    """An answer whose end is the end of the connection."""

    async def behave(call: Call) -> None:
        await call.body()
        call.closing = True
        call.start(status, fields)
        await call.send(body)
        await call.end(how)

    return behave


def events(
    count: int,
    interval: float = 0.0,
    *,
    event: Callable[[int], bytes] | None = None,
    last: bytes = b"data: [DONE]\n\n",
    fields: FieldsIn = NO_FIELDS,
    gate: Gate | None = None,
) -> Behaviour:
    """An event stream in chunks, one event in each.

    Args:
        count: how many events.
        interval: seconds before each but the first.
        event: makes the bytes of event n, from 0; by default ``data: {"n": n}``.
        last: sent after them.
        fields: of the answer.
        gate: opened by the test to let everything after the first event go.
    """
    make = event or (lambda n: b'data: {"n": %d}\n\n' % n)

    async def behave(call: Call) -> None:
        await call.body()
        kind = (b"Content-Type", b"text/event-stream; charset=utf-8")
        call.start(200, [kind, *fields, (b"Transfer-Encoding", b"chunked")])
        for n in range(count):
            await call.send(chunk(make(n)))
            if gate is not None:
                await gate.opened()
            if n + 1 < count:
                await call.line.sleep(interval)
        call.write((chunk(last) if last else b"") + b"0\r\n\r\n")

    return behave


def endless(piece: bytes = b"x" * 65536, interval: float = 0.0) -> Behaviour:
    """An answer in chunks that goes on until the agent leaves."""

    async def behave(call: Call) -> None:
        await call.body()
        call.start(200, [(b"Transfer-Encoding", b"chunked")])
        while True:
            await call.send(chunk(piece))
            await call.line.sleep(interval)

    return behave


def empty(status: int = 204, fields: FieldsIn = NO_FIELDS) -> Behaviour:
    """An answer that has no body by its status: 204 or 304."""

    async def behave(call: Call) -> None:
        await call.body()
        call.start(status, fields)

    return behave


def redirect(location: bytes, status: int = 302) -> Behaviour:
    """A redirect, which a proxy must not follow."""
    return counted(b"over there", status, [(b"Location", location)])


# What may come before, after or around an answer.


def late(seconds: float, then: Behaviour) -> Behaviour:
    """Nothing for a while, then the answer."""

    async def behave(call: Call) -> None:
        await call.line.sleep(seconds)
        await then(call)

    return behave


def held(gate: Gate, then: Behaviour) -> Behaviour:
    """Nothing until the test opens the gate, then the answer."""

    async def behave(call: Call) -> None:
        await gate.opened()
        await then(call)

    return behave


def silent() -> Behaviour:
    """Never a byte of answer; the connection stays."""

    async def behave(call: Call) -> None:
        await call.line.gone()

    return behave


def deaf(gate: Gate, then: Behaviour, after: int = 0) -> Behaviour:
    """Stop reading the request after so many bytes of body, until the gate opens."""

    async def behave(call: Call) -> None:
        await call.some_body(after)
        call.line.pause()
        await gate.opened()
        call.line.resume()
        await then(call)

    return behave


def interim(
    then: Behaviour,
    status: int = 103,
    fields: FieldsIn = ((b"Link", b"</style.css>; rel=preload"),),
) -> Behaviour:
    """A 1xx answer before the real one."""

    async def behave(call: Call) -> None:
        call.start(status, fields)
        await call.line.flushed()
        await then(call)

    return behave


def early(
    body: bytes = b"too much",
    status: int = 413,
    fields: FieldsIn = NO_FIELDS,
    *,
    after: int = 0,
    how: Ending | None = "close",
) -> Behaviour:
    """The answer to an upload that is not finished.

    Args:
        body: of the answer.
        status: of the answer.
        fields: of the answer.
        after: bytes of upload to wait for.
        how: how the connection ends after it; None to read the rest and keep it.
    """
    answer = counted(body, status, fields, upload=False)

    async def behave(call: Call) -> None:
        await call.some_body(after)
        call.closing = how is not None
        await answer(call)
        if how is not None:
            await call.end(how)

    return behave


def closing(then: Behaviour) -> Behaviour:
    """The answer says ``Connection: close``, and so it is."""

    async def behave(call: Call) -> None:
        call.closing = True
        await then(call)

    return behave


def hanging_up(
    then: Behaviour, how: Ending = "close", gate: Gate | None = None
) -> Behaviour:
    """A good answer on a connection that is to be kept; then it ends while idle.

    Args:
        then: the answer.
        how: how it ends.
        gate: opened by the test when it shall end; None for at once.
    """

    async def behave(call: Call) -> None:
        await then(call)
        if gate is not None:
            await gate.opened()
        await call.end(how)

    return behave


def cut(
    then: Behaviour,
    after: int,
    how: Ending = "reset",
    *,
    part: Literal["head", "body"] = "body",
    gate: Gate | None = None,
) -> Behaviour:
    """The connection ends in the middle of the answer.

    Args:
        then: the answer.
        after: how many bytes of it get through, framing included.
        how: how it ends.
        part: ``body`` to count bytes after the head, ``head`` to count from the first.
        gate: opened by the test when it shall end, for instance when the agent has read
            those bytes: a reset may overtake bytes on their way through a proxy.
    """

    async def behave(call: Call) -> None:
        call.limit(after, head=part == "head")
        with suppress(_Spent):
            await then(call)
        if gate is not None:
            await gate.opened()
        await call.end(how)

    return behave


def raw(*pieces: bytes, how: Ending | None = "close") -> Behaviour:
    """Any bytes at all, each piece in its own turn, then an end."""

    async def behave(call: Call) -> None:
        await call.body()
        for piece in pieces:
            call.write(piece)
            await call.line.flushed()
        if how is not None:
            await call.end(how)

    return behave


# WebSockets.


@frozen
class SocketClosed:
    """How a WebSocket ended.

    Attributes:
        clean: whether both sides sent a Close.
        code: what the other side's Close said; None if nothing.
        reason: the same.
    """

    clean: bool
    code: int | None
    reason: str | None


class Socket(WebSocketServerProtocol):
    """The provider's side of a WebSocket, carried by Autobahn.

    Attributes:
        call: the request it began as.
        messages: what came, ``str`` for text and ``bytes`` for binary.
        pings: payloads of the pings that came; they are answered.
        pongs: payloads of the pongs that came.
        closed: how it ended; None as long as it is open.
        deflate: whether permessage-deflate was agreed on.
    """

    def __init__(
        self,
        call: Call,
        protocols: Sequence[str],
        headers: Mapping[str, str],
        greeting: Sequence[str | bytes],
        echo: bool,
    ) -> None:
        super().__init__()
        self.call = call
        self.messages: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.closed: SocketClosed | None = None
        self.deflate = False
        self._protocols = protocols
        self._headers = headers
        self._greeting = greeting
        self._echo = echo

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so.

        Raises:
            Gone: the connection ended and it is still not so.
        """
        await self.call.line.until(condition)

    def send(self, message: str | bytes, *, fragment: int | None = None) -> None:
        """Send a message.

        Args:
            message: ``str`` for text and ``bytes`` for binary.
            fragment: bytes in each frame; None for all in one.
        """
        payload = message.encode() if isinstance(message, str) else message
        self.sendMessage(payload, isinstance(message, bytes), fragment)

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping."""
        self.sendPing(payload)

    def end(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close, any code that RFC 6455 lets travel; None for an empty one."""
        if code is None:
            self.sendCloseFrame()
        else:
            # sendClose would take 1000 and 3000 to 4999 only.
            self.sendCloseFrame(code=code, reasonUtf8=reason.encode())

    def onConnect(
        self, request: ConnectionRequest
    ) -> tuple[str | None, dict[str, str]]:
        """Choose a subprotocol."""
        offered = [each for each in request.protocols if each in self._protocols]
        return (offered[0] if offered else None), dict(self._headers)

    def onOpen(self) -> None:
        """Greet, in the same segment as the 101."""
        self.deflate = self._perMessageCompress is not None
        for message in self._greeting:
            self.send(message)
        self.call.line.changed()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Keep it, and send it back if that is wanted."""
        message = payload if isBinary else payload.decode()
        self.messages.append(message)
        if self._echo:
            self.send(message)
        self.call.line.changed()

    def onPing(self, payload: bytes) -> None:
        """Keep and answer it."""
        self.pings.append(payload)
        super().onPing(payload)
        self.call.line.changed()

    def onPong(self, payload: bytes) -> None:
        """Keep it."""
        self.pongs.append(payload)
        self.call.line.changed()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Keep how it ended."""
        if self.closed is None:
            self.closed = SocketClosed(wasClean, code, reason)
        self.call.line.changed()


def websocket(
    *,
    protocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    deflate: bool = True,
    takeover: bool = True,
    greeting: Sequence[str | bytes] = (),
    echo: bool = True,
    then: Callable[[Socket], Awaitable[None]] | None = None,
) -> Behaviour:
    """A WebSocket, carried by Autobahn.

    Args:
        protocols: subprotocols it speaks; the first offered of them is chosen.
        headers: more fields for the 101, such as ``x-codex-turn-state``.
        deflate: whether to accept permessage-deflate when it is offered.
        takeover: whether compressed messages may then refer to those before them.
        greeting: messages sent in the same segment as the 101.
        echo: whether each message is sent back.
        then: what to do once it is open; it stays open after that.
    """

    async def behave(call: Call) -> None:
        if not call.request.upgrade:
            await answer_json({"error": "this is for WebSockets"}, 426)(call)
            return
        factory = WebSocketServerFactory(
            "wss://localhost", protocols=list(protocols), reactor=call.line.reactor
        )
        factory.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            failByDrop=False,
            webStatus=False,
            perMessageCompressionAccept=(
                (_accept_deflate if takeover else _accept_without) if deflate else None
            ),
        )
        socket = Socket(call, protocols, headers or {}, greeting, echo)
        socket.factory = factory
        call.provider.sockets.append(socket)
        call.line.take_over(socket)
        if then is not None:
            await then(socket)
        await call.line.gone()

    return behave


def _accept_deflate(offers: Iterable[object]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


def _accept_without(offers: Iterable[object]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(
                offer, request_no_context_takeover=True, no_context_takeover=True
            )
    return None


def by_hand(
    script: Callable[[Call], Awaitable[None]],
    *,
    fields: FieldsIn = NO_FIELDS,
    first: bytes = b"",
) -> Behaviour:
    """A WebSocket whose frames the test makes itself, legal or not.

    Args:
        script: what to do once it is open, with ``call.send(frame(…))`` and
            ``await call.frame()``; the connection stays open after that.
        fields: more fields for the 101.
        first: bytes sent in the same segment as the 101.
    """

    async def behave(call: Call) -> None:
        call.upgrade(fields, first=first)
        await script(call)
        await call.line.gone()

    return behave
