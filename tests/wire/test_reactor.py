"""The type of reactor we need."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.wire.reactor import Reactor, WorkersReactor
from tests.kit.case import the_reactor


class ReactorTests(SynchronousTestCase):
    """The real one is one."""

    def test_the_real_reactor_can_do_all_we_ask_of_one(self) -> None:
        """Sockets, names, time, threads; processes and sockets from elsewhere."""
        bases: tuple[Any, ...] = Reactor.__bases__ + WorkersReactor.__bases__[1:]
        missing = [base for base in bases if not base.providedBy(the_reactor())]
        self.assertEqual(missing, [])
