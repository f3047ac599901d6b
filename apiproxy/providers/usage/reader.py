"""One response, read event by event, in whatever dialect.

A response ends with its figures, or without them: its stream was not asked for any, its agent
or its upstream is gone. Then what is missing is estimated from how much was asked and said,
and the record says so and why. It is handed on once in any case.

Events that nobody needs are not decoded. For the estimate it is enough to know how many bytes
of them passed, and what share of such an event is text: the first events that say
something tell that.
"""

from collections.abc import Mapping

from apiproxy.core.usage import Demand, Record, State, Usage
from apiproxy.providers.usage.anthropic import anthropic_usage
from apiproxy.providers.usage.bedrock import converse_usage, invocation_usage
from apiproxy.providers.usage.copilot import with_breakdown
from apiproxy.providers.usage.figures import larger
from apiproxy.providers.usage.gemini import gemini_usage, told_any
from apiproxy.providers.usage.openai import is_openai, openai_usage
from apiproxy.providers.usage.shapes import (
    Block,
    Event,
    Failure,
    Message,
    Metadata,
    Response,
    Tokens,
)
from apiproxy.providers.usage.spoken import spoken

BYTES_PER_TOKEN = 4
"""Of text, roughly, in all models."""

NO_USAGE = "no_usage"
BY_DURATION = "by_duration"
BACKGROUND = "background"

LONGEST_WORD = 1024
"""Characters of a name or an id that are kept. The log cuts them at a quarter of that, when it
has looked for secrets: what is cut here may end with half of one, which is not found."""

_ENDS: Mapping[str, State] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.error": "failed",
    "response.cancelled": "incomplete",
    "message_stop": "completed",
    "error": "failed",
}
_STATES: Mapping[str, State] = {
    "completed": "completed",
    "incomplete": "incomplete",
    "cancelled": "incomplete",
    "failed": "failed",
}
_LATER = frozenset({"queued", "in_progress"})


def usage_in(tokens: Tokens) -> Usage | None:
    """What ``usage`` says, whoever counted; None if there is no figure in it."""
    if tokens.converse_input is not None or tokens.converse_output is not None:
        return converse_usage(tokens)
    return openai_usage(tokens) if is_openai(tokens) else anthropic_usage(tokens)


class Reading:
    """A response that is being read.

    Attributes:
        record: what is known so far; ``speak`` brings its figures up to date.
        demand: what was asked.
        deltas: events so far that said something.
        skipped: bytes of events that were not decoded.
    """

    __slots__ = (
        "_heard",
        "_metadata",
        "_partial",
        "_size",
        "deltas",
        "demand",
        "record",
        "skipped",
    )

    def __init__(self, demand: Demand, stream_id: str = "", turn: int = 0) -> None:
        self.record = Record(stream_id=stream_id, turn=turn)
        self.demand = demand
        self.deltas = 0
        self.skipped = 0
        self._heard = 0
        self._size = 0
        self._partial = False
        self._metadata: Metadata | None = None

    def take(self, event: Event, size: int) -> bool:
        """Take the next event, or the whole document.

        Args:
            event: decoded.
            size: its bytes.

        Returns:
            Whether the response is over.
        """
        said = spoken(event)
        if said:
            self.deltas += 1
            self._heard += said
            self._size += size
        if event.type == "content_block_start":
            self.record.block = event.index
        elif event.type == "content_block_stop":
            self.record.block = None
        if isinstance(event.response, Response):
            self._take_response(event.response)
        if isinstance(event.message, Message):
            self._take_message(event.message)
        self._take_top(event)
        return self._take_end(event)

    def hear(self, size: int) -> None:
        """Take bytes of text that are in no event."""
        self._heard += size

    def speak(self) -> Record:
        """The record with its figures as they are now."""
        if self._metadata is not None:
            self.record.usage = gemini_usage(self._metadata)
            self._metadata = None
        said = self._heard
        if self.skipped:
            share = self._heard / self._size if self._size else 1 / 16
            said += int(self.skipped * share)
        self.record.said = said
        return self.record

    def close(self, gap: str = "") -> Record:
        """The response is over.

        Args:
            gap: why it was not read to its end; empty if it was.

        Returns:
            The record, with figures: told ones, or estimated ones.
        """
        self.record.block = None
        record = self.speak()
        ended = record.state != "open"
        stopped = ended or bool(record.stop)
        known = record.usage is not None and not self._partial
        if known and (stopped or not gap):
            record.state = record.state if ended else "completed"
            return record
        if not ended:
            record.state = "completed" if record.stop else "cut"
        if record.state == "failed" and record.usage is None and not record.said:
            # It failed before it began; nobody bills that.
            record.usage = Usage()
        else:
            record.gap = record.gap or gap or NO_USAGE
            record.untold = record.usage is None or self._partial
            record.usage = self._estimate()
        record.estimated = True
        return record

    def _estimate(self) -> Usage:
        """What is known, and the rest from bytes: too much rather than too little."""
        known = self.record.usage or Usage()
        prompt = -(-self.demand.input_bytes // BYTES_PER_TOKEN)
        said = -(-self.record.said // BYTES_PER_TOKEN)
        skipped = self.skipped * self.deltas // self._size if self._size else 0
        return Usage(
            input=known.input if known.all_input else prompt,
            cached=known.cached,
            written=known.written,
            written_hour=known.written_hour,
            output=max(known.output, said, self.deltas + skipped),
            reasoning=known.reasoning,
            audio_input=known.audio_input,
            audio_output=known.audio_output,
            image_input=known.image_input,
            image_output=known.image_output,
            inclusive=known.inclusive,
        )

    def _take_response(self, told: Response) -> None:
        """``response`` of an event of Responses or Realtime."""
        self._name(told.id, told.model, told.service_tier)
        if told.usage is not None:
            self._take_tokens(told.usage)
        if told.copilot_usage is not None:
            self.record.usage = with_breakdown(self.record.usage, told.copilot_usage)
        why = told.incomplete_details or told.status_details
        if why is not None:
            self._stop(why.reason or why.type)
        if told.error is not None:
            self._fail(told.error)

    def _take_message(self, told: Message) -> None:
        """``message`` of Anthropic's ``message_start``."""
        self._name(told.id, told.model, None)
        if told.usage is not None:
            self._take_tokens(told.usage, sums=True)
            self._partial = True

    def _take_top(self, event: Event) -> None:
        """What stands at the top of a document, or of an event."""
        if (
            event.id is not None
            or event.model is not None
            or event.google_id is not None
        ):
            self._name(
                event.id or event.google_id, event.model or event.model_version, None
            )
        if event.service_tier is not None:
            self._name(None, None, event.service_tier)
        for choice in event.choices or ():
            self._stop(choice.finish_reason)
        if event.stop_reason is not None or event.converse_stop is not None:
            self._stop(event.stop_reason or event.converse_stop)
        if isinstance(event.delta, Block):
            self._stop(event.delta.stop_reason)
        if event.usage is not None:
            sums = event.type in ("message_delta", "message")
            self._take_tokens(event.usage, sums)
            self._partial = False
        if event.copilot_usage is not None:
            self.record.usage = with_breakdown(self.record.usage, event.copilot_usage)
        if event.invocation is not None:
            self.record.usage = self.record.usage or invocation_usage(event.invocation)
        if event.candidates is not None or event.usage_metadata or event.feedback:
            self._take_google(event)

    def _take_google(self, event: Event) -> None:
        self._name(event.google_id, event.model_version, None)
        for candidate in event.candidates or ():
            self._stop(candidate.finish_reason)
        if event.feedback is not None:
            self._stop(event.feedback.block_reason)
        if event.usage_metadata is not None:
            self.take_metadata(event.usage_metadata)

    def take_metadata(self, told: Metadata) -> None:
        """Google's figures, which are sums so far."""
        self._name(None, None, told.service_tier or told.traffic_type)
        if told_any(told):
            self._metadata = told

    def _take_tokens(self, tokens: Tokens, sums: bool = False) -> None:
        """Take figures.

        Args:
            tokens: as told.
            sums: whether these are Anthropic's, of which the larger ones count.
        """
        usage = anthropic_usage(tokens) if sums else usage_in(tokens)
        self._name(None, None, tokens.service_tier)
        if usage is None:
            if tokens.seconds is not None:
                self.record.usage, self.record.gap = Usage(), BY_DURATION
            return
        self.record.usage = larger(self.record.usage, usage) if sums else usage

    def _take_end(self, event: Event) -> bool:
        """See whether this is the end; returns it."""
        kind, record = event.type, self.record
        if kind is None:
            return self._take_document(event)
        state = _ENDS.get(kind)
        if kind == "response.done":
            told = event.response
            status = told.status if isinstance(told, Response) else None
            state = _STATES.get(status or "", "completed")
        if state is not None:
            record.state = state
            if kind == "error":
                self._fail(event.error)
                self._stop(str(event.code) if event.code is not None else None)
            return True
        if event.usage is not None and kind.endswith((".done", ".completed")):
            self._stop(kind)
        if kind == "message":
            self._stop(event.stop_reason)
        return False

    def _take_document(self, event: Event) -> bool:
        """The state of a response that came as one document, or of a chat."""
        if isinstance(event.status, str):
            self.record.state = _STATES.get(event.status, self.record.state)
            if event.status in _LATER and event.usage is None:
                self.record.gap = BACKGROUND
        if event.incomplete_details is not None:
            self._stop(event.incomplete_details.reason)
        if event.error is not None:
            self._fail(event.error)
        return self.record.state == "failed"

    def _fail(self, error: Failure | str | None) -> None:
        self.record.state = "failed"
        if isinstance(error, Failure):
            for word in (error.code, error.type, error.status):
                if isinstance(word, str):
                    self._stop(word)
                    break

    def _stop(self, word: str | None) -> None:
        if word:
            self.record.stop = word[:LONGEST_WORD]

    def _name(self, id: str | None, model: str | None, tier: str | None) -> None:
        """Keep the first id and model, and the last tier: that is the one that served."""
        record = self.record
        if id and not record.id:
            record.id = id[:LONGEST_WORD]
        if model and not record.model:
            record.model = model[:LONGEST_WORD]
        if tier:
            record.tier = tier[:LONGEST_WORD]

    def __repr__(self) -> str:
        return f"<Reading {self.record.id or 'unnamed'} {self.record.state}>"
