"""Lines that wait to be written."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.telemetry.backlog import Backlog


class Written(Backlog):
    """Notes what is written, unless it is shut."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, capacity=10, batch=6, seconds=1.0)
        self.story: list[list[bytes]] = []
        self.shut = False

    def _drain(self) -> None:
        self._stalled = self.shut
        if not self.shut:
            self.story.append(self._take(100))


class BacklogTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A clock, and a place where lines are written."""
        self.clock = Clock()
        self.backlog = Written(self.clock)

    def test_a_moment(self) -> None:
        """Lines wait for a moment, and then go together."""
        self.backlog.write(b"a")
        self.backlog.write(b"b")
        self.assertEqual(self.backlog.story, [])
        self.clock.advance(1)
        self.assertEqual(self.backlog.story, [[b"a", b"b"]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_enough(self) -> None:
        """A batch does not wait."""
        self.backlog.write(b"aaa")
        self.backlog.write(b"bbb")
        self.assertEqual(self.backlog.story, [[b"aaa", b"bbb"]])

    def test_no_room(self) -> None:
        """While nothing can be written the oldest lines go, and are counted."""
        self.backlog.shut = True
        for line in (b"1111", b"2222", b"3333", b"4444"):
            self.backlog.write(line)
        self.clock.advance(1)
        self.backlog.shut = False
        self.clock.advance(1)
        self.assertEqual(self.backlog.story, [[b"3333", b"4444"]])
        self.assertEqual(self.backlog.dropped, 2)
