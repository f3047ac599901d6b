"""``apiproxy state``."""

import json

from tests.cli.operators import ANSWERS, OperatorCase


class StateTests(OperatorCase):
    def test_tables(self) -> None:
        """What is under way, and how budgets stand; nothing moves the cursor."""
        self.assertEqual(
            self.output("state"),
            [
                "EXCHANGE  PROVIDER  CALLER  MODEL     KIND  AGE  UP  DOWN",
                "id-1      openai    -       evil?[2J  http  1.5  10  20",
                "",
                "ACCOUNT  MEASURE  SPENT  RESERVED  CAP  SET BY    UNTIL",
                "run:r1   runs     3      1         5.5  operator  1970-01-01T00:26:40Z",
            ],
        )

    def test_json(self) -> None:
        """All there is."""
        self.assertEqual(
            json.loads("\n".join(self.output("state", "--json"))), ANSWERS["GET /state"]
        )
