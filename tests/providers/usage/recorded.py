"""The answers in ``fixtures/``, and what each of them has used."""

from pathlib import Path

from attrs import field, frozen

from apiproxy.core.usage import Demand, Record, Usage
from apiproxy.core.values import Fields
from apiproxy.providers.usage.answer import AnswerCopy, open_answer

FOLDER = Path(__file__).parent / "fixtures"

ASKED = Demand(inference=True, model="asked", input_bytes=400)

TYPES = {
    ".json": b"application/json; charset=utf-8",
    ".sse": b"text/event-stream; charset=utf-8",
}


@frozen
class Recorded:
    """One answer, and its record as it should be."""

    name: str
    record: Record

    @property
    def body(self) -> bytes:
        """All of it."""
        return (FOLDER / self.name).read_bytes()

    @property
    def fields(self) -> Fields:
        """Its header lines."""
        return [(b"Content-Type", TYPES[Path(self.name).suffix])]


@frozen
class Listener:
    """Where records go."""

    records: list[Record] = field(factory=list)

    def open(
        self,
        fields: Fields,
        demand: Demand = ASKED,
        closely: bool = False,
        status: int = 200,
    ) -> AnswerCopy:
        """A reader of an answer that can be metered."""
        reader = open_answer(demand, status, fields, self.records.append, closely)
        assert reader is not None
        return reader

    def only(self) -> Record:
        """The one record there is."""
        (record,) = self.records
        return record


def read_whole(recorded: Recorded, closely: bool = False) -> Record:
    """What an answer in one piece gives."""
    listener = Listener()
    reader = listener.open(recorded.fields, closely=closely)
    reader.feed(recorded.body)
    reader.end()
    return listener.only()


def usage(**figures: int) -> Usage:
    """Figures of somebody whose input has the cache in it."""
    return Usage(**figures, inclusive=True)


RECORDED = (
    Recorded(
        "chat.json",
        Record(
            usage(input=56, cached=64, output=14, reasoning=6),
            model="gpt-5.1-2026-03-01",
            id="chatcmpl-Aq1",
            tier="default",
            stop="stop",
            state="completed",
        ),
    ),
    Recorded(
        "chat_usage.sse",
        Record(
            usage(input=70, cached=30, output=9, reasoning=2),
            model="gpt-5.1",
            id="chatcmpl-Bs2",
            tier="default",
            stop="length",
            state="completed",
        ),
    ),
    Recorded(
        "chat_silent.sse",
        Record(
            Usage(input=100, output=4),
            model="gpt-5.1",
            id="chatcmpl-Cx3",
            stop="stop",
            state="completed",
            estimated=True,
            gap="no_usage",
            untold=True,
        ),
    ),
    Recorded(
        "completion.json",
        Record(
            usage(input=5, output=7),
            model="gpt-3.5-turbo-instruct",
            id="cmpl-l12",
            stop="stop",
            state="completed",
        ),
    ),
    Recorded(
        "copilot.sse",
        Record(
            Usage(input=30, cached=60, written=10, output=10),
            model="claude-sonnet-4.6",
            id="cp-1",
            stop="stop",
            state="completed",
        ),
    ),
    Recorded(
        "responses.json",
        Record(
            usage(input=70, cached=30, output=9, reasoning=4),
            model="gpt-5.1-codex",
            id="resp_d4",
            tier="flex",
            state="completed",
        ),
    ),
    Recorded(
        "responses.sse",
        Record(
            usage(input=70, cached=30, output=9),
            model="gpt-5.1",
            id="resp_e5",
            tier="default",
            state="completed",
        ),
    ),
    Recorded(
        "incomplete.sse",
        Record(
            usage(input=70, cached=30, output=9),
            model="gpt-5.1",
            id="resp_f6",
            tier="default",
            stop="max_output_tokens",
            state="incomplete",
        ),
    ),
    Recorded(
        "failed.sse",
        Record(
            usage(input=70, cached=30, output=9),
            model="gpt-5.1",
            id="resp_g7",
            tier="default",
            stop="server_error",
            state="failed",
        ),
    ),
    Recorded(
        "messages.json",
        Record(
            Usage(input=10, cached=7, written=2, written_hour=10, output=25),
            model="claude-sonnet-5",
            id="msg_h8",
            tier="standard",
            stop="tool_use",
            state="completed",
        ),
    ),
    Recorded(
        "messages.sse",
        Record(
            Usage(input=99, cached=7, written=2, output=20),
            model="claude-sonnet-5",
            id="msg_i9",
            tier="standard",
            stop="end_turn",
            state="completed",
        ),
    ),
    Recorded(
        "gemini.json",
        Record(
            usage(
                input=33, cached=4, output=9, reasoning=6, audio_input=5, image_input=10
            ),
            model="gemini-2.5-flash",
            id="gem_j10",
            tier="ON_DEMAND",
            stop="STOP",
            state="completed",
        ),
    ),
    Recorded(
        "gemini.sse",
        Record(
            usage(input=11, output=6, reasoning=2),
            model="gemini-2.5-flash",
            id="gem_k11",
            stop="STOP",
            state="completed",
        ),
    ),
    Recorded(
        "gemini_array.json",
        Record(
            usage(input=11, output=6, reasoning=2),
            model="gemini-2.5-flash",
            id="gem_k11",
            stop="STOP",
            state="completed",
        ),
    ),
    Recorded(
        "embeddings.json",
        Record(usage(input=8), model="text-embedding-3-small", state="completed"),
    ),
    Recorded(
        "image.json",
        Record(
            usage(input=50, image_input=40, output=196, image_output=196),
            state="completed",
        ),
    ),
    Recorded(
        "transcription.json",
        Record(usage(input=14, audio_input=14, output=5), state="completed"),
    ),
    Recorded(
        "transcription.sse",
        Record(
            usage(input=14, audio_input=14, output=5),
            stop="transcript.text.done",
            state="completed",
        ),
    ),
    Recorded(
        "converse.json",
        Record(
            Usage(input=30, cached=10, written=5, output=8),
            stop="end_turn",
            state="completed",
        ),
    ),
)
