"""How much may be held in memory at once."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.wire.room import Room


class RoomTests(SynchronousTestCase):
    def test_only_so_much_together(self) -> None:
        """What was taken must be given back before more can be."""
        room = Room(10)
        self.assertTrue(room.take(6))
        self.assertFalse(room.take(5))
        self.assertEqual(repr(room), "<Room for 4 bytes>")
        room.give(6)
        self.assertTrue(room.take(10))
