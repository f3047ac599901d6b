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

    def test_how_it_was_metered(self) -> None:
        """By what the provider told, by our estimate, or not at all, and then why."""
        used = Usage(input=3)
        for record, metering, gap in (
            (Record(usage=used), "metered", ""),
            (
                Record(usage=used, estimated=True, gap="agent_gone"),
                "estimated",
                "agent_gone",
            ),
            (Record(usage=used, gap="agent_gone"), "metered", "agent_gone"),
            (Record(gap="content_encoding"), "unmetered", "content_encoding"),
            (Record(), "unmetered", "no_usage"),
        ):
            metered = response(record)
            self.assertEqual((metered.metering, metered.gap), (metering, gap))

    def test_usage_is_always_there(self) -> None:
        """Nothing was used, as far as anybody knows."""
        self.assertEqual(response(Record()).usage, Usage())
        self.assertEqual(response(Record(usage=Usage(output=1))).usage.output, 1)
