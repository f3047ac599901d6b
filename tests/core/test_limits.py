"""The numbers everything is held to."""

from attrs import asdict
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.limits import Deadlines, Limits


class LimitsTests(SynchronousTestCase):
    def test_every_default_is_a_limit(self) -> None:
        """Nothing waits for ever or grows for ever unless an operator says so."""
        for name, value in {**asdict(Limits()), **asdict(Deadlines())}.items():
            self.assertGreater(value, 0, name)

    def test_lines_are_given_up_before_providers_do(self) -> None:
        """A warm line is dropped before the 60 s after which load balancers drop it."""
        self.assertLess(Deadlines().line_idle, 60)

    def test_agent_may_know_how_much_it_can_send(self) -> None:
        """By the names of the variables, so that the two can be told together."""
        self.assertEqual(
            Limits(body=7).shown(),
            {
                "max_body_bytes": 7,
                "max_head_bytes": 32768,
                "max_header_fields": 200,
                "max_message_bytes": 33554432,
            },
        )
