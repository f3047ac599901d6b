"""What responses used, and what could not be read of them, added up."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.metered import Metered
from apiproxy.core.usage import Record, Usage
from apiproxy.telemetry.usage_tally import (
    MOST_MODELS,
    MOST_WORDS,
    OTHER,
    ModelTally,
    UsageTally,
    count,
)
from tests.telemetry.responses import COST, record, response

responses = st.builds(
    lambda model, used, size, gap: response(
        Record(usage=used and Usage(input=used, output=used), model=model, gap=gap),
        bytes=size,
    ),
    st.sampled_from([f"m{number}" for number in range(80)]),
    st.none() | st.integers(1, 9),
    st.integers(0, 99),
    st.sampled_from(["", "agent_gone"]),
)


class UsageTallyTests(SynchronousTestCase):
    def test_one_response(self) -> None:
        """Its tokens by kind, each in one place but for reasoning, and what they cost."""
        tally = UsageTally()
        tally.add(response(cost=COST))
        self.assertEqual(
            tally.models, {"gpt-4o": ModelTally(60, 30, 10, 20, 5, 4_750_000)}
        )
        self.assertEqual(tally.reported, 100)
        self.assertEqual(
            (tally.responses, tally.bytes), ({"metered": 1}, {"metered": 85})
        )
        self.assertEqual((tally.gaps, tally.gap_bytes), ({}, {}))

    def test_what_could_not_be_metered(self) -> None:
        """It lowers coverage, and says why."""
        tally = UsageTally()
        tally.add(response(record(usage=None, gap="content_encoding")))
        tally.add(response(record(gap="agent_gone", estimated=True), bytes=5))
        self.assertEqual(tally.responses, {"unmetered": 1, "estimated": 1})
        self.assertEqual(tally.bytes, {"unmetered": 85, "estimated": 5})
        self.assertEqual(tally.gaps, {"content_encoding": 1, "agent_gone": 1})
        self.assertEqual(tally.gap_bytes, {"content_encoding": 85, "agent_gone": 5})

    def test_models_without_end(self) -> None:
        """A provider, or an agent, that makes up names cannot fill the memory with them."""
        tally = UsageTally()
        for number in range(MOST_MODELS + 20):
            tally.add(response(record(model=f"m{number}" + "x" * 1000)))
        tally.add(response(record(model="\ud800")))
        self.assertEqual(len(tally.models), MOST_MODELS + 1)
        self.assertEqual(tally.models[OTHER].output, 21 * 20)
        self.assertLess(max(map(len, tally.models)), 200)
        self.assertEqual(tally.total("output"), (MOST_MODELS + 21) * 20)

    def test_names_that_only_an_agent_has_said(self) -> None:
        """Of answers it did not wait for; they take no name from models there are."""
        tally = UsageTally()
        gone = record(model="", state="incomplete", estimated=True, gap="agent_gone")
        for number in range(MOST_MODELS):
            tally.add(response(gone, asked=f"made-up-{number}"))
        tally.add(response(record(model=""), asked="tts-1"))
        tally.add(response(gone, asked="tts-1"))
        tally.add(response())
        self.assertEqual(list(tally.models), [OTHER, "tts-1", "gpt-4o"])
        self.assertEqual(tally.models["tts-1"].output, 2 * 20)

    def test_half_a_character(self) -> None:
        """A name that is no text becomes one that is."""
        tally = UsageTally()
        for _ in range(2):
            tally.add(response(record(model="m\ud800")))
        self.assertEqual(list(tally.models), ["m?"])

    def test_words_without_end(self) -> None:
        """The same holds for codes."""
        figures: dict[str, int] = {}
        for number in range(MOST_WORDS + 5):
            count(figures, str(number), 2)
        self.assertEqual((len(figures), figures[OTHER]), (MOST_WORDS + 1, 10))

    @given(st.lists(responses, max_size=120), st.integers(2, 5))
    def test_processes_add_up(self, seen: list[Metered], processes: int) -> None:
        """However responses are spread over processes, the sums are the same."""
        alone = UsageTally()
        spread = [UsageTally() for _ in range(processes)]
        for number, one in enumerate(seen):
            alone.add(one)
            spread[number % processes].add(one)
        together = UsageTally()
        for tally in spread:
            together.include(tally)
        for kind in ModelTally.__struct_fields__:
            self.assertEqual(together.total(kind), alone.total(kind))
        for name in ("reported", "responses", "bytes", "gaps", "gap_bytes"):
            self.assertEqual(getattr(together, name), getattr(alone, name))
        self.assertLessEqual(len(together.models), MOST_MODELS + 1)
