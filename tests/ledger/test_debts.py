"""What is owed while a ledger cannot write."""

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.ledger import debts
from apiproxy.ledger.debts import Debts
from apiproxy.policy.ledger import LedgerUnavailable


class DebtsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.complaints: list[str] = []
        self.written: list[str] = []
        self.away = False
        self.debts = Debts(
            self.clock, lambda sentence, error: self.complaints.append(sentence)
        )

    def write(self, *words: str) -> None:
        """Have words written down."""
        for word in words:
            self.debts.write(lambda word=word: self.put(word))  # type: ignore[misc]

    def put(self, word: str) -> None:
        if self.away:
            raise LedgerUnavailable
        self.written.append(word)

    def test_it_is_written_as_soon_as_it_can_be(self) -> None:
        """In order, and once."""
        self.away = True
        self.write("a", "b")
        self.clock.advance(1)
        self.assertEqual((self.written, repr(self.debts)), ([], "<Debts, 2 owed>"))
        self.away = False
        self.write("c")
        self.assertEqual(self.written, [])
        self.clock.advance(1)
        self.assertEqual((self.written, len(self.debts)), (["a", "b", "c"], 0))
        self.write("d")
        self.assertEqual(self.written, ["a", "b", "c", "d"])
        self.assertEqual((self.complaints, self.clock.calls), ([], []))

    def test_only_so_much_is_owed(self) -> None:
        """Then the oldest is given up, with a complaint."""
        self.patch(debts, "_MOST", 2)
        self.away = True
        self.write("a", "b", "c")
        self.assertEqual(len(self.debts), 2)
        self.assertEqual(self.complaints, ["a cost could not be written down"])
        self.away = False
        self.clock.advance(1)
        self.assertEqual(self.written, ["b", "c"])

    def test_what_nobody_foresaw(self) -> None:
        """Is complained of, also when it comes later; what is behind it is written."""
        later: Deferred[None] = Deferred()
        self.debts.write(lambda: 1 // 0)
        self.debts.write(lambda: later)
        self.write("a")
        self.assertEqual((self.written, len(self.complaints)), (["a"], 1))
        later.errback(ValueError())
        self.assertEqual(len(self.complaints), 2)

    def test_a_ledger_elsewhere_remembers_itself(self) -> None:
        """What it is owed is not tried again by us."""
        self.debts.write(lambda: fail(LedgerUnavailable()))
        self.assertEqual((len(self.debts), self.complaints), (0, []))

    def test_the_end(self) -> None:
        """One more try; what cannot be written then is complained of, and no more tried."""
        for away in (False, True):
            self.away = True
            self.write("a")
            self.away = away
            self.debts.close()
            said = ["1 costs were not written down"] if away else []
            self.assertEqual((self.written, self.complaints), (["a"], said))
            self.assertEqual(self.clock.calls, [])
