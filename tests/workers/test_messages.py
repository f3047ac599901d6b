"""What a front and its workers say."""

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.exchange import Exchange
from apiproxy.core.stopping import LiveExchange, StopOrder
from apiproxy.settings.origin import Origin
from apiproxy.telemetry.report import Report
from apiproxy.telemetry.tally import Tally
from apiproxy.workers import messages
from apiproxy.workers.messages import MESSAGES, decode, encode


class MessageTests(SynchronousTestCase):
    def report(self) -> Report:
        """One with something of each kind in it."""
        tally = Tally(requests={("GET", 2): 3}, errors={"agent_gone": 1}, bytes_up=7)
        tally.duration.add(0.3)
        return Report(
            version="1",
            uptime=2.5,
            tallies={"openai": tally},
            upstream_lines=[("openai", "idle", 2)],
            keys={"complete": True, "results": {"openai": {"status": "valid"}}},
        )

    def test_each_arrives_as_it_was(self) -> None:
        """Figures and all."""
        values: dict[str, Any] = {
            "id": 5,
            "origin": Origin.of({"A": "b"}, b"c"),
            "ok": True,
            "round": 6,
            "report": self.report(),
            "keys": {"complete": True},
            "refused": True,
            "in_order": False,
            "ledger": "/a/folder",
            "number": 3,
            "order": StopOrder("run", "r1"),
            "exchanges": [
                LiveExchange.of(Exchange("1", "a", "GET", "/", seconds=float))
            ],
        }
        for kind in MESSAGES:
            message = kind(**{name: values[name] for name in kind.__struct_fields__})
            self.assertEqual(decode(encode(message)), message)

    def test_no_two_have_one_name(self) -> None:
        """The name is how they are told apart; the description has each of them."""
        names = [kind.__name__ for kind in MESSAGES]
        self.assertEqual(len(set(names)), len(names))
        for name in names:
            self.assertIn(f"``{name}``", messages.__doc__ or "")

    def test_bytes_that_are_no_message(self) -> None:
        """They are refused."""
        for data in (b"", b"\xc1", encode(msgspec.defstruct("Other", [], tag=True)())):
            self.assertRaises(msgspec.MsgspecError, decode, data)
