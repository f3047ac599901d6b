"""A response that is over, as telemetry gets it."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.metered import Metered
from apiproxy.core.usage import Record, Usage


def response(record: Record, asked: str = "") -> Metered:
    return Metered(record=record, request_id="id", provider="openai", asked=asked)


class MeteredTests(SynchronousTestCase):
    def test_model(self) -> None:
        """The model that answered counts, else the one asked for, else the provider."""
        self.assertEqual(response(Record(model="gpt-4o"), "auto").model, "gpt-4o")
        self.assertEqual(response(Record(), "auto").model, "auto")
        self.assertEqual(response(Record()).model, "openai")

    def test_why_it_was_not_metered(self) -> None:
        """What is known of the gap; of an answer without usage, that."""
        used = Usage(input=3)
        for record, gap in (
            (Record(usage=used), ""),
            (Record(usage=used, gap="agent_gone"), "agent_gone"),
            (Record(gap="content_encoding"), "content_encoding"),
            (Record(), "no_usage"),
        ):
            self.assertEqual(response(record).gap, gap)

    def test_usage_is_always_there(self) -> None:
        """Nothing was used, as far as anybody knows."""
        self.assertEqual(response(Record()).usage, Usage())
        self.assertEqual(response(Record(usage=Usage(output=1))).usage.output, 1)
