"""``apiproxy stop``."""

from tests.cli.operators import OperatorCase


class StopTests(OperatorCase):
    def test_stop(self) -> None:
        """What is named, or all."""
        self.assertEqual(self.output("stop", "caller", "ann"), ["2 stopped"])
        self.assertEqual(self.output("stop", "all"), ["2 stopped"])
        self.assertEqual(
            self.service.asked,
            [("POST /stop", {"caller": "ann"}), ("POST /stop", {"all": True})],
        )

    def test_half_said(self) -> None:
        """All has no name, and everything else has one."""
        for args in (("all", "x"), ("run",), ("everything",)):
            self.assertEqual(self.run_command("stop", *args).exit_code, 2)
        self.assertEqual(self.service.asked, [])
