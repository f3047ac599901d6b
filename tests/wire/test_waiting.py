"""What waits on a WebSocket to be judged."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.deflate import DeflateTerms
from apiproxy.core.messages import MessageReader
from apiproxy.wire.room import Room
from apiproxy.wire.waiting import Waiting
from tests.kit.deflate import Deflater
from tests.kit.frames import TEXT, frame
from tests.kit.hypothesis_profile import STEADY

MASK = b"mask"


class WaitingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[str] = []

    def hold(self) -> None:
        self.told.append("hold")

    def release(self) -> None:
        self.told.append("release")

    def waiting(self, room: Room | None = None) -> Waiting:
        reader = MessageReader(None, 1 << 20)
        return Waiting(reader, room or Room(1 << 20), self)

    @STEADY
    @given(st.lists(st.binary(max_size=200), max_size=8), st.integers(1, 100))
    def test_messages_come_out_as_they_came_in(
        self, payloads: list[bytes], size: int
    ) -> None:
        """Whole, in order, to the letter, however they were cut."""
        room = Room(10_000)
        waiting = self.waiting(room)
        frames = [frame(TEXT, payload, mask=MASK) for payload in payloads]
        data = b"".join(frames)
        for at in range(0, len(data), size):
            waiting.keep(data[at : at + size])
            self.assertTrue(waiting.weigh())
        self.assertEqual(room.left, 10_000 - len(data))
        found = [waiting.next() for _ in range(len(waiting.queue))]
        self.assertEqual([raw for raw, _ in found], frames)
        said = [None if message is None else message.payload for _, message in found]
        self.assertEqual(said, payloads)
        waiting.judged()
        waiting.weigh()
        self.assertEqual(room.left, 10_000)

    def test_the_agent_is_held(self) -> None:
        """While more waits than may; not for a message that has only begun."""
        waiting = self.waiting()
        large = frame(TEXT, b"x" * 70_000, mask=MASK)
        waiting.keep(large[:-1])
        waiting.weigh()
        self.assertEqual(self.told, [])
        waiting.keep(large[-1:])
        waiting.weigh()
        waiting.weigh()
        self.assertEqual(self.told, ["hold"])
        waiting.next()
        waiting.weigh()
        self.assertEqual(self.told, ["hold", "release"])

    def test_a_message_weighs_until_it_is_judged(self) -> None:
        """And as much as it says, however little it came as."""
        room = Room(1 << 20)
        reader = MessageReader(DeflateTerms(), 1 << 20)
        waiting = Waiting(reader, room, self)
        waiting.keep(frame(TEXT, Deflater()(b"x" * 100_000), rsv=4, mask=MASK))
        for _ in range(2):
            waiting.weigh()
            self.assertEqual(room.left, (1 << 20) - 100_000)
            if waiting.queue:
                waiting.next()
        waiting.judged()
        waiting.weigh()
        self.assertEqual(room.left, 1 << 20)
        self.assertEqual(self.told, ["hold", "release"])

    def test_a_message_weighs_before_it_is_whole(self) -> None:
        """As much as it has said so far; and then no more than the whole."""
        room = Room(1 << 20)
        reader = MessageReader(DeflateTerms(), 1 << 20)
        waiting = Waiting(reader, room, self)
        data = frame(TEXT, Deflater()(b"x" * 100_000), rsv=4, mask=MASK)
        waiting.keep(data[:-1])
        self.assertTrue(waiting.weigh())
        self.assertLess(room.left, (1 << 20) - 90_000)
        waiting.keep(data[-1:])
        self.assertTrue(waiting.weigh())
        self.assertEqual(room.left, (1 << 20) - 100_000)
        waiting.next()
        waiting.judged()
        self.assertTrue(waiting.weigh())
        self.assertEqual(room.left, 1 << 20)

    def test_there_is_no_more_room(self) -> None:
        """What cannot be held is told; at the end all that was taken is given back."""
        room = Room(100)
        waiting = self.waiting(room)
        waiting.keep(frame(TEXT, b"x" * 60, mask=MASK))
        self.assertTrue(waiting.weigh())
        waiting.keep(frame(TEXT, b"x" * 60, mask=MASK))
        self.assertFalse(waiting.weigh())
        waiting.drop()
        self.assertEqual(len(waiting.queue), 0)
        self.assertTrue(waiting.weigh())
        self.assertEqual(room.left, 100)
        waiting.keep(frame(TEXT, b"x" * 60, mask=MASK))
        waiting.weigh()
        waiting.end()
        self.assertEqual(room.left, 100)
