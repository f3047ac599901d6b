"""Tests of ``apiproxy.ledger.sqlite_rows``; most of it is kept by the ledger's suite."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.ledger.rules import Bounds
from apiproxy.ledger.sqlite_file import opened
from apiproxy.ledger.sqlite_rows import Changes, Rows, add
from apiproxy.policy.ledger import Entry, Standing

RUN = "run:1"
ENTRY = Entry(RUN, "tokens", 40)


class RowsTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = Path(self.mktemp()).absolute() / "ledger.sqlite"
        path.parent.mkdir()
        connection = opened(path, busy_ms=1)
        self.addCleanup(connection.close)
        self.cursor = connection.cursor()
        self.rows = Rows(self.cursor, Bounds(rows=2, over=3))

    def spent(self, account: str, amount: int) -> None:
        """Somebody has spent this."""
        changes: Changes = {}
        add(changes, account, "tokens", spent=amount)
        self.rows.change(changes, 0.0)

    def count(self, table: str) -> int:
        """The rows of a table."""
        found: int = self.cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found

    def test_changes_of_one_row_are_added_up(self) -> None:
        """Before they are written."""
        changes: Changes = {}
        add(changes, RUN, "tokens", spent=1)
        add(changes, RUN, "tokens", spent=2, reserved=5)
        self.assertEqual(changes, {(RUN, "tokens"): (3, 5)})

    def test_an_account_without_a_row(self) -> None:
        """To ask for it does not make it."""
        entry, standing = self.rows.placed(ENTRY, 0.0)
        self.assertEqual((entry, standing), (ENTRY, Standing(RUN, "tokens")))
        self.assertEqual(self.count("account"), 0)

    def test_rows_of_a_kind_are_bounded(self) -> None:
        """Those beyond are counted together."""
        for number in range(4):
            self.spent(f"model:{number}", 10)
        self.assertEqual(
            [(one.account, one.spent) for one in self.rows.standings(0.0)],
            [("model:0", 10), ("model:1", 10), ("model:other", 20)],
        )

    def test_a_claim_is_given_back_once(self) -> None:
        """Settled, it is known to be over."""
        self.rows.set_aside("a", 1, [ENTRY], 0.0)
        changes = self.rows.given_back("a")
        self.assertEqual(changes, {(RUN, "tokens"): (0, -40)})
        self.rows.settled("a")
        self.assertIsNone(self.rows.given_back("a"))
        self.assertEqual(self.rows.given_back("never seen"), {})

    def test_what_is_presumed_can_be_taken_back(self) -> None:
        """The claims of an owner that is gone count as spent, until somebody knows more."""
        self.rows.set_aside("a", 7, [ENTRY], 0.0)
        self.assertEqual([self.rows.presume(7, 0.0) for _ in range(2)], [1, 0])
        self.assertEqual(self.rows.standings(0.0), [Standing(RUN, "tokens", 40, 0)])
        self.assertEqual(self.rows.given_back("a"), {(RUN, "tokens"): (-40, 0)})
        self.rows.released("a")
        self.assertEqual(self.rows.given_back("a"), {})

    def test_what_is_over_is_forgotten(self) -> None:
        """Now and then, but for the latest."""
        for number in range(64):
            self.rows.settled(str(number))
        self.assertEqual(self.count("over"), 3)
        self.assertIsNone(self.rows.given_back("63"))

    def test_a_cap_ends(self) -> None:
        """At its time; the row stays."""
        self.rows.set_cap(RUN, "tokens", 5, 60.0, 0.0)
        (standing,) = self.rows.standings(59.0)
        self.assertEqual((standing.cap, standing.until), (5, 60.0))
        self.assertEqual(self.rows.standings(60.0), [Standing(RUN, "tokens")])

    def test_a_streak_ends(self) -> None:
        """Nothing is spent any more."""
        self.spent(RUN, 3)
        self.rows.clear(RUN, "tokens")
        self.assertEqual(self.rows.standings(0.0), [Standing(RUN, "tokens")])
