"""The demonstration's provider: a TLS server that looks closely at the credential.

It answers as OpenAI would, in a few words: ``GET /v1/models``, ``POST /v1/chat/completions``,
``POST /v1/responses`` as a token stream or whole, and ``/v1/responses`` as a WebSocket. Any
credential but the right one gets 401.
"""

import hmac
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
from attrs import frozen
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionRequest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer

from apiproxy.core.values import Secret
from apiproxy.demo.patience import until
from apiproxy.listening import AnyFactory
from apiproxy.wire.reactor import Reactor

MODEL = "demo-1"
TOKENS = ("The ", "key ", "was ", "right, ", "and ", "you ", "never ", "had ", "it.")
AGAIN = (
    "Still ",
    "the ",
    "same ",
    "socket, ",
    "still ",
    "no ",
    "key ",
    "of ",
    "yours.",
)

_TOKEN_SECONDS = 0.08

Event = dict[str, Any]  # Any: JSON


@frozen
class Seen:
    """A request as the provider saw it.

    Attributes:
        request: method and path.
        right: whether the credential was the real key.
        shown: the header line, with stars for a key.
    """

    request: str
    right: bool
    shown: str


def whole(tokens: tuple[str, ...]) -> str:
    """The sentence that the tokens make."""
    return "".join(tokens)


def events(tokens: tuple[str, ...], id: str) -> Iterator[Event]:
    """An answer as the events of the Responses API."""
    yield {"type": "response.created", "response": {"id": id, "model": MODEL}}
    yield _output("output_item.added", item=_message(()))
    for token in tokens:
        yield _output("output_text.delta", item_id="msg_demo", delta=token)
    yield _output("output_item.done", item=_message(tokens))
    yield {"type": "response.completed", "response": _response(tokens, id)}


def _output(kind: str, **more: object) -> Event:
    return {"type": f"response.{kind}", "output_index": 0, "content_index": 0, **more}


def _message(tokens: tuple[str, ...]) -> Event:
    content = [{"type": "output_text", "text": whole(tokens)}] if tokens else []
    status = "completed" if tokens else "in_progress"
    message = {"type": "message", "id": "msg_demo", "role": "assistant"}
    return {**message, "status": status, "content": content}


def _response(tokens: tuple[str, ...], id: str) -> Event:
    usage = {"input_tokens": 4, "output_tokens": len(tokens)}
    return {
        "id": id,
        "object": "response",
        "status": "completed",
        "model": MODEL,
        "output": [_message(tokens)],
        "usage": usage | {"total_tokens": 4 + len(tokens)},
    }


class DemoProvider:
    """The provider.

    Attributes:
        port: where it listens on 127.0.0.1; 0 before ``start``.
        seen: the requests, as they come.
        reactor: provides sockets and time.
    """

    def __init__(self, reactor: Reactor, key: Secret, identity: bytes) -> None:
        """A provider that listens on nothing yet.

        Args:
            reactor: provides sockets and time.
            key: the only credential it takes.
            identity: PEM of its private key and certificate.
        """
        self.port = 0
        self.seen: DeferredQueue[Seen] = DeferredQueue()
        self.reactor = reactor
        self._expected = b"Bearer " + key.reveal()
        options = _Identity(identity)
        site = Site(_Door(self), reactor=reactor)
        site.noisy = False
        self._factory = TLSMemoryBIOFactory(options, False, site, reactor)
        self._factory.noisy = False
        self._listening: IListeningPort | None = None

    def start(self) -> None:
        """Listen."""
        self._listening = self.reactor.listenTCP(
            self.port, cast(AnyFactory, self._factory), interface="127.0.0.1"
        )
        self.port = cast(IPv4Address, self._listening.getHost()).port

    async def stop(self) -> None:
        """Stop listening, and end what is open."""
        if self._listening is not None:
            stopped = self._listening.stopListening()
            if isinstance(stopped, Deferred):
                await stopped
        for line in list(self._factory.protocols):
            line.abortConnection()
        await until(self.reactor, lambda: not self._factory.protocols)

    def look(self, request: str, authorization: bytes | None) -> bool:
        """Look at a credential and say what it was; whether it was the right one."""
        value = authorization or b""
        right = hmac.compare_digest(value, self._expected)
        # A wrong one is shown whole: it is no secret of anybody's here.
        shown = value.decode("latin-1") or "nothing"
        if right:
            scheme, _, key = shown.partition(" ")
            shown = f"{scheme} {'*' * len(key)}"
        self.seen.put(Seen(request, right, f"Authorization: {shown}"))
        return right

    async def tell(self, write: Callable[[Event], None], *answer: Event) -> None:
        """Write events one by one, as a model would."""
        for event in answer:
            write(event)
            await deferLater(self.reactor, _TOKEN_SECONDS)


@implementer(IOpenSSLContextFactory)
class _Identity:
    """TLS with one key and certificate."""

    def __init__(self, pem: bytes) -> None:
        key = load_pem_private_key(pem, None)
        assert isinstance(key, EllipticCurvePrivateKey)
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_privatekey(key)
        self._context.use_certificate(x509.load_pem_x509_certificate(pem))

    def getContext(self) -> SSL.Context:
        """What Twisted asks for."""
        return self._context


class _Door(Resource):
    """Lets in who has the key."""

    isLeaf = True

    def __init__(self, provider: DemoProvider) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._provider = provider
        factory = WebSocketServerFactory(reactor=provider.reactor)
        factory.protocol = lambda: _Conversation(provider)  # type: ignore[assignment]
        factory.setProtocolOptions(webStatus=False)
        self._sockets = WebSocketResource(factory)

    def render(self, request: HTTPRequest) -> Any:
        """Answer."""
        asked = f"{request.method.decode()} {request.path.decode()}"
        right = self._provider.look(asked, request.getHeader(b"authorization"))
        if not right:
            return _answer(request, 401, _error("Incorrect API key provided.", "401"))
        if request.getHeader(b"upgrade") and asked == "GET /v1/responses":
            return self._sockets.render(request)
        answers: dict[str, Callable[[], Event]] = {
            "GET /v1/models": _models,
            "POST /v1/chat/completions": _completion,
            "POST /v1/responses": lambda: _response(TOKENS, "resp_demo_1"),
        }
        if asked not in answers:
            return _answer(request, 404, _error(f"There is no {asked} here.", "404"))
        if asked == "POST /v1/responses" and _wants_stream(request):
            return self._stream(request)
        return _answer(request, 200, answers[asked]())

    def _stream(self, request: HTTPRequest) -> int:
        request.setHeader(b"content-type", b"text/event-stream")
        answer = events(TOKENS, "resp_demo_1")
        story = Deferred.fromCoroutine(
            self._provider.tell(lambda event: _write_event(request, event), *answer)
        )
        _ = story.addCallbacks(lambda _: request.finish(), lambda _: None)
        # The agent may leave, and nothing is left to be told then.
        _ = request.notifyFinish().addErrback(lambda _: story.cancel())
        return NOT_DONE_YET


def _wants_stream(request: HTTPRequest) -> bool:
    assert request.content is not None
    try:
        body = msgspec.json.decode(request.content.read(), type=dict[str, object])
    except msgspec.DecodeError:
        return False
    return body.get("stream") is True


def _write_event(request: HTTPRequest, event: Event) -> None:
    kind = str(event["type"]).encode()
    data = msgspec.json.encode(event)
    request.write(b"event: %b\ndata: %b\n\n" % (kind, data))


def _answer(request: HTTPRequest, status: int, value: Event) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    return msgspec.json.encode(value) + b"\n"


def _error(message: str, code: str) -> Event:
    error = {"message": message, "type": "invalid_request_error", "code": code}
    return {"error": error}


def _models() -> Event:
    model = {"id": MODEL, "object": "model", "owned_by": "demo"}
    return {"object": "list", "data": [model]}


def _completion() -> Event:
    message = {"role": "assistant", "content": whole(TOKENS)}
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


class _Conversation(WebSocketServerProtocol):
    """A WebSocket: each ``response.create`` is answered with events."""

    def __init__(self, provider: DemoProvider) -> None:
        super().__init__()
        self._provider = provider
        self._answers = 0
        self._telling: Deferred[None] | None = None

    def onConnect(self, request: ConnectionRequest) -> None:
        """Agree to whatever is asked."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Answer, in other words the second time."""
        self._answers += 1
        tokens = TOKENS if self._answers == 1 else AGAIN
        answer = events(tokens, f"resp_demo_{self._answers}")
        telling = Deferred.fromCoroutine(self._provider.tell(self._say, *answer))
        self._telling = telling.addErrback(lambda _: None)

    def _say(self, event: Event) -> None:
        self.sendMessage(msgspec.json.encode(event))  # type: ignore[no-untyped-call]

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Say nothing more."""
        if self._telling is not None:
            self._telling.cancel()
