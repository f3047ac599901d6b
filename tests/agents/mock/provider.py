"""All providers at one TLS port, told apart by ``Host``; every request is written down.

What is not known here is answered 404 and kept in ``unknown``, which fails the scenario: a new
release of an agent that asks for something new is to be noticed.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from attrs import frozen
from twisted.internet.interfaces import IOpenSSLContextFactory

from tests.agents.mock import anthropic, copilot, google, openai
from tests.agents.mock.faults import Fault
from tests.agents.mock.model import Model, NotUnderstood
from tests.kit.line import Gone, IReactor
from tests.kit.provider import (
    Behaviour,
    Call,
    Provider,
    ProviderLine,
    answer_json,
    counted,
)

Make = Callable[[Model], Behaviour]


@frozen
class Rule:
    """What a provider has at some paths.

    Attributes:
        method: of the request.
        path: a regular expression for the whole of it.
        make: makes the answer.
        generates: whether the model is asked.
    """

    method: bytes
    path: bytes
    make: Make
    generates: bool = False

    def holds(self, method: bytes, path: bytes) -> bool:
        """Whether it is this that is asked for."""
        return method == self.method and re.fullmatch(self.path, path) is not None


def _fixed(value: object, status: int = 200) -> Make:
    return lambda model: answer_json(value, status)


_OPENAI = (
    Rule(b"POST", b"/v1/responses", openai.responses, generates=True),
    Rule(b"GET", b"/v1/responses", openai.responses),
    Rule(b"POST", b"/v1/chat/completions", openai.chat, generates=True),
    Rule(b"GET", b"/v1/realtime", openai.realtime),
    Rule(b"GET", b"/v1/models", _fixed(openai.MODELS)),
)
_ANTHROPIC = (
    Rule(b"POST", b"/v1/messages", anthropic.messages, generates=True),
    Rule(b"POST", b"/v1/messages/count_tokens", _fixed({"input_tokens": 11})),
    Rule(b"GET", b"/v1/messages/batches", _fixed(anthropic.BATCHES)),
    Rule(b"POST", b"/v1/files", lambda model: anthropic.file_uploaded()),
    Rule(b"GET", b"/v1/models", _fixed(anthropic.MODELS)),
    Rule(b"HEAD", b"/", lambda model: counted(b"", 404)),
    Rule(b"HEAD", b"/v1/?", lambda model: counted(b"", 404)),
)
_GENERATE = rb"/v1(beta|alpha)?/models/[\w.-]+:(generate|streamGenerate)Content"
_LIVE = (
    rb"/ws/google\.ai\.generativelanguage\.v1(beta|alpha)?\.\w+\.BidiGenerateContent"
)
_GOOGLE = (
    Rule(b"POST", _GENERATE, google.generate, generates=True),
    Rule(
        b"POST",
        rb"/v1(beta|alpha)?/models/[\w.-]+:countTokens",
        _fixed({"totalTokens": 11}),
    ),
    Rule(b"GET", b"/v1(beta|alpha)?/models", _fixed(google.MODELS)),
    Rule(b"GET", _LIVE, google.live),
)
_COPILOT = (
    Rule(b"GET", b"/models", _fixed(copilot.MODELS)),
    Rule(b"POST", b"/responses", openai.responses, generates=True),
    Rule(b"GET", b"/responses", openai.responses),
    Rule(b"POST", b"/chat/completions", openai.chat, generates=True),
    Rule(b"POST", b"/mcp/readonly", _fixed({"message": "not here"}, 404)),
)

HOSTS: Mapping[bytes, Sequence[Rule]] = {
    b"api.openai.com": _OPENAI,
    b"api.anthropic.com": _ANTHROPIC,
    b"generativelanguage.googleapis.com": _GOOGLE,
    b"api.githubcopilot.com": _COPILOT,
}


class MockLine(ProviderLine):
    """A connection that keeps the bytes that came on it.

    Attributes:
        raw: all of them.
    """

    def __init__(self, reactor: IReactor, number: int, provider: Provider) -> None:
        super().__init__(reactor, number, provider)
        self.raw = bytearray()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self.raw += data
        super().dataReceived(data)


class Mock(Provider):
    """The providers.

    Attributes:
        model: behind all of them.
        unknown: what was asked that nobody here knows.
        faults: what happens to the next requests for the model; None for nothing.
        forever: what happens to all requests after those.
        upgrades: what happens to WebSockets that are asked for.
        tools_only: whether faults are only for requests that offer tools, which titles do not.
        served: of each request for the model, what went wrong with it; None for nothing.
    """

    def __init__(
        self, reactor: IReactor, context: IOpenSSLContextFactory | None
    ) -> None:
        super().__init__(reactor, context)
        self.model = Model()
        self.unknown: list[str] = []
        self.faults: list[Fault | None] = []
        self.forever: Fault | None = None
        self.upgrades: Fault | None = None
        self.tools_only = False
        self.served: list[Fault | None] = []
        self.default = self._answer

    def line(self, number: int) -> MockLine:
        """Make the next connection."""
        return MockLine(self.reactor, number, self)

    def fault(self, body: bytes) -> Fault | None:
        """What goes wrong with this request for the model."""
        fault = None
        if not self.tools_only or _offers_tools(body):
            fault = self.faults.pop(0) if self.faults else self.forever
        self.served.append(fault)
        return fault

    @property
    def raw(self) -> list[tuple[bytes, bool]]:
        """What came on each connection, and whether it became a WebSocket."""
        lines = (line for line in self.connections if isinstance(line, MockLine))
        return [(bytes(line.raw), line.upgraded) for line in lines]

    async def _answer(self, call: Call) -> None:
        request = call.request
        host = (request.get(b"host") or b"").partition(b":")[0]
        for rule in HOSTS.get(host, ()):
            if rule.holds(request.method, request.path):
                try:
                    await self._by_rule(rule, call)
                except Gone:
                    raise
                except (NotUnderstood, KeyError, TypeError, ValueError) as error:
                    self.unknown.append(f"{request!r}: {error!r}")
                    await _protest(call, error)
                return
        self.unknown.append(f"{request!r} of {host.decode()}")
        await answer_json({"error": {"message": "the mock does not know this"}}, 404)(
            call
        )

    async def _by_rule(self, rule: Rule, call: Call) -> None:
        answer = rule.make(self.model)
        fault = None
        if rule.generates:
            fault = self.fault(await call.body())
        elif call.request.upgrade:
            fault = self.upgrades
        if fault is not None:
            await fault.in_http(call, answer)
        else:
            await answer(call)


async def _protest(call: Call, error: Exception) -> None:
    """Say what was not understood, if that still can be said."""
    if call.line.upgraded:
        call.line.end("reset")
        return
    with suppress(Gone):
        await answer_json({"error": {"message": repr(error)}}, 400)(call)


def _offers_tools(body: bytes) -> bool:
    asked = json.loads(body)
    return bool(asked.get("tools")) and asked.get("generate") is not False
