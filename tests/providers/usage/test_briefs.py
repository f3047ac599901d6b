"""The usual document is read in one go, and says what it would say the long way."""

import json
from pathlib import Path

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand
from apiproxy.providers.usage.briefs import read_brief
from apiproxy.providers.usage.reader import Reading
from apiproxy.providers.usage.shapes import read_event

FOLDER = Path(__file__).with_name("fixtures")


def the_long_way(document: bytes) -> object:
    """The record that ``Reading`` makes of it."""
    reading = Reading(Demand(True))
    event = read_event(document)
    assert event is not None
    reading.take(event, len(document))
    return reading.close("")


class BriefTests(SynchronousTestCase):
    def test_it_says_the_same(self) -> None:
        """Of every recorded document that it reads at all; most are usual."""
        usual = []
        for path in sorted(FOLDER.glob("*.json")):
            document = path.read_bytes()
            brief = read_brief(document)
            if brief is not None:
                usual.append(path.name)
                full = the_long_way(document)
                for name in ("usage", "model", "id", "tier", "stop", "state"):
                    self.assertEqual(
                        getattr(brief, name), getattr(full, name), (path.name, name)
                    )
        self.assertIn("messages.json", usual)
        self.assertIn("responses.json", usual)

    def test_what_is_not_usual_is_left_to_others(self) -> None:
        """Errors, what is unfinished, what has no figures, what is no JSON."""
        usage = {"prompt_tokens": 1, "completion_tokens": 2}
        self.assertIsNotNone(read_brief(json.dumps({"usage": usage}).encode()))
        for document in (
            b"",
            b"[]",
            b'{"usage":',
            b"{}",
            b'{"usage":{}}',
            json.dumps({"usage": usage, "error": {"code": 1}}).encode(),
            json.dumps({"usage": usage, "status": "incomplete"}).encode(),
            json.dumps({"usage": usage, "type": "error"}).encode(),
            json.dumps({"usage": usage, "copilot_usage": {}}).encode(),
            json.dumps({"usage": {"inputTokens": 1, "outputTokens": 2}}).encode(),
        ):
            self.assertIsNone(read_brief(document), document)

    @given(strategies.binary(max_size=64))
    def test_noise(self, noise: bytes) -> None:
        """Breaks nothing."""
        read_brief(noise)
        read_brief(b'{"usage":' + noise + b"}")
