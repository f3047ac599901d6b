"""Tests of ``apiproxy.providers.usage.spoken``."""

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.usage.shapes import read_event
from apiproxy.providers.usage.spoken import spoken


def said(**event: Any) -> int:
    """How much an event says."""
    read = read_event(msgspec.json.encode(event))
    assert read is not None
    return spoken(read)


class DeltaTests(SynchronousTestCase):
    def test_deltas_of_each_dialect(self) -> None:
        """Text, thoughts, refusals, and arguments of calls."""
        call = {"function": {"name": "f", "arguments": "four"}}
        for delta in (
            {"content": "four"},
            {"reasoning_content": "four"},
            {"refusal": "four"},
            {"tool_calls": [call, {}]},
            {"function_call": {"arguments": "four"}},
        ):
            self.assertEqual(said(choices=[{"delta": delta}]), 4)
        self.assertEqual(said(choices=[{"text": "four"}, {"text": "four"}]), 8)
        self.assertEqual(said(type="response.output_text.delta", delta="four"), 4)
        self.assertEqual(said(type="response.output_text.delta", delta="öl"), 3)
        for block in ({"text": "four"}, {"partial_json": "four"}, {"thinking": "four"}):
            self.assertEqual(said(type="content_block_delta", delta=block), 4)
        nested: tuple[dict[str, Any], ...] = (
            {"toolUse": {"input": "fo"}},
            {"reasoningContent": {"text": "four"}},
        )
        for inner in nested:
            self.assertEqual(said(delta=inner), 4)

    def test_google_s_parts(self) -> None:
        """Calls of functions count with their names."""
        parts = [{"text": "four"}, {"functionCall": {"name": "f", "args": {}}}]
        self.assertEqual(said(candidates=[{"content": {"parts": parts}}]), 4 + 22)
        self.assertEqual(said(serverContent={"modelTurn": {"parts": parts[:1]}}), 4)
        self.assertEqual(said(candidates=[{}]), 0)

    def test_speech_counts_by_its_length(self) -> None:
        """And not as base64."""
        self.assertEqual(said(type="response.output_audio.delta", delta="A" * 3200), 5)

    def test_what_is_repeated_is_not_counted_again(self) -> None:
        """An item that is done has been said."""
        self.assertEqual(said(type="response.output_text.done", text="four"), 0)


class WholeTests(SynchronousTestCase):
    def test_documents_of_each_dialect(self) -> None:
        """The same, in one piece."""
        block = {"type": "text", "text": "four"}
        self.assertEqual(said(choices=[{"message": {"content": "four"}}]), 4)
        self.assertEqual(said(type="message", content=[block]), 4)
        self.assertEqual(said(text="four"), 4)
        self.assertEqual(said(output=[{"content": [block], "summary": [block]}]), 8)
        self.assertEqual(said(output={"message": {"content": [block]}}), 4)
        self.assertEqual(said(text={"format": {"type": "text"}}), 0)
        self.assertEqual(said(content="four"), 4)

    def test_depth_is_limited(self) -> None:
        """Content is not nested like this."""
        nested: dict[str, Any] = {"text": "four"}
        for _ in range(20):
            nested = {"text": "a", "content": [nested]}
        self.assertEqual(said(type="message", content=[nested]), 4)
