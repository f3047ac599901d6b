"""What a request asks of a model, and what a response has used: one shape for all providers.

Providers count alike under other names, and some count twice: OpenAI's input includes what was
read from the cache, Anthropic's does not; Gemini's output leaves out the thoughts, OpenAI's
includes them. Here every token stands in one place only, so that weights and prices can be
applied without knowing who counted.
"""

from typing import Literal, Protocol

from msgspec import Struct

State = Literal["open", "completed", "incomplete", "failed", "cut"]


class Usage(Struct, frozen=True, gc=False):
    """Tokens of one response.

    Attributes:
        input: read as new: neither from a cache nor written to one.
        cached: read from a cache.
        written: written to a cache for five minutes, or for a time that was not said.
        written_hour: written to a cache for an hour.
        output: all that was made, reasoning included.
        reasoning: of the output, what was thought and not said.
        audio_input: of the input, audio.
        audio_output: of the output, audio.
        image_input: of the input, images.
        image_output: of the output, images.
        inclusive: whether the provider's own figure of input includes ``cached`` and what
            was written.
    """

    input: int = 0
    cached: int = 0
    written: int = 0
    written_hour: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    inclusive: bool = False

    @property
    def all_input(self) -> int:
        """All tokens that went in."""
        return self.input + self.cached + self.written + self.written_hour

    @property
    def reported_input(self) -> int:
        """The input as the provider itself counts it."""
        return self.all_input if self.inclusive else self.input


class Record(Struct):
    """One response, filled while it is read.

    Attributes:
        usage: what it has used; None as long as nothing was said of it.
        model: as the provider names it; empty if it does not.
        id: the provider's id of the response.
        tier: the service tier.
        stop: why the model stopped, in the provider's words.
        state: how far it is, or how it ended.
        stream_id: which of the parallel responses on one WebSocket it is.
        turn: the number of the response on its connection, from 1; 0 on HTTP.
        block: index of the content block that is being streamed (Messages); None between
            two, and in other dialects.
        said: bytes of text, arguments and thoughts so far: what an estimate is made from.
        estimated: whether ``usage`` is our estimate, since the provider told none.
        gap: why it could not be metered, a word for metrics such as ``agent_gone`` or
            ``content_encoding``; empty if it was.
        untold: whether the provider has told no figure of the output, so that ``usage`` knows
            nothing of what was thought and not said.
    """

    usage: Usage | None = None
    model: str = ""
    id: str = ""
    tier: str = ""
    stop: str = ""
    state: State = "open"
    stream_id: str = ""
    turn: int = 0
    block: int | None = None
    said: int = 0
    estimated: bool = False
    gap: str = ""
    untold: bool = False


class Demand(Struct, frozen=True, gc=False):
    """What a request, or a message on a WebSocket, asks of a model.

    Attributes:
        inference: whether it makes a model work at all.
        model: as the agent names it; empty if that cannot be told.
        other: another model that it names in a place that should not count, such as the
            body of a request whose path names one; empty for none. What is not allowed is
            not allowed there either.
        later: whether the answer is to be made in the background, and told elsewhere.
        input_bytes: of the prompt, as far as they came with it.
        max_output: tokens that each answer may have; None if it does not say.
        answers: how many are asked for at once.
        stream: whether the answer is wanted as a stream.
        unreadable: why body and model could not be read, a word such as ``not_json``, or
            ``ambiguous_model``; empty if they could.
    """

    inference: bool = False
    model: str = ""
    input_bytes: int = 0
    max_output: int | None = None
    answers: int = 1
    stream: bool = False
    unreadable: str = ""
    other: str = ""
    later: bool = False


class AnswerReader(Protocol):
    """Reads a copy of one HTTP answer, and tells of each response in it once it is over.

    It never raises for what a provider sends, and holds a bounded part of it.
    """

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body, encoded as they came, cut anywhere."""

    def end(self, gap: str = "") -> None:
        """The body is complete; or it is not, for this reason (a word for ``Record.gap``)."""

    @property
    def can_end(self) -> bool:
        """Whether an ending of ours may follow: between two events, not encoded."""

    @property
    def running(self) -> Record | None:
        """The response that is being read, with what is known so far; None for none."""
