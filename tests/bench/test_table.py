"""Tests of bench.table and bench.result."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import table
from bench.result import Result
from bench.rows import ROWS, by_key


def result() -> Result:
    """A small run: two contestants, one that is absent."""
    made = Result()
    made.contestant("apiproxy", "apiproxy", "0.1")
    made.contestant("nginx", "nginx", "1.22")
    made.contestant("litellm", "LiteLLM", absent="not installed")
    for ours, theirs in ((80.0, 40.0), (90.0, 45.0), (70.0, 30.0)):
        made.add("http_32", "apiproxy", ours)
        made.add("http_32", "nginx", theirs)
    made.add("stall_free", "apiproxy", 512.0)
    made.absent("stall_free", "nginx", "it ended")
    made.note("the machine was busy")
    made.note("the machine was busy")
    return made


class CellTests(SynchronousTestCase):
    def test_cell_shows_the_median_and_the_spread(self) -> None:
        """One sample has no spread, none is a dash."""
        self.assertEqual(table.cell([80.0, 70.0, 90.0]), "80.0 (70.0…90.0)")
        self.assertEqual(table.cell([512.0]), "512")
        self.assertEqual(table.cell([]), "-")

    def test_columns_stand_under_each_other(self) -> None:
        """Also as plain text."""
        drawn = table.aligned([["a", "bb"], ["ccc", "d"]])
        self.assertEqual(drawn, "| a   | bb |\n| --- | -- |\n| ccc | d  |")


class TableTests(SynchronousTestCase):
    def test_row_has_the_ratio_and_the_target(self) -> None:
        """By medians."""
        (line,) = [
            each for each in table.table(result()).splitlines() if "32 conn" in each
        ]
        self.assertIn("80.0 (70.0…90.0) | 40.0 (30.0…45.0) | 2.00", line)
        self.assertIn("≤ 2.5 x nginx", line)

    def test_rows_without_a_sample_are_left_out(self) -> None:
        """A quick run has a short table."""
        self.assertNotIn("memory, idle", table.table(result()))

    def test_absent_are_said_with_their_reason(self) -> None:
        """A peer, or one cell of it, is never silently skipped; a note comes once."""
        drawn = table.table(result())
        self.assertIn("- LiteLLM: absent: not installed", drawn)
        self.assertIn("- nginx: absent in stall_free: it ended", drawn)
        self.assertEqual(drawn.count("the machine was busy"), 1)

    def test_absence_from_several_rows_at_once_is_said_too(self) -> None:
        """Whatever name the measurement has."""
        made = result()
        made.absent("added_64", "nginx", "timed out")
        self.assertIn("- nginx: absent in added_64: timed out", table.table(made))

    def test_growth_is_a_table_of_its_own(self) -> None:
        """With the largest median over the smallest."""
        made = result()
        for live, cost in ((1, 40.0), (1000, 44.0)):
            made.growth("event", "apiproxy", live, cost)
        drawn = table.table(made)
        head = "| CPU µs per event | 1 live | 1,000 live | largest / smallest |"
        self.assertIn(head, drawn)
        self.assertIn("| 1.10 ", drawn)


class FillTests(SynchronousTestCase):
    def test_only_what_stands_between_the_marks_changes(self) -> None:
        """And filling again changes nothing."""
        before = f"# Title\n{table.BEGIN}\nold\n{table.END}\nafter\n"
        once = table.fill(before, result())
        self.assertTrue(once.startswith("# Title\n") and once.endswith("\nafter\n"))
        self.assertNotIn("old", once)
        self.assertEqual(table.fill(once, result()), once)

    def test_document_without_marks_is_refused(self) -> None:
        """Nothing is guessed."""
        self.assertRaises(ValueError, table.fill, "# Title\n", result())

    def test_written_result_is_read_back(self) -> None:
        """Every sample of it."""
        path, document = Path(self.mktemp()) / "a.json", Path(self.mktemp())
        result().write(path)
        again = Result.read(path)
        self.assertEqual(again.document, result().document)
        document.write_text(f"{table.BEGIN}{table.END}")
        table.fill_file(document, again)
        self.assertIn("512", document.read_text())


class RowTests(SynchronousTestCase):
    def test_keys_are_unique(self) -> None:
        """And found."""
        self.assertEqual(len({row.key for row in ROWS}), len(ROWS))
        self.assertIs(by_key(ROWS[3].key), ROWS[3])
        self.assertRaises(KeyError, by_key, "nothing")
