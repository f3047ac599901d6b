"""A thread for what may take long."""

import threading
from typing import cast

from apiproxy.telemetry.background import Background
from apiproxy.wire.reactor import Reactor
from tests.kit.case import LoopbackCase


class BackgroundTests(LoopbackCase):
    def background(self) -> Background:
        background = Background(cast(Reactor, self.reactor), "test")
        self.addCleanup(background.end)
        return background

    async def test_it_is_done_elsewhere(self) -> None:
        """In another thread, one after the other, and the result comes back."""
        background = self.background()
        here = threading.get_ident()
        order: list[int] = []
        first = background.run(lambda: order.append(1))
        second = background.run(threading.get_ident)
        await first
        self.assertNotEqual(await second, here)
        self.assertEqual(order, [1])

    async def test_failure(self) -> None:
        """What it raises comes back, too, and the thread goes on."""
        background = self.background()
        with self.assertRaises(ZeroDivisionError):
            await background.run(lambda: 1 // 0)
        self.assertEqual(await background.run(lambda: 7), 7)

    async def test_it_does_not_hold_the_process(self) -> None:
        """A thread that hangs is left behind; one that is ended begins anew if need be."""
        background = self.background()
        thread: threading.Thread = await background.run(threading.current_thread)
        self.assertTrue(thread.daemon)
        background.end()
        thread.join(10)
        self.assertFalse(thread.is_alive())
        self.assertEqual(await background.run(lambda: 7), 7)
