"""One WebSocket: what the agent asks on it, and each response that the provider gives.

Responses, Realtime and Gemini Live are told apart by their messages alone. A response begins
with ``response.created`` (or, with Live, with whatever the model says first) and is given the
oldest demand on its stream that has none yet; Realtime also begins responses that nobody asked
for. Several may be under way: events name theirs by ``response_id``, ``response.id`` or
``stream_id``, and those that name none belong to the latest.

Messages without a marker are not decoded while only one response is under way, or none.
"""

from collections.abc import Callable

from msgspec import Struct, structs

from apiproxy.core.usage import Demand, Record
from apiproxy.providers.demand import (
    AMBIGUOUS,
    Raws,
    Unreadable,
    prompt_bytes,
    read_raws,
)
from apiproxy.providers.usage.asked import (
    LIVE,
    asks_live,
    response_demand,
    session_model,
    setup_demand,
    word,
)
from apiproxy.providers.usage.bodies import markers_like
from apiproxy.providers.usage.reader import LONGEST_WORD, Reading, usage_in
from apiproxy.providers.usage.shapes import Event, Response, Session, read_event

MOST_OPEN = 64
"""Responses under way, and demands without one, that are remembered."""

TOO_MANY = "too_many_open"

_SAMPLES = 2

_ADDS = frozenset({"conversation.item.create", "session.update"})
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"


class _Asked(Struct):
    """A demand that has no response yet."""

    stream_id: str
    demand: Demand


_ALL = (b"",)
_BEGINS = (
    b'"response"',
    b'"session"',
    b'"usage',  # and "usageMetadata"
    b'"serverContent"',
)
"""What is in a message that matters while nothing was asked and nothing is under way."""


class SocketCopy:
    """Reads a copy of the messages of one WebSocket.

    Attributes:
        answered: while ``done`` is called, what asked for that response, as ``asked`` told
            it; None if nobody did.
        signs: a message of upstream without any of these need not be told; see ``passed``.
    """

    __slots__ = (
        "_asked",
        "_closely",
        "_done",
        "_input",
        "_last",
        "_markers",
        "_model",
        "_open",
        "_over",
        "_setup",
        "_turn",
        "answered",
        "signs",
    )

    def __init__(
        self, done: Callable[[Record], None], model: str = "", closely: bool = False
    ) -> None:
        """A reader at the start of a socket.

        Args:
            done: gets the record of each response, once.
            model: the one that the request for the socket named; empty for none.
            closely: whether ``running`` must be exact at any time; costs more.
        """
        self.answered: Demand | None = None
        self._done = done
        self._model = model
        self._closely = closely
        self._asked: list[_Asked] = []
        self._open: list[Reading] = []
        self._markers: tuple[bytes, ...] = ()
        self.signs: tuple[bytes, ...] = _ALL if closely else _BEGINS
        self._setup = Demand()
        self._input = 0
        self._turn = 0
        self._last: _Asked | None = None
        self._over: list[str] = []

    @property
    def running(self) -> list[Record]:
        """The responses that are being read, the oldest first."""
        return [reading.speak() for reading in self._open]

    @property
    def under_way(self) -> list[tuple[Demand, Record]]:
        """The same, each with what asked for it."""
        return [(reading.demand, reading.speak()) for reading in self._open]

    @property
    def waiting(self) -> int:
        """Demands to which no response has begun yet."""
        return len(self._asked)

    @property
    def begun(self) -> int:
        """How many responses have begun."""
        return self._turn

    def asked(self, payload: bytes) -> Demand:
        """Take a message of the agent.

        Returns:
            What it asks; ``inference`` if it is to be answered by a response.
        """
        self._last = None
        try:
            raws = read_raws(payload)
            if not LIVE.isdisjoint(raws):
                return self._ask_live(payload, raws)
            kind = word(raws, "type")
            if kind == "response.create":
                return self._ask_response(payload, raws)
            if kind in _ADDS:
                self._input += prompt_bytes(payload)
            return Demand(model=session_model(payload) if kind in _ADDS else "")
        except Unreadable as reason:
            return Demand(input_bytes=len(payload), unreadable=str(reason))

    def refused(self) -> None:
        """What was asked last was refused, and its message did not go upstream."""
        # By identity: an agent may well ask for the same thing twice.
        self._asked = [asked for asked in self._asked if asked is not self._last]
        self._choose()

    def told(self, payload: bytes) -> None:
        """Take a message of upstream."""
        for sign in self.signs:
            if payload.find(sign) >= 0:
                break
        else:
            self.passed(len(payload))
            return
        event = read_event(payload)
        if event is not None:
            self._take(event, payload)
            self._choose()

    def passed(self, size: int) -> None:
        """So many bytes of messages of upstream have passed that have none of ``signs``."""
        if self._open:
            self._open[-1].skipped += size

    def _choose(self) -> None:
        """Choose what to look for in the next message of upstream."""
        if self._closely or len(self._open) > 1:
            self.signs = _ALL
        elif self._open:
            self.signs = self._markers or _ALL
        else:
            self.signs = _ALL if self._asked else _BEGINS

    def end(self, gap: str) -> None:
        """The socket is over; what is under way ends for this reason."""
        while self._open:
            self._close(self._open[0], gap)
        # What was sent and not yet answered may have been begun all the same.
        while self._asked:
            asked = self._asked.pop(0)
            self._close(self._begin(asked.demand, asked.stream_id), gap)

    def _ask_response(self, payload: bytes, raws: Raws) -> Demand:
        """``response.create``."""
        demand = response_demand(payload, raws, self._model, self._input)
        self._input = 0
        self._await(_Asked(word(raws, "stream_id") or "", demand))
        return demand

    def _ask_live(self, payload: bytes, raws: Raws) -> Demand:
        """A message of Gemini Live.

        Raises:
            Unreadable: something in it is, or it could be one of another dialect.
        """
        if "type" in raws:
            raise Unreadable(AMBIGUOUS)
        if "setup" in raws:
            self._setup = setup_demand(raws, self._model)
            self._model = self._setup.model
        self._input += prompt_bytes(payload)
        demand = structs.replace(
            self._setup, inference=asks_live(raws), input_bytes=self._input
        )
        if demand.inference:
            self._input = 0
            if not self._open:
                self._await(_Asked("", demand))
        return demand

    def _await(self, asked: _Asked) -> None:
        self._last = asked
        self._asked.append(asked)
        self._choose()
        if len(self._asked) > MOST_OPEN:
            first = self._asked.pop(0)
            self._close(self._begin(first.demand, first.stream_id), TOO_MANY)

    def _take(self, event: Event, payload: bytes) -> None:
        """Take a decoded message of upstream."""
        kind = event.type
        if kind is None:
            self._take_live(event, payload)
        elif kind == "error":
            self._take_error(event, len(payload))
        elif kind.startswith("response."):
            self._take_response(event, payload)
        elif isinstance(event.session, Session):
            self._model = event.session.model or self._model
        elif kind == _TRANSCRIBED and event.usage is not None:
            self._transcribed(event)

    def _take_response(self, event: Event, payload: bytes) -> None:
        reading = self._of(event)
        if reading is None and not self._begins(event):
            return
        if reading is None:
            demand = self._claim(event.stream_id)
            reading = self._begin(demand, event.stream_id or "")
        if isinstance(event.response, str):
            event.response = None
        if reading.take(event, len(payload)):
            self._close(reading)
        elif reading.deltas == _SAMPLES:
            self._markers = (*markers_like(event, payload), b"transcription.completed")

    def _of(self, event: Event) -> Reading | None:
        """The response that an event belongs to; None for a new one."""
        id = _id_in(event)
        for reading in self._open:
            record = reading.record
            if event.stream_id and record.stream_id != event.stream_id:
                continue
            if id is None or record.id == id:
                return reading if id or event.stream_id else self._open[-1]
        return None

    def _begins(self, event: Event) -> bool:
        """Whether an event of no response under way is the first of a new one."""
        id = _id_in(event)
        if id is not None and id in self._over:
            return False
        return isinstance(event.response, Response) or bool(self._asked)

    def _claim(self, stream_id: str | None) -> Demand:
        """The oldest demand on a stream; an empty one if there is none."""
        for at, asked in enumerate(self._asked):
            if not stream_id or asked.stream_id in ("", stream_id):
                del self._asked[at]
                return asked.demand
        size, self._input = self._input, 0
        return Demand(inference=True, model=self._model, input_bytes=size)

    def _begin(self, demand: Demand, stream_id: str) -> Reading:
        """A response begins; one too many ends the oldest."""
        if len(self._open) >= MOST_OPEN:
            self._close(self._open[0], TOO_MANY)
        self._turn += 1
        reading = Reading(demand, stream_id, self._turn)
        self._open.append(reading)
        return reading

    def _close(self, reading: Reading, gap: str = "") -> None:
        self._open.remove(reading)
        record = reading.close(gap)
        if record.id:
            self._over = [*self._over[1 - MOST_OPEN :], record.id]
        record.model = record.model or reading.demand.model or self._model
        self.answered = reading.demand
        self._done(record)

    def _take_error(self, event: Event, size: int) -> None:
        """An error ends the response it names, or the demand that got none.

        Realtime's errors have an ``event_id`` and end nothing that has begun.
        """
        named = event.response_id or event.stream_id
        reading = (
            self._of(event) if self._open and (named or not event.event_id) else None
        )
        if reading is None:
            if not self._asked:
                return
            reading = self._begin(self._claim(event.stream_id), event.stream_id or "")
        reading.take(event, size)
        self._close(reading)

    def _transcribed(self, event: Event) -> None:
        """What an agent said was transcribed, by another model and at its own price."""
        assert event.usage is not None
        self._turn += 1
        record = Record(
            usage=usage_in(event.usage),
            id=event.item_id or "",
            state="completed",
            turn=self._turn,
        )
        self.answered = None
        if record.usage is not None:
            self._done(record)

    def _take_live(self, event: Event, payload: bytes) -> None:
        """A message of Gemini Live. Its figures may come after the end of the turn."""
        reading = self._open[-1] if self._open else None
        turn = event.turn
        if turn is None and event.usage_metadata is None:
            return
        if reading is not None and reading.record.stop and turn is not None:
            self._close(reading)
            reading = None
        if reading is None:
            reading = self._begin(self._claim(None), "")
        reading.take(event, len(payload))
        if turn is not None and turn.turn_complete:
            reading.record.stop = "interrupted" if turn.interrupted else "turn_complete"
            self._markers = ()
        if reading.record.stop and reading.speak().usage is not None:
            self._close(reading)
        elif reading.deltas == _SAMPLES:
            self._markers = (b"usageMetadata", b"turnComplete", b"turn_complete")

    def __repr__(self) -> str:
        return f"<SocketCopy turn {self._turn}, {len(self._open)} open>"


def _id_in(event: Event) -> str | None:
    """The response that an event names, as far as a record keeps its name."""
    told = event.response
    id = told.id if isinstance(told, Response) else event.response_id
    return id and id[:LONGEST_WORD]
