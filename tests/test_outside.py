"""What is around a service."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.outside import NOTHING


class OutsideTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """A service can tell it everything, and nothing comes of it."""
        NOTHING.notify("READY=1")
        NOTHING.give_up()
        NOTHING.end()
        self.assertEqual(NOTHING.dropped(), 0)
        self.assertEqual(list(NOTHING.reread()), [])
