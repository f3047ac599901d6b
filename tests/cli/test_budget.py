"""``apiproxy budget``."""

import json

from tests.cli.operators import ANSWERS, OperatorCase


class BudgetTests(OperatorCase):
    def test_show(self) -> None:
        """How all accounts stand."""
        self.assertEqual(self.output("budget")[1].split()[:3], ["run:r1", "runs", "3"])
        self.assertEqual(
            json.loads("\n".join(self.output("budget", "--json"))),
            ANSWERS["GET /budget"],
        )

    def test_change(self) -> None:
        """What is asked for goes to the service, and then it is shown."""
        for args, said in (
            (("--add", "5"), {"add": 5.0}),
            (("--set", "7.5", "--minutes", "30"), {"set": 7.5, "minutes": 30.0}),
            (("--unset",), {"set": None}),
        ):
            self.service.asked.clear()
            self.output("budget", "--measure", "runs", "--account", "caller:a", *args)
            self.assertEqual(
                self.service.asked,
                [
                    (
                        "POST /budget",
                        {"measure": "runs", "account": "caller:a", **said},
                    ),
                    ("GET /budget", None),
                ],
            )

    def test_half_said(self) -> None:
        """Nothing is changed if it is not said what, or how."""
        self.assertIn("of what?", self.failure("budget", "--add", "5"))
        self.assertIn("what is to change?", self.failure("budget", "--measure", "runs"))
        self.assertEqual(self.service.asked, [])
