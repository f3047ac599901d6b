"""Tests of ``apiproxy.providers.usage.shapes``."""

import msgspec
from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand
from apiproxy.providers.usage.reader import Reading
from apiproxy.providers.usage.shapes import Event, Response, Tokens, read_event
from tests.kit.hypothesis_profile import STEADY

_NAMES = st.sampled_from(
    (
        *("usage", "type", "choices", "delta", "response", "message", "content"),
        *("output", "input_tokens", "usageMetadata", "candidates", "parts", "text"),
        *("error", "input", "token_details", "cache_creation", "serverContent"),
        *("modelTurn", "bytes", "id"),
    )
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4)
    ),
    max_leaves=20,
)


class ReadTests(SynchronousTestCase):
    def test_a_million_values(self) -> None:
        """Figures and names are read all the same, and nothing is made of the rest."""
        many = b"[" + b'{"text":"a"},' * 200_000 + b"7]"
        usage = b'"usage":{"input_tokens":5,"output_tokens":6}'
        for data in (
            b'{"id":"i","content":%b,%b}' % (many, usage),
            b'{"id":"i",%b,"output":"\xff","content":%b}' % (usage, many),
            b'{"id":"i","response":{"output":%b,%b}}' % (many, usage),
        ):
            event = read_event(data)
            assert event is not None and event.id == "i"
            inner = event.response if isinstance(event.response, Response) else event
            assert inner.usage is not None
            self.assertEqual(inner.usage.output_tokens, 6)
            self.assertEqual((event.content, event.output), (None, None))

    def test_what_is_long_and_no_utf_8(self) -> None:
        """Neither are its figures lost, nor is its text read twice."""
        text = b"\xff" * 1_000_000
        event = read_event(b'{"content":"%b","usage":{"input_tokens":5}}' % text)
        assert event is not None and event.usage is not None
        self.assertEqual((event.usage.input_tokens, event.content), (5, None))
        self.assertIsNone(read_event(text))

    def test_a_wrong_type_costs_only_its_field(self) -> None:
        """The rest is read all the same."""
        event = read_event(
            b'{"id":5,"model":"m","usage":{"input_tokens":"5","output_tokens":6.0,'
            b'"prompt_tokens":1.5,"seconds":3,"cache_creation":[],"token_details":'
            b'[{"token_type":"a"},7]},"choices":[{"finish_reason":"stop"},null],"delta":[]}'
        )
        assert (
            event is not None and event.usage is not None and event.choices is not None
        )
        self.assertEqual((event.id, event.model, event.delta), (None, "m", None))
        self.assertEqual(
            (event.usage.input_tokens, event.usage.output_tokens), (None, 6)
        )
        self.assertEqual((event.usage.prompt_tokens, event.usage.seconds), (None, 3.0))
        self.assertEqual([choice.finish_reason for choice in event.choices], ["stop"])

    def test_text_that_is_no_utf_8_is_read(self) -> None:
        """Its figures are as good as any."""
        event = read_event(b'{"model":"\xff","usage":{"prompt_tokens":3}}')
        assert event is not None
        self.assertEqual(event.usage, Tokens(prompt_tokens=3))

    def test_what_is_no_object_is_nothing(self) -> None:
        """Whatever it may be instead, and however deep."""
        for data in (b"", b"[]", b"5", b"{", b"\xff", b"[" * 100_000, b"null"):
            self.assertIsNone(read_event(data))

    def test_depth_does_no_harm(self) -> None:
        """In fields that nobody knows and in fields that nest."""
        for name, depth in ((b"x", 100_000), (b"content", 100_000), (b"content", 400)):
            data = (
                b'{"delta":'
                + b'{"'
                + name
                + b'":[' * depth
                + b"5"
                + b"]}" * depth
                + b"}"
            )
            event = read_event(data.replace(b'[{"', b'[{"') + b"")
            self.assertTrue(event is None or isinstance(event, Event))
        deep = b'{"content":[' * 300 + b"5" + b"]}" * 300
        event = read_event(deep)
        if event is not None:
            Reading(Demand()).take(event, len(deep))

    @given(document=st.dictionaries(_NAMES, _JSON, max_size=5))
    @STEADY
    def test_whatever_a_provider_sends_is_taken(
        self, document: dict[str, object]
    ) -> None:
        """Known names with unknown values raise nothing, and give figures or none."""
        data = msgspec.json.encode(document)
        event = read_event(data)
        assert event is not None
        reading = Reading(Demand())
        reading.take(event, len(data))
        record = reading.close("agent_gone")
        assert record.usage is not None
        self.assertGreaterEqual(record.usage.all_input, 0)
