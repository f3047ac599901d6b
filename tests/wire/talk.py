"""One WebSocket in memory, with books, on which an agent and a provider talk."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from apiproxy.core.deflate import DeflateTerms
from apiproxy.core.errors import ProxyError
from apiproxy.core.frames import FrameScanner
from apiproxy.core.messages import MessageReader
from apiproxy.core.values import Ask
from apiproxy.policy.rules import Rules
from apiproxy.wire.turns import Turns
from tests.kit.books import Desk
from tests.kit.frames import CONTINUATION, PING, TEXT, frame
from tests.metering.conversation import Turn, events_of

MASK = b"mask"
DEFLATE = b"permessage-deflate"
WITHOUT = b"permessage-deflate; client_no_context_takeover"
PATH = b"/v1/responses"
LIVE = b"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
SOUND = b'{"type":"input_audio_buffer.append","audio":"AAAA"}'
NOTE = b'{"type":"session.note","text":"hello"}'


class Wire:
    """A bridge of which nothing is there but what turns see."""

    def __init__(self) -> None:
        self.agent = b""
        self.upstream = b""
        self.told: list[str] = []
        self.closed: list[tuple[int, bytes, ProxyError | None, bool]] = []
        self.scanner = FrameScanner(1 << 30)
        self.ended: Callable[[ProxyError | None], None] = lambda error: None

    def to_agent(self, data: bytes) -> None:
        self.agent += data

    def to_upstream(self, data: bytes) -> None:
        self.upstream += data

    @property
    def may_speak(self) -> bool:
        return self.scanner.between_messages

    def close(
        self,
        code: int,
        reason: bytes,
        error: ProxyError | None = None,
        *,
        between: bool = False,
    ) -> None:
        self.closed.append((code, reason, error, between))
        self.ended(error)

    def hold(self) -> None:
        self.told.append("hold")

    def release(self) -> None:
        self.told.append("release")


class Scene:
    """A socket.

    Attributes:
        desk: its books.
        wire: both directions.
        turns: what stands in them.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        extensions: bytes = b"",
        *,
        limit: int = 1 << 20,
        path: bytes = PATH,
        **more: Any,
    ) -> None:
        self.clock = Clock()
        self.desk = Desk(self.clock, rules, **more)
        self.wire = Wire()
        self.exchange = self.desk.exchange(transport="websocket")
        self.turns = Turns(
            self.desk.metering,
            self.exchange,
            Ask(b"GET", path, path.partition(b"?")[0], [], None, True),
            self.wire,
            extensions,
            limit,
            lambda: b"ours",
            lambda sentence, error: self.desk.complaints.append(sentence),
        )
        self.wire.ended = self.turns.end
        self._terms = DeflateTerms.read(extensions, from_agent=True)

    def say(self, payload: bytes, opcode: int = TEXT) -> None:
        """The agent says something, in one frame."""
        self.turns.from_agent(frame(opcode, payload, mask=MASK))

    def hear(self, *events: dict[str, Any]) -> None:
        """The provider says something."""
        for event in events:
            self.upstream(frame(TEXT, json.dumps(event).encode()))

    def upstream(self, data: bytes) -> None:
        """Bytes come from the provider."""
        data = self.wire.scanner.feed(data)
        self.turns.from_upstream(data)

    @property
    def passed(self) -> list[bytes]:
        """The messages that the provider understands."""
        reader = MessageReader(self._terms, 1 << 30)
        return [each.payload or b"?" for each in reader.feed(self.wire.upstream)]

    @property
    def told(self) -> list[dict[str, Any]]:
        """The messages that the agent gets."""
        reader = MessageReader(None, 1 << 30)
        found = reader.feed(self.wire.agent)
        return [json.loads(each.payload or b"null") for each in found]


def create(**more: Any) -> bytes:
    """A message that asks for a response."""
    return Turn(**more).request.encode()


def answers(number: int = 1, **more: Any) -> list[dict[str, Any]]:
    """The events of its response."""
    return events_of(json.loads(create(**more)), number)


def fragmented(
    body: bytes, size: int, rsv: int, *, ping: bool = False, masked: bool = True
) -> bytes:
    """A message in frames of this size, perhaps with a ping behind the first."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    mask = MASK if masked else None
    told = b""
    for at, piece in enumerate(pieces):
        first, last = at == 0, at == len(pieces) - 1
        opcode = TEXT if first else CONTINUATION
        told += frame(opcode, piece, fin=last, rsv=rsv if first else 0, mask=mask)
        if ping and first:
            told += frame(PING, b"between", mask=mask)
    return told
