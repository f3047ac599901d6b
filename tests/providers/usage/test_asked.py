"""Tests of ``apiproxy.providers.usage.asked``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.demand import Unreadable, read_raws
from apiproxy.providers.usage.asked import (
    asks_live,
    response_demand,
    session_model,
    setup_demand,
    word,
)


class AskedTests(SynchronousTestCase):
    def test_a_response_is_asked_with_what_came_before(self) -> None:
        """The prompt may have come in messages of its own; the model with the socket."""
        payload = b'{"type":"response.create","max_output_tokens":9}'
        demand = response_demand(payload, read_raws(payload), "m", 400)
        self.assertEqual((demand.model, demand.max_output), ("m", 9))
        self.assertEqual(demand.input_bytes, 400 + len(payload))

    def test_live_asks_with_a_turn_that_is_complete(self) -> None:
        """Or with what a tool has said."""
        for message, asks in (
            (b'{"clientContent":{"turnComplete":true}}', True),
            (b'{"clientContent":{"turnComplete":false}}', False),
            (b'{"clientContent":{}}', False),
            (b'{"toolResponse":{}}', True),
            (b'{"realtimeInput":{}}', False),
        ):
            self.assertEqual(asks_live(read_raws(message)), asks)

    def test_live_is_set_up_once(self) -> None:
        """With a model and limits; a setup that is none cannot be read."""
        demand = setup_demand(read_raws(b'{"setup":{"generationConfig":{}}}'), "m")
        self.assertEqual((demand.model, demand.inference), ("m", False))
        self.assertRaises(Unreadable, setup_demand, read_raws(b'{"setup":5}'), "m")

    def test_texts_are_read_without_their_escapes(self) -> None:
        """What is no text is unreadable."""
        raws = read_raws(b'{"type":"a\\u0062","other":[]}')
        self.assertEqual((word(raws, "type"), word(raws, "none")), ("ab", None))
        self.assertRaises(Unreadable, word, raws, "other")
        self.assertEqual(session_model(b'{"session":{"model":"m"}}'), "m")
        self.assertEqual(session_model(b"[]"), "")
