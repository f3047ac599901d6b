"""What is to end, and what is shown of what goes on."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.exchange import Exchange
from apiproxy.core.stopping import LiveExchange, StopOrder


class StoppingTests(SynchronousTestCase):
    def exchange(self) -> Exchange:
        exchange = Exchange("id-1", "openai", "POST", "/v1/responses", seconds=float)
        exchange.caller, exchange.run, exchange.model = "ann", "r1", "gpt-4o"
        exchange.bytes_up = 7
        return exchange

    def test_what_is_meant(self) -> None:
        """By run, caller, exchange and provider, and all."""
        exchange = self.exchange()
        for order, meant in (
            (StopOrder("all"), True),
            (StopOrder("run", "r1"), True),
            (StopOrder("run", "r2"), False),
            (StopOrder("caller", "ann"), True),
            (StopOrder("caller", "bob"), False),
            (StopOrder("provider", "openai"), True),
            (StopOrder("provider", "gemini"), False),
            (StopOrder("exchange", "id-1"), True),
            (StopOrder("exchange", "id-2"), False),
        ):
            self.assertEqual(order.matches(exchange), meant, order)

    def test_a_caller_with_all_its_tokens(self) -> None:
        """One that was narrowed is meant by its own name, and by that of its caller."""
        exchange = self.exchange()
        exchange.caller = "ann+0a1b2c3d"
        meant = [
            name
            for name in ("ann", "ann+0a1b2c3d", "ann+00000000", "bob", "")
            if StopOrder("caller", name).matches(exchange)
        ]
        self.assertEqual(meant, ["ann", "ann+0a1b2c3d"])

    def test_it_can_be_sent(self) -> None:
        """An order reaches another process as it is."""
        order = StopOrder("caller", "ann")
        sent = msgspec.msgpack.encode(order)
        self.assertEqual(msgspec.msgpack.decode(sent, type=StopOrder), order)

    def test_as_it_is_shown(self) -> None:
        """Who, where, how far, how much."""
        live = LiveExchange.of(self.exchange())
        self.assertEqual((live.id, live.phase, live.bytes_up), ("id-1", "asked", 7))
        self.assertEqual((live.caller, live.run, live.model), ("ann", "r1", "gpt-4o"))
